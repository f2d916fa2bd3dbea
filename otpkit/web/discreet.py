"""Answer strangers without revealing what was sent to a number or guessed for it (OWASP ASVS 6.3.8).

A visitor whose own `bind` has no live code can learn from the errors of `issue` and `verify` what others did with the
number, and no message warns its owner. `RateLimitError.retry_after` reveals when the number last got a code. Its scope
`failures` and `BlockedError` reveal that codes were guessed. Instead, return the answer of a code that was sent::

    try:
        otp.issue(phone, "login", bind=session_id, ip=ip, captcha=answer, discreet=True)
    except OTPError as error:
        if not tells_of_number(error):  # not a number, a captcha, the visitor's own address, Redis
            raise
    challenge = presumed_challenge(phone, "login", otp.policy)  # show the form for the code from this alone

    try:
        proof = otp.verify(phone, code, "login", bind=session_id, ip=ip)
    except OTPError as error:
        if tells_of_number(error):
            raise CodeRefusedError from None
        raise

With `issue(discreet=True)`, a number that can get no code asks for a captcha, and is refused by the guard, the
visitor's limits or a budget, as any other of its range is. Otherwise the missing captcha would reveal it.

The pages and the JSON router do this with `discreet=True`. Visitors then do not see that they have reached a limit, so
show beside the form how many codes a number can get. The response time still reveals if a gateway was called. To hide
that too, respond first and call `issue` in a queue's task. The guard counts only what was sent, so a visitor who makes
many requests meets its captcha later if some of the numbers got no code.
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
from otpkit.policy import stranger_sends

_OF_NUMBER = (BlockedError, ExpiredCodeError, GatewayRejectedError, WrongCodeError)


class CodeRefusedError(CodeError):
    """Raised when a code does not verify, without the reason."""

    code = "wrong_code"
    _text = "code_refused"


def tells_of_number(error: OTPError) -> bool:
    """Return True if an error of `issue` or `verify` reveals what was sent to the number, or guessed for it.

    It is False for errors that the visitor knows about or caused: not a number or not a code, a limit of an address, a
    region or the total, and failures of Redis or the configuration.

    Args:
        error: the error.
    """
    if isinstance(error, RateLimitError):
        return error.scope in {"phone", "failures", "gateway"}
    return isinstance(error, _OF_NUMBER)


def presumed_challenge(phone: str, purpose: str, policy: Policy, *, age: int = 0) -> Challenge:
    """Return a challenge that depends only on the policy: `uncertain`, with the times and counts of a stranger's first.

    Args:
        phone: the number to show.
        purpose: the purpose of the code.
        policy: the policy of the `OTP`.
        age: seconds since the code was requested. If it exceeds `policy.ttl`, `expires_in` is 0.
    """
    rates = stranger_sends(policy)
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
