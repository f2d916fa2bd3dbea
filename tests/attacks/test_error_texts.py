"""Each error states the problem, the party that must act, and the remedy. Its `message` is for the visitor."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from support.rig import DAY, OTHER_PHONE, PHONE, TEMPLATE, Rig, outcome, wrong

from otpkit import ConfigurationError, GatewayRejectedError, OTPError, Policy

Raise = Callable[[Rig], Any]


def _after_a_code(rig: Rig, use: Callable[..., Any], **options: Any) -> Any:
    otp = rig.heard(**options)
    otp.issue(PHONE)
    return use(otp, rig.outbox[-1].code)


def _blocked(otp: Any, code: str) -> Any:
    outcome(otp.verify, PHONE, wrong(code))
    return outcome(otp.verify, PHONE, code)


def _used(otp: Any, code: str) -> Any:
    token = otp.verify(PHONE, code).token
    otp.redeem(token)
    return outcome(otp.redeem, token)


def _expired(rig: Rig) -> Any:
    proof = _after_a_code(rig, lambda otp, code: otp.verify(PHONE, code))
    rig.clock.advance(DAY)
    return outcome(rig.heard().check, proof.token)


def _rejected(rig: Rig) -> Any:
    rig.outbox.reject_next(GatewayRejectedError("x: no.", "Wait.", gateway="x", category="rate_limit", retry_after=99))
    return outcome(rig.heard().issue, PHONE)


# By name: the cause of the error, words of its problem, words of its remedy.
TEXTS: dict[str, tuple[Raise, str, str]] = {
    "PhoneError": (
        lambda rig: outcome(rig.heard().issue, "x"),
        "Not a mobile number: ",
        "Ask the user to correct it",
    ),
    "RegionError": (
        lambda rig: outcome(rig.heard().issue, "+447400123456"),
        "Policy.regions does not allow",
        "Ask for another number, or add",
    ),
    "MalformedCodeError": (
        lambda rig: outcome(rig.heard().verify, PHONE, "x"),
        "6 ASCII digits",
        "Pass the text that the user typed",
    ),
    "WrongCodeError": (
        lambda rig: _after_a_code(rig, lambda otp, code: outcome(otp.verify, PHONE, wrong(code))),
        "wrong and was counted. Attempts left: 4.",
        "The form should let the user try again",
    ),
    "ExpiredCodeError": (
        lambda rig: outcome(rig.heard().verify, PHONE, "123456"),
        "no live challenge",
        "Issue a new code",
    ),
    "RateLimitError": (
        lambda rig: _after_a_code(rig, lambda otp, _: outcome(otp.issue, PHONE)),
        "Policy.sends and device_sends allow (1/minute). Nothing was sent or verified.",
        "The same call may succeed in 60 s",
    ),
    "RateLimitError of the gateway": (
        _rejected,
        "gateway x limits messages to this phone. Nothing was sent.",
        "Try again in 99 s",
    ),
    "BlockedError": (
        lambda rig: _after_a_code(rig, _blocked, policy=Policy(max_consecutive_failures=1)),
        "Too many consecutive wrong codes",
        "An operator who knows the user can call unblock",
    ),
    "InvalidTokenError": (
        lambda rig: outcome(rig.heard().check, "x"),
        "not a valid proof token",
        "Verify the phone again",
    ),
    "ExpiredTokenError": (_expired, "has expired", "Verify the phone again"),
    "UsedTokenError": (
        lambda rig: _after_a_code(rig, _used),
        "already redeemed, or its record is gone",
        "Verify the phone again",
    ),
    "StoreUnavailableError": (
        lambda rig: outcome(rig.heard(redis="redis://127.0.0.1:1/0").issue, PHONE),
        "Redis did not answer (ConnectionError): 127.0.0.1:1 refuses connections.",
        "An operator should look at the server",
    ),
    "ConfigurationError": (
        lambda rig: outcome(rig.heard(template={"login": TEMPLATE}).issue, OTHER_PHONE),
        "no template for the purpose 'signup'",
        "Add it to OTP(template=",
    ),
    "ConfigurationError of an address": (
        lambda rig: outcome(rig.heard().issue, PHONE, ip="x"),
        "ip must be the visitor's IP address",
        "Pass the address that your trusted proxy",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_error_says_what_is_wrong_and_what_to_do(memory_rig: Rig, name: str) -> None:
    """`str` is for the developer and the log, `message` for the visitor in both languages. None contains the number."""
    provoke, problem, remedy = TEXTS[name]
    error = provoke(memory_rig)
    assert isinstance(error, OTPError)
    assert type(error).__name__ == name.split()[0]
    assert problem in error.problem
    assert remedy in error.remedy
    assert str(error) == f"{error.problem} {error.remedy}"
    assert error.code
    assert 400 <= error.status < 600
    for text in (str(error), error.message("en"), error.message("zh")):
        assert text.endswith((".", "。"))
        assert not re.search(r"[0-9]{7}", text)
    with pytest.raises(ConfigurationError):
        error.message("fr")
