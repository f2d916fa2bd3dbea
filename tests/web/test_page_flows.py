"""A page flow makes the same calls with both OTPs, and their errors are raised inside the flow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from support.secrets import SECRET

from otpkit import OTP, AsyncOTP, ExpiredCodeError, PhoneError, Proof, Template
from otpkit.testing import Outbox
from otpkit.web import PageFlow, Turn, drive, drive_async

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


def sign_up(outbox: Outbox) -> PageFlow[Proof]:
    """Make two mistakes, and finish."""
    for astray in (lambda otp: otp.issue("12"), lambda otp: otp.verify(PHONE, "123456")):
        try:
            yield astray
        except (PhoneError, ExpiredCodeError) as error:
            assert error.__context__ is None  # noqa: PT017 - inside a generator
    yield lambda otp: otp.issue(PHONE)
    proof = yield lambda otp: otp.verify(PHONE, outbox[-1].code)
    checked: Proof = yield lambda otp: otp.check(proof.token)
    return checked


def unheard() -> PageFlow[None]:
    yield lambda otp: otp.issue("12")


def silent() -> PageFlow[str]:
    return "nothing to ask"
    yield lambda otp: otp


def test_page_flow_runs_to_its_end(otp: OTP, outbox: Outbox) -> None:
    assert drive(sign_up(outbox), otp).phone == PHONE


async def test_page_flow_runs_with_an_async_otp(async_otp: AsyncOTP, outbox: Outbox) -> None:
    assert (await drive_async(sign_up(outbox), async_otp)).phone == PHONE


async def test_uncaught_error_is_the_callers(otp: OTP, async_otp: AsyncOTP) -> None:
    with pytest.raises(PhoneError):
        drive(unheard(), otp)
    with pytest.raises(PhoneError):
        await drive_async(unheard(), async_otp)


async def test_page_flow_without_calls_returns(otp: OTP, async_otp: AsyncOTP) -> None:
    assert drive(silent(), otp) == await drive_async(silent(), async_otp) == "nothing to ask"


def broken() -> PageFlow[None]:
    yield lambda otp: otp.surprise


async def test_other_exceptions_end_the_page_flow(otp: OTP, async_otp: AsyncOTP) -> None:
    with pytest.raises(AttributeError):
        drive(broken(), otp)
    with pytest.raises(AttributeError):
        await drive_async(broken(), async_otp)


def test_names_of_page_flows_stay() -> None:
    assert Turn is PageFlow
