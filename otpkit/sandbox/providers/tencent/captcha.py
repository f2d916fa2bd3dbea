"""Tencent Cloud's captcha 2019-07-22: DescribeCaptchaResult. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otpkit.sandbox.calls import Api, WireRequest, WireResponse
from otpkit.sandbox.captchas import State
from otpkit.sandbox.providers.shared import FailureResponses, apply_fault
from otpkit.sandbox.providers.tencent.responses import TencentError, done, failed
from otpkit.sandbox.state import Sandbox

VERSION: Final = "2019-07-22"
_API: Final[Api] = "tencent.DescribeCaptchaResult"
_NEEDED: Final = ("CaptchaType", "Ticket", "UserIp", "Randstr", "CaptchaAppId", "AppSecretKey")
_STATES: Final[Mapping[State, int]] = {"good": 1, "unknown": 15, "expired": 8, "used": 9}
_MESSAGES: Final[Mapping[int, str]] = {
    1: "OK",
    7: "captcha no match",
    8: "ticket expired",
    9: "ticket reused",
    15: "decrypt fail",
    16: "appid-ticket mismatch",
    21: "diff",
    100: "appid-secretkey-ticket mismatch",
}


def describe_captcha_result(sandbox: Sandbox, fields: Mapping[str, Any], _: WireRequest) -> WireResponse:
    """Verify a ticket."""
    missing = [name for name in _NEEDED if fields.get(name) in (None, "")]
    if missing:
        raise TencentError("MissingParameter", f"The request is missing the parameter {missing[0]}.")
    ticket, fault = str(fields["Ticket"]), sandbox.take_fault(_API, ())
    captcha, state = sandbox.find_captcha("tencent-captcha", ticket)
    code = _STATES[state]
    if fields["AppSecretKey"] != sandbox.captcha_secret:
        code = 100
    elif ticket.startswith("trerror_"):
        code = 21
    elif captcha is not None and captcha.site_key not in {None, str(fields["CaptchaAppId"])}:
        code = 16
    elif captcha is not None and fields["Randstr"] != f"@{ticket[:4]}":
        code = 7
    if code == 1 and (fault is None or fault.sent):
        sandbox.use_captcha(ticket)
    return apply_fault(_result(code), _API, fault, FAILURES)


def _result(code: int, evil_level: int = 0) -> WireResponse:
    message = _MESSAGES.get(code, "unknown")
    return done(CaptchaCode=code, CaptchaMsg=message, EvilLevel=evil_level, GetCaptchaTime=0, SubmitCaptchaTime=0)


def _refused(_: Api, code: str) -> WireResponse:
    """Return a refusal: a CaptchaCode, `evil` (CaptchaCode 1 with EvilLevel 100), or an error of the API."""
    if code == "evil":
        return _result(1, 100)
    return _result(int(code)) if code.isdigit() else failed(code, code)


FAILURES: Final = FailureResponses(
    refused=_refused,
    broken=lambda _: failed("InternalError", "An internal error has occurred.", status=500),
    throttled=lambda _: failed("RequestLimitExceeded", "The request rate limit was exceeded."),
    unclear=lambda _: failed("InternalError", "An internal error has occurred."),
)
