"""Run a page flow with an `OTP` or an `AsyncOTP`.

A page flow is a generator that yields calls, such as `lambda otp: otp.verify(phone, code)`, and is sent what they
return. So a page is written once for both. The drivers of the `OTP` perform its calls, as they do for all other flows.
"""

from __future__ import annotations

from typing import TypeVar

from otpkit import OTP, AsyncOTP
from otpkit.effects import PageFlow
from otpkit.frames import without_locals

T = TypeVar("T")


@without_locals
def drive(flow: PageFlow[T], otp: OTP) -> T:
    """Run a page flow to its end, and return what it returns. Raises what it does not catch."""
    return otp._drive(flow)


@without_locals
async def drive_async(flow: PageFlow[T], otp: AsyncOTP) -> T:
    """Same as `drive`, but awaited."""
    return await otp._drive(flow)
