"""The table `[telemetry]`: what it makes, which mistakes it names, and what the doctor finds."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from support.event_receiver import SECRET as WEBHOOK_SECRET
from support.event_receiver import Receiver, make_secret
from support.secrets import OTHER_SECRET, SECRET

from otpkit import ConfigurationError
from otpkit.doctor import examine
from otpkit.doctor.findings import Finding
from otpkit.settings import read_settings
from otpkit.telemetry import LogListener, PrometheusListener, WebhookListener

COMMON = {
    "OTPKIT_REDIS_URL": "memory://",
    "OTPKIT_SECRET": SECRET,
    "OTPKIT_GATEWAY": "console",
    "OTPKIT_DEVELOPMENT": "1",
    "OTPKIT_TEMPLATE_CODE": "SMS_1",
    "OTPKIT_TEMPLATE_SIGN_NAME": "otpkit",
}
URL = "https://hooks.example/otp"


def listeners(**variables: str) -> tuple[Any, ...]:
    given = {f"OTPKIT_TELEMETRY_{name.upper()}": value for name, value in variables.items()}
    return read_settings(COMMON | given).listeners


def problems(**variables: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        listeners(**variables)
    return [each.field for each in refused.value.problems]


@pytest.mark.parametrize(
    ("variables", "kinds"),
    [
        ({}, []),
        ({"log": "false"}, []),
        ({"log": "1"}, [LogListener]),
        ({"log": "json"}, [LogListener]),
        ({"prometheus": "true"}, [PrometheusListener]),
        ({"webhook_url": URL, "webhook_secret": WEBHOOK_SECRET}, [WebhookListener]),
        (
            {"log": "true", "prometheus": "1", "webhook_url": URL, "webhook_secret": WEBHOOK_SECRET},
            [LogListener, PrometheusListener, WebhookListener],
        ),
    ],
)
def test_settings_make_listeners(variables: dict[str, str], kinds: list[type]) -> None:
    """Without any of them, there is none."""
    assert [type(each) for each in listeners(**variables)] == kinds


def test_a_webhook_has_its_settings() -> None:
    """Secrets and names are separated by blanks."""
    with Receiver() as receiver:
        (webhook,) = listeners(
            webhook_url=receiver.url.replace("?key=hush-query", ""),
            webhook_secret=f"{make_secret(2)} {WEBHOOK_SECRET}",
            webhook_names="budget, guard",
            webhook_source="/otpkit/shop",
        )
        assert webhook.check() == 204
    assert receiver.events[0]["source"] == "/otpkit/shop"


def test_a_file_has_a_table(tmp_path: Path) -> None:
    """Its names are those of the variables."""
    file = tmp_path / "otpkit.toml"
    file.write_text(
        f'[telemetry]\nlog = "json"\nprometheus = true\nwebhook_url = "{URL}"\nwebhook_secret = "{WEBHOOK_SECRET}"\n'
        'webhook_names = ["budget", "guard"]\n'
    )
    found = read_settings(COMMON, str(file))
    assert [type(each) for each in found.listeners] == [LogListener, PrometheusListener, WebhookListener]
    assert found.telemetry.log == "json"


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"log": "yes"}, "telemetry.log"),
        ({"prometheus": "5"}, "telemetry.prometheus"),
        ({"webhook_url": URL}, "OTPKIT_TELEMETRY_WEBHOOK_SECRET"),
        ({"webhook_secret": WEBHOOK_SECRET}, "OTPKIT_TELEMETRY_WEBHOOK_URL"),
        (
            {"webhook_url": "http://hooks.example", "webhook_secret": WEBHOOK_SECRET},
            "OTPKIT_TELEMETRY_WEBHOOK_URL",
        ),
        ({"webhook_url": URL, "webhook_secret": OTHER_SECRET}, "OTPKIT_TELEMETRY_WEBHOOK_SECRET"),
        (
            {"webhook_url": URL, "webhook_secret": WEBHOOK_SECRET, "webhook_names": "budgets"},
            "OTPKIT_TELEMETRY_WEBHOOK_NAMES",
        ),
        (
            {"webhook_url": URL, "webhook_secret": WEBHOOK_SECRET, "webhook_source": "a b"},
            "OTPKIT_TELEMETRY_WEBHOOK_SOURCE",
        ),
    ],
)
def test_a_wrong_setting_is_named(variables: dict[str, str], field: str) -> None:
    """As all others, before anything is served."""
    assert problems(**variables) == [field]


def test_a_wrong_setting_of_a_file_is_named_by_its_place(tmp_path: Path) -> None:
    """The error shows no secret."""
    file = tmp_path / "otpkit.toml"
    file.write_text(f'[telemetry]\nwebhook_url = "{URL}"\nwebhook_secret = "{OTHER_SECRET}"\n')
    with pytest.raises(ConfigurationError) as refused:
        read_settings(COMMON, str(file))
    assert f"{file}: telemetry.webhook_secret" in str(refused.value)
    assert OTHER_SECRET not in str(refused.value)


def telemetry(url: str) -> Finding:
    variables = {"OTPKIT_TELEMETRY_WEBHOOK_URL": url, "OTPKIT_TELEMETRY_WEBHOOK_SECRET": WEBHOOK_SECRET}
    found = [each for each in examine(COMMON | variables).findings if each.name == "telemetry"]
    assert len(found) == 1
    assert WEBHOOK_SECRET not in repr(found)
    assert "hush" not in repr(found)
    return found[0]


@pytest.mark.parametrize(
    ("status", "verdict", "remedy"),
    [(204, "ok", ""), (401, "warning", "WEBHOOK_SECRET"), (302, "warning", "redirect"), (500, "warning", "log")],
)
def test_doctor_asks_the_webhook(status: int, verdict: str, remedy: str) -> None:
    """It posts one signed event, so that a wrong secret is found too."""
    with Receiver([status]) as receiver:
        found = telemetry(receiver.url)
    assert found.status == verdict
    assert remedy in found.remedy
    assert receiver.posted[0].event()["type"] == "otpkit.check"


def test_doctor_warns_of_a_webhook_that_is_not_there() -> None:
    """It stops nothing, so it is no problem."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    found = telemetry(f"http://127.0.0.1:{port}/")
    assert found.status == "warning"
    assert "can't be reached" in found.found


def test_doctor_names_where_events_are_logged() -> None:
    """Without any setting it finds nothing."""
    assert not [each for each in examine(COMMON).findings if each.name == "telemetry"]
    (found,) = [
        each for each in examine(COMMON | {"OTPKIT_TELEMETRY_LOG": "json"}).findings if each.name == "telemetry"
    ]
    assert (found.status, found.found) == ("ok", "Events are logged as json.")


def test_doctor_names_a_wrong_setting() -> None:
    """Like all others."""
    found = examine(COMMON | {"OTPKIT_TELEMETRY_WEBHOOK_URL": URL}).findings
    assert any(each.status == "problem" and "OTPKIT_TELEMETRY_WEBHOOK_SECRET" in each.found for each in found)


def test_a_secret_of_keygen_is_taken(capsys: Any) -> None:
    """Its form is that of Standard Webhooks."""
    from otpkit.cli.commands import keygen

    keygen(webhook=True)
    secret = capsys.readouterr().out.strip()
    assert [type(each) for each in listeners(webhook_url=URL, webhook_secret=secret)] == [WebhookListener]
