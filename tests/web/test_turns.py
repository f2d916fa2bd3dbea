"""A turn asks the same of both OTPs, and is told of errors where it asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from secrets_of_tests import SECRET

from otpkit import OTP, AsyncOTP, ExpiredCodeError, PhoneError, Proof, Template
from otpkit.testing import Outbox
from otpkit.web import Turn, drive, drive_async

PHONE = "+8613800138000"
TEMPLATE = Template("SMS_1", "otpkit")


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def otp(outbox: Outbox) -> Iterator[OTP]:
    with OTP("memory://", outbox, TEMPLATE, SECRET) as otp:
        yield otp


@pytest.fixture
async def async_otp(outbox: Outbox) -> AsyncIterator[AsyncOTP]:
    async with AsyncOTP("memory://", outbox, TEMPLATE, SECRET) as otp:
        yield otp


def sign_up(outbox: Outbox) -> Turn[Proof]:
    """Go astray twice, and arrive."""
    for astray in (lambda otp: otp.issue("12"), lambda otp: otp.verify(PHONE, "123456")):
        try:
            yield astray
        except (PhoneError, ExpiredCodeError) as error:
            assert error.__context__ is None  # noqa: PT017 - inside a generator
    yield lambda otp: otp.issue(PHONE)
    proof = yield lambda otp: otp.verify(PHONE, outbox[-1].code)
    checked: Proof = yield lambda otp: otp.check(proof.token)
    return checked


def unheard() -> Turn[None]:
    yield lambda otp: otp.issue("12")


def silent() -> Turn[str]:
    return "nothing to ask"
    yield lambda otp: otp


def test_a_turn_is_driven_to_its_end(otp: OTP, outbox: Outbox) -> None:
    assert drive(sign_up(outbox), otp).phone == PHONE


async def test_a_turn_is_driven_to_its_end_by_an_async_otp(async_otp: AsyncOTP, outbox: Outbox) -> None:
    assert (await drive_async(sign_up(outbox), async_otp)).phone == PHONE


async def test_an_error_that_a_turn_does_not_expect_is_the_callers(otp: OTP, async_otp: AsyncOTP) -> None:
    with pytest.raises(PhoneError):
        drive(unheard(), otp)
    with pytest.raises(PhoneError):
        await drive_async(unheard(), async_otp)


async def test_a_turn_that_asks_nothing_is_answered(otp: OTP, async_otp: AsyncOTP) -> None:
    assert drive(silent(), otp) == await drive_async(silent(), async_otp) == "nothing to ask"


def broken() -> Turn[None]:
    yield lambda otp: otp.surprise


async def test_what_is_no_refusal_ends_the_turn(otp: OTP, async_otp: AsyncOTP) -> None:
    with pytest.raises(AttributeError):
        drive(broken(), otp)
    with pytest.raises(AttributeError):
        await drive_async(broken(), async_otp)
