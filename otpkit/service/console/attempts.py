"""Limit the wrong keys of one address: in Redis for all processes, and in this process while Redis is down."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final

from otpkit.aio import AsyncOTP, config_of, drive_async
from otpkit.core.addresses import read_visitor
from otpkit.core.limits import Charge, consume_beside, refund, wide_limit
from otpkit.core.scripts.limits import Refusal
from otpkit.effects import Flow
from otpkit.errors import ConfigurationError, OTPError

MAX_WRONG: Final = 5
WINDOW: Final = 60  # seconds
_MAX_ADDRESSES: Final = 4096  # that one process remembers


class KeyAttempts:
    """The limit of wrong keys. A try is counted before the key is compared, and given back if the key is right.

    Args:
        otp: the `AsyncOTP` in whose Redis to count.
    """

    def __init__(self, otp: AsyncOTP) -> None:
        self._otp = otp
        self._config = config_of(otp)
        self._here: OrderedDict[str, deque[float]] = OrderedDict()

    async def begin(self, address: str | None) -> Attempt:
        """Count a try from an address, and return it."""
        name = _name(address)
        wait = self._count_here(name)
        charges: tuple[Charge, ...] = ()
        if not wait:
            try:
                charges, refusal = await drive_async(self._consume(name), self._otp)
            except OTPError:
                refusal = None  # Redis is down; this process counts.
            if refusal is not None:
                wait = math.ceil(refusal.wait_ms / 1000)
        return Attempt(self, name, charges, wait)

    async def forgive(self, attempt: Attempt) -> None:
        """Give a try back, because its key is right."""
        if times := self._here.get(attempt.name):
            times.pop()
        await drive_async(self._refund(attempt.charges), self._otp)

    def _consume(self, name: str) -> Flow[tuple[tuple[Charge, ...], Refusal | None]]:
        limits = wide_limit(self._config, "ip", ("console", name), f"{MAX_WRONG}/{WINDOW * 1000}")
        charges, refusal, _ = yield from consume_beside(self._config, limits, ())
        return tuple(charges), refusal

    def _refund(self, charges: tuple[Charge, ...]) -> Flow[None]:
        yield from refund(self._config, charges)

    def _count_here(self, name: str) -> int:
        now = self._config.elapsed_s()
        times = self._here.setdefault(name, deque())
        self._here.move_to_end(name)
        while len(self._here) > _MAX_ADDRESSES:
            self._here.popitem(last=False)
        while times and abs(now - times[0]) >= WINDOW:
            times.popleft()
        if len(times) >= MAX_WRONG:
            return math.ceil(WINDOW - (now - times[0]))
        times.append(now)
        return 0


class Attempt:
    """A counted try. `wait` is the seconds until another try is allowed, or 0 if this one is."""

    __slots__ = ("_attempts", "charges", "name", "wait")

    def __init__(self, attempts: KeyAttempts, name: str, charges: tuple[Charge, ...], wait: int) -> None:
        self._attempts = attempts
        self.name = name
        self.charges = charges
        self.wait = wait

    async def forgive(self) -> None:
        """Give the try back."""
        await self._attempts.forgive(self)


def _name(address: str | None) -> str:
    """Return the name that an address is counted by. Unlike a visitor's, a private address counts too."""
    try:
        visitor = None if address is None else read_visitor(address)
    except ConfigurationError:
        visitor = None
    return visitor.name if visitor else (address or "")
