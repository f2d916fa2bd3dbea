"""The pytest plug-in: an `OTP` on the embedded store, an outbox, and a clock that tests can move. It needs no Redis.

It is installed with otpkit. To test another policy, override the fixture `otp_policy` in your conftest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from otpkit import OTP, AsyncOTP, Policy
    from otpkit.testing import MovableClock, Outbox

# The fixtures import otpkit themselves, so that test runs without them do not pay for the import.


@pytest.fixture
def otp_outbox() -> Outbox:
    """Return the outbox that collects messages. `otp_outbox[-1].code` is the latest code."""
    from otpkit.testing import Outbox

    return Outbox()


@pytest.fixture
def otp_clock() -> MovableClock:
    """Return the clock of `otp` and `async_otp`. `otp_clock.advance(seconds)` moves it."""
    from otpkit.testing import MovableClock

    return MovableClock()


@pytest.fixture
def otp_policy() -> Policy:
    """Return the policy of `otp` and `async_otp`: the default policy."""
    from otpkit import Policy

    return Policy()


@pytest.fixture
def otp(otp_outbox: Outbox, otp_clock: MovableClock, otp_policy: Policy) -> Iterator[OTP]:
    """Yield an `OTP` with its own store in this process, and close it afterwards."""
    from otpkit import OTP

    with OTP(**_arguments(otp_outbox, otp_clock, otp_policy)) as otp:
        yield otp


@pytest.fixture
def async_otp(otp_outbox: Outbox, otp_clock: MovableClock, otp_policy: Policy) -> AsyncOTP:
    """Return an `AsyncOTP` with its own store in this process."""
    from otpkit import AsyncOTP

    return AsyncOTP(**_arguments(otp_outbox, otp_clock, otp_policy))


def _arguments(outbox: Outbox, clock: MovableClock, policy: Policy) -> dict[str, Any]:
    from secrets import token_bytes

    from otpkit import Template

    return {
        "redis": "memory://",
        "gateway": outbox,
        "template": Template("SMS_000000", sign_name="otpkit"),
        "secret": token_bytes(32),
        "policy": policy,
        "clock": clock,
    }
