"""How a page asks for the calls of an `OTP` without knowing which one serves it: the sync one, or the async one.

A turn is a generator that yields what to ask, a function of the `OTP`, and is sent the answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

from otpkit import OTP, AsyncOTP, OTPError
from otpkit.frames import without_locals

T = TypeVar("T")
Ask: TypeAlias = Callable[[Any], Any]
Turn: TypeAlias = Generator[Ask, Any, T]


@without_locals
def drive(turn: Turn[T], otp: OTP) -> T:
    """Run a turn to its end."""
    try:
        ask = next(turn)
        while True:
            try:
                answer = ask(otp)
            except OTPError as error:
                refusal = error
            else:
                ask = turn.send(answer)
                continue
            ask = turn.throw(refusal)
    except StopIteration as stop:
        result: T = stop.value
        return result


@without_locals
async def drive_async(turn: Turn[T], otp: AsyncOTP) -> T:
    """Same as `drive`, but awaited."""
    try:
        ask = next(turn)
        while True:
            try:
                answer = ask(otp)
                if inspect.isawaitable(answer):
                    answer = await answer
            except OTPError as error:
                refusal = error
            else:
                ask = turn.send(answer)
                continue
            ask = turn.throw(refusal)
    except StopIteration as stop:
        result: T = stop.value
        return result
