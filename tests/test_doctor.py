"""The doctor's findings about settings, about the index secret that Redis was used with, and about the gateway."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
import redis
from support.doctor import OTHER, SECRET, found_of, settings_of

from otpkit import Template
from otpkit.doctor import Finding, Report, examine, probe, settings
from otpkit.doctor.findings import refused
from otpkit.doctor.probe import FINGERPRINT_LIFE_S, ask_gateway, remember
from otpkit.effects import NoAnswer, NotConnected
from otpkit.errors import ConfigurationError, GatewayRejectedError, OTPError, RejectionCategory
from otpkit.gateways import Alidayu
from otpkit.sandbox import Fault, Sandbox
from otpkit.sandbox import running as sandbox_running


def test_an_empty_environment_is_told_part_by_part() -> None:
    """There is no traceback, and each part is listed with the values that it needs."""
    report = examine({})
    assert list(dict.fromkeys(finding.name for finding in report.findings)) == [
        "redis",
        "secret",
        "template",
        "gateway",
        "guard",
    ]
    assert {finding.status for finding in report.findings[:-1]} == {"problem"}
    assert not report.ok
    assert "OTPKIT_ALIDAYU_APP_SECRET" in report.findings[-2].found


@pytest.mark.parametrize(
    "url", ["memory://", "http://somewhere", "redis://127.0.0.1:1/0", "redis+cluster://127.0.0.1:1"]
)
def test_a_store_that_is_none_is_a_problem_and_hides_nothing(url: str) -> None:
    found = settings_of(url)
    assert (found["redis"].status, found["secret"].status) == ("problem", "ok")
    assert found["redis"].remedy


@pytest.mark.parametrize(
    ("secret", "status", "said"),
    [
        (SECRET, "ok", "One, of 49 bytes."),
        (f"{OTHER} {SECRET}", "ok", "2, the shortest of 49 bytes"),
        ("short", "problem", "at least 32"),
        (f"{SECRET} {SECRET}", "problem", "twice"),
        ("ab" * 20, "problem", "must be random"),
    ],
)
def test_secrets_are_counted_and_measured(secret: str, status: str, said: str) -> None:
    finding = settings_of("memory://", secret=secret, index_secret=OTHER)["secret"]
    assert finding.status == status
    assert said in finding.found


def test_an_index_secret_that_is_missing_or_short_is_a_problem() -> None:
    for missing in ({"secret": f"{OTHER} {SECRET}"}, {"index_secret": "short"}):
        finding = settings_of("memory://", **missing)["index_secret"]
        assert finding.status == "problem"
        assert finding.found.startswith("index_secret ")


def test_a_bad_namespace_is_a_problem() -> None:
    assert settings_of("memory://", namespace="a b")["namespace"].status == "problem"


def test_an_index_secret_that_changed_is_a_problem(valkey_url: str, namespace: str) -> None:
    """A rotation that keeps it is no problem. Redis stores only a fingerprint, and a good run renews its life."""

    def found(**variables: str) -> Finding:
        return settings_of(valkey_url, namespace=namespace, **variables)["index_secret"]

    assert "now recorded" in found().found
    assert "used with" in found().found
    with redis.Redis.from_url(valkey_url) as client:
        (key,) = client.keys(f"{namespace}:*")
        kept = client.get(key)
        client.expire(key, 1000)
        changed = found(secret=OTHER)
        assert changed.status == "problem"
        assert client.ttl(key) <= 1000
        assert found(secret=f"{SECRET} {OTHER}", index_secret=SECRET).status == "ok"
        assert FINGERPRINT_LIFE_S - 60 < client.ttl(key) <= FINGERPRINT_LIFE_S
        assert client.get(key) == kept
        assert re.fullmatch(rb"[A-Za-z0-9_-]{22}", kept)
        assert key.decode() in changed.remedy
        client.delete(key)
        assert "now recorded" in found(secret=OTHER).found


def test_a_client_that_decodes_is_asked_alike(valkey_url: str, namespace: str) -> None:
    with redis.Redis.from_url(valkey_url, decode_responses=True) as client:
        assert [remember(client, namespace, text) for text in ("a", "a", "b")] == ["now", "same", "other"]
        assert found_of(client)["persistence"].found.startswith("None:")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (None, "warning", "approved text"),
        ("验证码${code}。", "ok", "one SMS"),
        ("验证码${code}。" + "好" * 70, "warning", "2 SMS"),
    ],
)
def test_a_template_is_compared_with_its_text(body: str | None, status: str, said: str) -> None:
    finding = settings.template(Template("SMS_1", "otpkit", body=body))
    assert finding.status == status
    assert said in finding.found


@pytest.mark.parametrize(
    ("gateway", "signed", "said"),
    [
        ("twilio", True, "one SMS"),
        ("twilio", False, "one SMS"),
        ("alidayu", True, "2 SMS"),
        ("alidayu", False, "OTPKIT_TEMPLATE_SIGN_NAME is missing"),
    ],
)
def test_a_template_is_counted_as_its_gateway_sends_it(gateway: str, signed: bool, said: str) -> None:
    """A signature turns an English text into UCS-2, if the provider adds one. Other providers need none."""
    variables = {
        "GATEWAY": gateway,
        "TEMPLATE_CODE": "login",
        "TEMPLATE_BODY": "Your code is ${code}. It is valid for five minutes. Never share it with anybody.",
        "ALIDAYU_APP_KEY": "key",
        "ALIDAYU_APP_SECRET": SECRET,
        "ALIDAYU_BASE_URL": "http://127.0.0.1:1",
        "TWILIO_ACCOUNT_SID": "AC0",
        "TWILIO_AUTH_TOKEN": SECRET,
        "TWILIO_SENDER": "+15551234567",
        "TWILIO_BASE_URL": "http://127.0.0.1:1",
    } | ({"TEMPLATE_SIGN_NAME": "Acme"} if signed else {})
    report = examine({f"OTPKIT_{name}": value for name, value in variables.items()})
    (finding,) = (each for each in report.findings if each.name == "template")
    assert said in finding.found


def _refusal(category: RejectionCategory) -> GatewayRejectedError:
    return GatewayRejectedError("Gate: the reason; what to do.", gateway="gate", gateway_code="1", category=category)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (settings.ProbeReply(status=200, understood=True), "ok"),
        (settings.ProbeReply(status=200), "warning"),
        (settings.ProbeReply(status=503), "warning"),
        (settings.ProbeReply(failure=NoAnswer("late")), "warning"),
        (settings.ProbeReply(failure=NotConnected("refused")), "problem"),
        (settings.ProbeReply(_refusal("account"), status=200), "problem"),
        (settings.ProbeReply(_refusal("account"), status=401), "problem"),
        (settings.ProbeReply(_refusal("request"), status=403), "problem"),
        (settings.ProbeReply(_refusal("request"), status=200), "warning"),
        (settings.ProbeReply(_refusal("rate_limit"), status=403), "warning"),
        (settings.ProbeReply(_refusal("number"), status=200), "ok"),
    ],
)
def test_what_a_gateway_says_is_judged(answer: settings.ProbeReply, status: str) -> None:
    finding = settings.gateway("gate", answer)
    assert finding.status == status
    assert bool(finding.remedy) == (status != "ok")


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        (None, "ok", "accepts the credentials"),
        (Fault("reject", code="50001", times=9), "problem", "50001"),
        (Fault("reject", code="80001", times=9), "warning", "80001"),
        (Fault("reject", code="50009", times=9), "ok", "accepts the credentials"),
        (Fault("http_500", times=9), "warning", "HTTP 500"),
        (Fault("throttled", times=9), "warning", "too many calls"),
        (Fault("drop", times=9), "warning", "uncertain"),
        (Fault("half", times=9), "warning", "uncertain"),
        (Fault("not_json", times=9), "warning", "the body can't be read"),
    ],
    ids=lambda value: value.code or value.fault if isinstance(value, Fault) else None,
)
def test_a_gateway_is_asked_without_sending(fault: Fault | None, status: str, said: str) -> None:
    sandbox = Sandbox()
    if fault is not None:
        sandbox.add_fault(fault)
    with sandbox_running(sandbox) as address:
        gateway = Alidayu("sandbox", "sandbox-secret", base_url=address.gateway_url)
        finding = settings.gateway(gateway.name, ask_gateway(gateway))
    assert finding.status == status
    assert said in finding.found
    assert sandbox.messages() == []


def test_a_gateway_that_is_away_or_refuses_the_key_is_a_problem() -> None:
    with sandbox_running(Sandbox()) as address:
        for url, secret in ((address.gateway_url, OTHER), ("http://127.0.0.1:1/gw", "sandbox-secret")):
            finding = settings.gateway("alidayu", ask_gateway(Alidayu("sandbox", secret, base_url=url)))
            assert finding.status == "problem"
            assert OTHER not in repr(finding)


def test_a_gateway_that_can_not_be_asked_is_a_warning() -> None:
    assert settings.unasked("gate").status == "warning"


@pytest.mark.parametrize(
    ("error", "found", "remedy"),
    [
        (ConfigurationError("a is wrong.", "Pass b; or c: not d."), "a is wrong.", "Pass b; or c: not d."),
        (ConfigurationError("a: pass b; or. C."), "a: pass b; or. C.", "Else."),
        (OTPError("a is wrong.", retry_after=5), "a is wrong.", "Else."),
    ],
)
def test_finding_takes_problem_and_remedy(error: OTPError, found: str, remedy: str) -> None:
    """It uses the error's own fields, so no sentence is cut."""
    assert refused("a", error, "Else.") == Finding("a", "problem", found, remedy)


