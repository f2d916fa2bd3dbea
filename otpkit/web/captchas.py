"""The captcha of a page: which one it shows and in which form, and how its answer comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from otpkit import OTP, AsyncOTP, CaptchaRequiredError
from otpkit.aio import config_of
from otpkit.captcha.base import Captcha
from otpkit.guard.protection import Protection

FIELDS: Final = (
    "captcha",
    "altcha",
    "cf-turnstile-response",
    "h-captcha-response",
    "g-recaptcha-response",
    "captchaVerifyParam",
)
"""The form fields that may hold an answer: otpkit's own, and those that the providers' widgets fill in."""
_SEVERAL: Final = (("lot_number", "captcha_output", "pass_token", "gen_time"), ("ticket", "randstr"))
NO_SOURCES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCaptcha:
    """A captcha that a page shows.

    Attributes:
        provider: the captcha's name, such as `turnstile`.
        parameters: what the page's script needs to show it, a JSON object without secrets.
        action: the `action` of the form that it belongs to, `send` or `call`. Its answer is the field `captcha`.
        csp: the sources that the page's Content-Security-Policy needs for it, by directive.
        answer: the answer that the visitor gave already, and that was not used up, or "".
    """

    provider: str
    parameters: Mapping[str, object]
    action: str
    csp: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answer: str = field(default="", repr=False)


def answer_in(form: Mapping[str, str]) -> str | None:
    """Return the captcha's answer in a form, or None. Widgets that fill in several fields give a JSON object.

    Args:
        form: the fields of the form.
    """
    for name in FIELDS:
        if form.get(name):
            return form[name]
    for names in _SEVERAL:
        if all(form.get(name) for name in names):
            return json.dumps({name: form[name] for name in names})
    return None


def captcha_of_error(otp: OTP | AsyncOTP, purpose: str, error: CaptchaRequiredError, action: str) -> ShownCaptcha:
    """Return the captcha that an error asks for."""
    captcha = _named(config_of(otp).protection, purpose, error.provider)
    csp = NO_SOURCES if captcha is None else captcha.csp
    return ShownCaptcha(provider=error.provider, parameters=error.parameters, action=action, csp=csp)


def fresh_captcha(
    otp: OTP | AsyncOTP, purpose: str, action: str, provider: str = "", answer: str = ""
) -> ShownCaptcha | None:
    """Return a captcha to show before anything has asked for it, or None if the guard has none of this name.

    Args:
        otp: the `OTP`.
        purpose: the purpose of the codes.
        action: the `action` of the captcha's form.
        provider: the captcha's name; "" is the guard's captcha for the purpose.
        answer: an answer that was not used up, or "".
    """
    config = config_of(otp)
    captcha = _named(config.protection, purpose, provider)
    if captcha is None:
        return None
    parameters = captcha.parameters(purpose, config.host_ms())
    return ShownCaptcha(provider=captcha.name, parameters=parameters, action=action, csp=captcha.csp, answer=answer)


def asks_always(otp: OTP | AsyncOTP) -> bool:
    """Return True if the guard refuses every send without a captcha, so that a page can show it at once."""
    protection = config_of(otp).protection
    return protection is not None and protection.enforces and protection.guard.ask == "always"


def _named(protection: Protection | None, purpose: str, provider: str) -> Captcha | None:
    """Return the captcha of a purpose with this name. A page needs no other purpose's sources."""
    if protection is None:
        return None
    own = [each for each in (protection.captcha_for(purpose), protection.fallback) if isinstance(each, Captcha)]
    return next((each for each in own if provider in {"", each.name}), None)
