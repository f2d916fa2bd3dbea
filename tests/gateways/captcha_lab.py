"""Shared parts of the captchas' tests: each captcha at an address, right answers, and what is expected of errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from leaks import errors_of, reachable_text
from support.transports import AnyTransport

from otpkit.captcha import (
    AliyunCaptcha,
    Captcha,
    CaptchaCheck,
    CaptchaSilent,
    Geetest,
    HCaptcha,
    ReCaptcha,
    TencentCaptcha,
    Turnstile,
    Verdict,
)
from otpkit.sandbox import Sandbox, SolvedCaptcha
from otpkit.sandbox.calls import Api
from otpkit.transport.http import drive

SECRET = "s3cr3t-of-a-captcha-for-tests"
NOW = 1_800_000_000.0  # seconds
PURPOSE = "login"
IP = "203.0.113.7"
TIMEOUT = (5, 10)  # seconds
Make = Callable[[str], Captcha]


def _made(kind: Callable[..., Captcha], *args: Any, **named: Any) -> Make:
    return lambda url: kind(*args, base_url=url, **{"timeout": TIMEOUT, **named})


CAPTCHAS: dict[str, Make] = {
    "turnstile": _made(Turnstile, "sandbox", SECRET),
    "hcaptcha": _made(HCaptcha, "sandbox", SECRET),
    "recaptcha v2": _made(ReCaptcha, "sandbox", SECRET),
    "recaptcha v3": _made(ReCaptcha, "sandbox", SECRET, version="v3"),
    "recaptcha enterprise": _made(ReCaptcha, "sandbox", api_key=SECRET, project="my-project", version="enterprise"),
    "aliyun": _made(AliyunCaptcha, "sandbox", SECRET, scene_id="scene", prefix="abc"),
    "tencent": _made(TencentCaptcha, "sandbox", SECRET, app_id=190000001, app_secret_key=SECRET),
    "geetest": _made(Geetest, "sandbox", SECRET),
}
APIS: dict[str, Api] = {
    "turnstile": "turnstile.siteverify",
    "hcaptcha": "hcaptcha.siteverify",
    "recaptcha v2": "recaptcha.siteverify",
    "recaptcha v3": "recaptcha.siteverify",
    "recaptcha enterprise": "recaptcha.CreateAssessment",
    "aliyun": "VerifyIntelligentCaptcha",
    "tencent": "tencent.DescribeCaptchaResult",
    "geetest": "geetest.validate",
}
WITH_ACTION = ("turnstile", "recaptcha v3", "recaptcha enterprise")
WITH_HOSTNAMES = ("turnstile", "hcaptcha", "recaptcha v2", "recaptcha v3", "recaptcha enterprise")
WITH_SCORE = ("recaptcha v3", "recaptcha enterprise")


def check(**changes: Any) -> CaptchaCheck:
    return CaptchaCheck(**({"purpose": PURPOSE, "ip": IP, "now_ms": int(NOW * 1000)} | changes))


def sandbox(**changes: Any) -> Sandbox:
    return Sandbox(**({"access_key_secret": SECRET, "captcha_secret": SECRET, "clock": lambda: NOW} | changes))


def solved(name: str, captcha: Captcha, **changes: Any) -> SolvedCaptcha:
    """Return what a visitor of the right page solved. `changes` make it another one."""
    fields: dict[str, Any] = {"provider": captcha.name}
    if name in WITH_ACTION:
        fields["action"] = PURPOSE
    if name in WITH_SCORE:
        fields["score"] = 0.9
    return SolvedCaptcha(**(fields | changes))


def judge(captcha: Captcha, answer: Any, transport: AnyTransport, **changes: Any) -> Verdict:
    return drive(captcha.verify(answer, check(**changes)), transport)  # type: ignore[arg-type]


def silence_of(
    captcha: Captcha, answer: Any, transport: AnyTransport, caplog: pytest.LogCaptureFixture
) -> CaptchaSilent:
    """Return the silence that a verification raises. Nothing reachable from it, and no log, has a secret."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(CaptchaSilent) as caught:
        judge(captcha, answer, transport)
    error = caught.value
    assert list(errors_of(error)) == [error]
    shown = reachable_text(error) + caplog.text
    assert SECRET not in shown
    assert answer not in f"{error} {error!r} {caplog.text}"
    assert error.provider == captcha.name
    assert error.problem.endswith(".")
    assert error.remedy[:1].isupper()
    return error
