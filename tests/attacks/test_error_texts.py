"""Each error says what is wrong, who must act, and what to do; its message speaks to the person at the form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from attack_lab import DAY, OTHER_PHONE, PHONE, TEMPLATE, Lab, outcome, wrong

from otpkit import ConfigurationError, GatewayRejectedError, OTPError, Policy

Raise = Callable[[Lab], Any]


def _after_a_code(lab: Lab, use: Callable[..., Any], **options: Any) -> Any:
    otp = lab.otp(**options)
    otp.issue(PHONE)
    return use(otp, lab.outbox[-1].code)


def _blocked(otp: Any, code: str) -> Any:
    outcome(otp.verify, PHONE, wrong(code))
    return outcome(otp.verify, PHONE, code)


def _used(otp: Any, code: str) -> Any:
    token = otp.verify(PHONE, code).token
    otp.redeem(token)
    return outcome(otp.redeem, token)


def _expired(lab: Lab) -> Any:
    proof = _after_a_code(lab, lambda otp, code: otp.verify(PHONE, code))
    lab.clock.advance(DAY)
    return outcome(lab.otp().check, proof.token)


def _rejected(lab: Lab) -> Any:
    lab.outbox.reject_next(GatewayRejectedError("x: no; wait.", gateway="x", category="rate_limit", retry_after=99))
    return outcome(lab.otp().issue, PHONE)


TEXTS: dict[str, tuple[Raise, str]] = {
    "PhoneError": (
        lambda lab: outcome(lab.otp().issue, "x"),
        r"Not a mobile number: .+; ask the person .+ to correct it",
    ),
    "RegionError": (
        lambda lab: outcome(lab.otp().issue, "+447400123456"),
        r"does not allow; ask for another .+ or add",
    ),
    "MalformedCodeError": (
        lambda lab: outcome(lab.otp().verify, PHONE, "x"),
        r"6 ASCII digits .+; pass what the person",
    ),
    "WrongCodeError": (
        lambda lab: _after_a_code(lab, lambda otp, code: outcome(otp.verify, PHONE, wrong(code))),
        r"wrong and was counted; attempts left: 4\. The form should let the person try again",
    ),
    "ExpiredCodeError": (
        lambda lab: outcome(lab.otp().verify, PHONE, "123456"),
        r"no live challenge .+: issue a new code",
    ),
    "RateLimitError": (
        lambda lab: _after_a_code(lab, lambda otp, _: outcome(otp.issue, PHONE)),
        r"Policy\.sends allows \(1/minute\)\. Nothing was sent or verified; the same call may succeed in 60 s",
    ),
    "RateLimitError of the gateway": (_rejected, r"gateway x limits .+; nothing was sent\. Try again in 99 s"),
    "BlockedError": (
        lambda lab: _after_a_code(lab, _blocked, policy=Policy(max_consecutive_failures=1)),
        r"Too many consecutive wrong codes .+\. An operator .+ calls unblock",
    ),
    "InvalidTokenError": (lambda lab: outcome(lab.otp().check, "x"), r"not a proof token .+\. Verify the phone again"),
    "ExpiredTokenError": (_expired, r"life is over\. Verify the phone again"),
    "UsedTokenError": (lambda lab: _after_a_code(lab, _used), r"redeemed before, or .+ gone\. Verify the phone again"),
    "StoreUnavailableError": (
        lambda lab: outcome(lab.otp(redis="redis://127.0.0.1:1/0").issue, PHONE),
        r"Redis did not answer \(ConnectionError\): nothing was granted\. An operator should look at the server",
    ),
    "ConfigurationError": (
        lambda lab: outcome(lab.otp(template={"login": TEMPLATE}).issue, OTHER_PHONE),
        r"no template for the purpose 'signup'; add it to OTP",
    ),
    "ConfigurationError of an address": (
        lambda lab: outcome(lab.otp().issue, PHONE, ip="x"),
        r"ip must be .+; pass what",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_an_error_says_what_is_wrong_and_what_to_do(memory_lab: Lab, name: str) -> None:
    """For the developer and the log in `str`, for the person in both languages; neither with the number."""
    provoke, pattern = TEXTS[name]
    error = provoke(memory_lab)
    assert isinstance(error, OTPError)
    assert type(error).__name__ == name.split()[0]
    assert re.search(pattern, str(error))
    assert error.code
    assert 400 <= error.status < 600
    for text in (str(error), error.message("en"), error.message("zh")):
        assert text.endswith((".", "。"))
        assert not re.search(r"[0-9]{7}", text)
    with pytest.raises(ConfigurationError):
        error.message("fr")
