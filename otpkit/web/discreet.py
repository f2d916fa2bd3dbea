"""Answers to strangers that do not tell what was sent to a number or guessed for it (OWASP ASVS 6.3.8).

A visitor whose own `bind` has no live code learns from the errors of `issue` and `verify` what others did with the
number, and no message warns its owner: `RateLimitError.retry_after` says when the number last got a code, its scope
`failures` and `BlockedError` that codes were guessed. Give one answer instead, the same where a code was sent::

    try:
        otp.issue(phone, "login", bind=session_id, ip=ip)
    except OTPError as error:
        if not tells_of_number(error):  # not a number, the visitor's own address, Redis
            raise
    challenge = presumed_challenge(phone, "login", otp.policy)  # show the form for the code, by this alone

    try:
        proof = otp.verify(phone, code, "login", bind=session_id, ip=ip)
    except OTPError as error:
        if tells_of_number(error):
            raise CodeRefusedError from None
        raise

The pages and the JSON router do so with `discreet=True`. People then aren't told of a limit that they have used up: say
beside the form how many codes a number gets. The time to the answer still tells whether a gateway was asked: to hide
that as well, answer first and call `issue` in a task of a queue.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from otpkit import (
    BlockedError,
    Challenge,
    CodeError,
    ExpiredCodeError,
    GatewayRejectedError,
    OTPError,
    Policy,
    RateLimitError,
    WrongCodeError,
)
from otpkit.policy import rates_of

_OF_NUMBER = (BlockedError, ExpiredCodeError, GatewayRejectedError, WrongCodeError)


class CodeRefusedError(CodeError):
    """The code did not verify; why is not told."""

    code = "wrong_code"
    _text = "code_refused"


def tells_of_number(error: OTPError) -> bool:
    """Return whether an error of `issue` or `verify` tells what was sent to the number, or guessed for it.

    False for what the visitor can know or has done: no number or no code was typed, the limits of an address, a region
    or in total are used up, and Redis or the deployment failed.
    """
    if isinstance(error, RateLimitError):
        return error.scope in {"phone", "failures", "gateway"}
    return isinstance(error, _OF_NUMBER)


def presumed_challenge(phone: str, purpose: str, policy: Policy, *, age: int = 0) -> Challenge:
    """Return a challenge that depends on the policy alone: `uncertain`, with the lives and counts of a first one.

    Args:
        phone: the number, as it is to be shown.
        purpose: what the code is for.
        policy: that of the `OTP`.
        age: seconds since the code was asked for. Beyond `policy.ttl` there is none to show.
    """
    rates = rates_of(policy.sends)
    pause = max((rate.seconds for rate in rates if rate.limit == 1), default=0)
    expires_in, resend_in, now = max(0, policy.ttl - age), max(0, pause - age), datetime.now(UTC)
    return Challenge(
        id="",
        phone=phone,
        purpose=purpose,
        expires_at=now + timedelta(seconds=expires_in),
        expires_in=expires_in,
        resend_at=now + timedelta(seconds=resend_in),
        resend_in=resend_in,
        attempts_left=policy.attempts,
        sends_left=max(rates, key=lambda rate: rate.seconds).limit - 1,
        delivery="uncertain",
    )