def test_warnings_alone_are_no_problem() -> None:
    warned = Report((Finding("a", "warning", "b", "c"), Finding("d", "ok", "e")))
    assert warned.ok
    assert warned.count("warning") == 1


def test_the_last_minutes_of_a_day_in_china_are_like_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway refuses queries for a day that has not begun, so the doctor must not make one."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    late = yesterday.replace(hour=15, minute=55)  # This is 23:55 in Shanghai.

    class Late(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return late.astimezone(tz)

    monkeypatch.setattr(probe, "datetime", Late)
    with sandbox_running(Sandbox(clock=late.timestamp)) as local:
        answer = probe.ask_gateway(Alidayu("sandbox", "sandbox-secret", base_url=local.gateway_url))
    assert (answer.refusal, answer.understood) == (None, True)


def policy_of(text: str) -> Finding:
    return settings_of("memory://", policy=text)["policy"]


def test_a_policy_of_the_environment_is_examined() -> None:
    """Each wrong field is a finding. Without the variable there is none."""
    assert "policy" not in settings_of("memory://")
    found = policy_of('{"code_length": 8, "sends": "1/hour", "total_sends": "9/day"}')
    assert found.status == "ok"
    assert found.found == "Codes of 8 digits, valid for 300 s; 1/hour to a phone, 9/day in total."
    for text, field in (
        ("{", ""),
        ('{"attemps": 3}', ".attemps"),
        ('{"ttl": 5}', ".ttl"),
        ('{"regions": []}', ".regions"),
    ):
        found = policy_of(text)
        assert found.status == "problem"
        assert found.found.startswith(f"OTPKIT_POLICY{field}")
    environ = {"OTPKIT_POLICY": '{"attemps": 3, "ttl": 5}'}
    unknown, short = (each for each in examine(environ).findings if each.name == "policy")
    assert "did you mean attempts?" in unknown.found
    assert (short.found, short.remedy) == (
        "OTPKIT_POLICY.ttl: Policy.ttl is 5.",
        "Set a whole number from 30 to 600.",
    )


def test_templates_of_the_environment_are_examined_one_by_one() -> None:
    """Each finding names its purpose."""
    one, other = {"code": "SMS_1", "sign_name": "x", "body": "${code}"}, {"code": "SMS_2", "sign_name": "x"}
    environ = {"OTPKIT_TEMPLATES": json.dumps({"signup": one, "login": other})}
    found = [each for each in examine(environ).findings if each.name == "template"]
    assert [each.status for each in found] == ["ok", "warning"]
    assert found[1].remedy == "Set body of 'login' in OTPKIT_TEMPLATES to the text that the gateway approved."
    environ = {"OTPKIT_TEMPLATES": json.dumps({"signup": {"code": 1}})}
    (broken,) = [each for each in examine(environ).findings if each.name == "template"]
    assert (broken.status, broken.remedy) == ("problem", "Correct OTPKIT_TEMPLATES.signup.")
