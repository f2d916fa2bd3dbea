"""Count the requests with a wrong API key, and write them to the audit: at once, and then once a minute."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from otpkit import AsyncOTP, OTPError
from otpkit.aio import config_of, drive_async
from otpkit.core.audit import write_event

_PAUSE_S: Final = 60


class RejectedKeys:
    """The rejected API keys of one service. Nothing waits for Redis, and what Redis refuses is lost."""

    def __init__(self, otp: AsyncOTP) -> None:
        self._otp = otp
        self._count = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def count(self) -> None:
        """Count one request."""
        self._count += 1
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:  # An application can be served by one loop after another.
            self._loop = loop
            self._write()

    async def finish(self) -> None:
        """Write what was counted, and stop counting."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._count:
            times, self._count = self._count, 0
            await self._written(times)

    def _write(self) -> None:
        """Write what was counted, and again after a pause."""
        self._timer, loop = None, asyncio.get_running_loop()
        if self._count:
            times, self._count = self._count, 0
            self._task = loop.create_task(self._written(times))
            self._timer = loop.call_later(_PAUSE_S, self._write)

    async def _written(self, times: int) -> None:
        with suppress(OTPError):  # The service is being closed.
            await drive_async(write_event(config_of(self._otp), "key_rejected", times=times), self._otp)
