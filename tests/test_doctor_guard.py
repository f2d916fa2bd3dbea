"""What the doctor finds of a guard, and of the captcha's provider."""

from __future__ import annotations

import json

import pytest
import redis
from support.doctor import SECRET, settings_of

from otpkit import OTP, Guard, Template
from otpkit.captcha import ProofOfWork, Turnstile
from otpkit.doctor import examine
from otpkit.doctor.protection import examine_captcha
from otpkit.sandbox import Sandbox, running
from otpkit.testing import Outbox, PassingCaptcha, SilentCaptcha


@pytest.mark.parametrize(
    ("mode", "status", "said"),
    [
        ("", "warning", "There is none"),
        ("off", "warning", "counts nothing"),
        ("observe", "warning", "only observes"),
        ("enforce", "ok", "enforces"),
        ("on", "problem", "OTPKIT_GUARD_MODE"),
    ],
)
def test_mode_is_judged(mode: str, status: str, said: str) -> None:
    found = settings_of("memory://", guard_mode=mode)["guard"]
    assert found.status == status
    assert said in found.found
    assert bool(found.remedy) == (status != "ok")


def test_enforcing_guard_refuses_what_hooks_send() -> None:
    """The codes of other systems stay unverified."""
    hooks = {"ids": {"format": "kratos", "template": "login", "key": "key-of-the-hook-0123456789-0123456789"}}
    found = settings_of("memory://", guard_mode="enforce", hooks=json.dumps(hooks))["guard"]
    assert found.status == "warning"
    assert "hooks ids" in found.found


def test_decisions_of_an_observer_are_counted(valkey_url: str, namespace: str) -> None:
    with OTP(
        valkey_url,
        Outbox(),
        Template("SMS_1", "otpkit"),
        SECRET,
        namespace=namespace,
        guard=Guard(),
    ) as otp:
        for number in range(10, 22):
            otp.issue(f"+86138001380{number}", ip="81.2.3.4")
        otp.guard_report()  # It writes what this process has noted.
    complete = {"gateway": "console", "development": "1", "template_code": "SMS_1", "template_sign_name": "otpkit"}
    found = settings_of(valkey_url, namespace=namespace, guard_mode="observe", **complete)["guard"]
    assert "Decisions about its scopes in the last week: " in found.found
    assert "last week: 0" not in found.found


@pytest.mark.parametrize(("days", "said"), [(3, "It only observes"), (21, "It has only observed for 3 weeks, since 2")])
def test_long_observation_is_a_warning(valkey_url: str, namespace: str, days: int, said: str) -> None:
    complete = {"gateway": "console", "development": "1", "template_code": "SMS_1", "template_sign_name": "otpkit"}
    settings = {"namespace": namespace, "guard_mode": "observe", **complete}
    first = settings_of(valkey_url, **settings)["guard"]
    assert (first.status, first.found.partition(":")[0]) == ("warning", "It only observes")
    with redis.Redis.from_url(valkey_url) as client:
        since = f"{namespace}:{{guard}}:since"
        ago_ms = int(client.get(since) or 0) - days * 86_400_000
        assert 0 < client.pttl(since) <= 400 * 86_400_000
        client.set(since, ago_ms, keepttl=True)
    found = settings_of(valkey_url, **settings)["guard"]
    assert found.status == "warning"
    assert said in found.found
    assert "Decisions about its scopes in the last week: 0" in found.found


def test_captcha_is_asked() -> None:
    """About an answer that is never right, as the sandbox counts."""
    sandbox = Sandbox()
    with running(sandbox) as address:
        right = Turnstile("sandbox", "sandbox-secret", base_url=address.base_url)
        wrong = Turnstile("sandbox", "another-secret", base_url=address.base_url)
        assert examine_captcha(right).status == "ok"
        refused = examine_captcha(wrong)
    assert refused.status == "problem"
    assert refused.remedy
    assert "another-secret" not in f"{refused.found} {refused.remedy}"
    assert examine_captcha(right).status == "warning", "It does not answer any more."


def test_captchas_without_a_provider() -> None:
    assert examine_captcha(ProofOfWork()).status == "ok"
    assert examine_captcha(PassingCaptcha()).status == "warning"
    assert examine_captcha(SilentCaptcha()).status == "warning"
    assert examine_captcha(Turnstile("site", "1x0000000000000000000000000000000AA")).status == "problem"


def test_captcha_of_the_settings_is_asked() -> None:
    with running(Sandbox()) as address:
        given = {
            "OTPKIT_GUARD_CAPTCHA": "turnstile",
            "OTPKIT_TURNSTILE_SITE_KEY": "sandbox",
            "OTPKIT_TURNSTILE_SECRET_KEY": "sandbox-secret",
            "OTPKIT_TURNSTILE_BASE_URL": address.base_url,
        }
        found = {finding.name: finding for finding in examine(given).findings}
    assert found["captcha"].found == "turnstile responds and accepts the keys."


def test_captcha_of_each_purpose_is_asked() -> None:
    """Each finding says what its captcha is for."""
    with running(Sandbox()) as address:
        table = {"provider": "turnstile", "site_key": "sandbox", "base_url": address.base_url}
        captchas = {
            "signup": {**table, "secret_key": "sandbox-secret"},
            "login": {**table, "secret_key": "another-secret"},
            "*": "proof-of-work",
        }
        findings = examine({"OTPKIT_GUARD_CAPTCHAS": json.dumps(captchas)}).findings
    found = {each.found.partition(":")[0]: each.status for each in findings if each.name == "captcha"}
    assert found == {"signup": "ok", "login": "problem", "all other purposes": "ok"}
