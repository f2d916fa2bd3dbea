"""The pytest plug-in: an `OTP` on the embedded store, an outbox, a clock that can be moved. It needs no Redis server.

Installed with otpkit. Override `otp_policy` in a conftest to test another policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from otpkit import OTP, AsyncOTP, Policy
    from otpkit.testing import MovableClock, Outbox

# otpkit is imported inside the fixtures, so that a test run that uses none of them does not pay for it.


@pytest.fixture
def otp_outbox() -> Outbox:
    """Where messages arrive: `otp_outbox[-1].code` is the latest code."""
    from otpkit.testing import Outbox

    return Outbox()


@pytest.fixture
def otp_clock() -> MovableClock:
    """The time by which `otp` judges; `otp_clock.advance(seconds)` moves it."""
    from otpkit.testing import MovableClock

    return MovableClock()


@pytest.fixture
def otp_policy() -> Policy:
    """The policy of `otp` and `async_otp`: the default one."""
    from otpkit import Policy

    return Policy()


@pytest.fixture
def otp(otp_outbox: Outbox, otp_clock: MovableClock, otp_policy: Policy) -> Iterator[OTP]:
    """An `OTP` with a store of its own in this process."""
    from otpkit import OTP

    with OTP(**_arguments(otp_outbox, otp_clock, otp_policy)) as otp:
        yield otp


@pytest.fixture
def async_otp(otp_outbox: Outbox, otp_clock: MovableClock, otp_policy: Policy) -> AsyncOTP:
    """An `AsyncOTP` with a store of its own in this process."""
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
