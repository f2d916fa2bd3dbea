"""The `AsyncOTP` of the soak: the calls of many threads are tasks of one loop, on one connection that often breaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

from otpkit import AsyncOTP
from otpkit.gateways import Message
from tests.support.echoes import echo
from tests.support.wire import FOREVER, Wire

CANCELLED = 0.03  # Share of the calls.
LONGEST_S = 0.05  # Time until a call is cancelled.
BREAK_S = (0.2, 1.5)  # Time between two faults of the connection.
TICK_S = 0.02  # Time between two measurements of the loop's delay.
HELD_S = 1.3  # Replies are held back for this time at most. A client waits for a second.


class Tasks:
    """An `AsyncOTP` by URL whose calls block. Some are cancelled, and then raise `CancelledError`.

    A proxy before a single server cuts, resets and holds back its connection.
    """

    def __init__(self, url: str, deliver: Callable[[Message], None], *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.wire = Wire(url) if url.startswith("redis://") else None
        self.breaks = 0
        self.late_s = 0.0
        """The loop's longest delay. Its processor had other work, and no call could end sooner."""
        asyncio.run_coroutine_threadsafe(self._watch(), self._loop)
        if self.wire is not None:
            self._run(self.wire.__aenter__())
            url = self.wire.url
            asyncio.run_coroutine_threadsafe(self._break(self.wire), self._loop)

        async def gateway(message: Message) -> None:
            deliver(message)

        self._otp = AsyncOTP(url, gateway, *arguments, **options)
        self._config = self._otp._config

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Coroutine[Any, Any, Any]] = getattr(self._otp, name)
        return lambda *arguments, **options: self._call(method(*arguments, **options))

    def _call(self, call: Coroutine[Any, Any, Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        if random.random() < CANCELLED:
            with contextlib.suppress(TimeoutError):
                return future.result(random.random() * LONGEST_S)
            future.cancel()
        return future.result()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def asks_for_another(self) -> bool:
        """Send the server a text, and return whether another one came back."""
        text = uuid4().hex
        found: str = self._call(echo(self._otp._store, text))
        return found != text

    @property
    def connections(self) -> int:
        """The number of open connections through the proxy."""
        return 0 if self.wire is None else self.wire.open

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self.late_s = max(self.late_s, time.monotonic() - due)

    async def _break(self, wire: Wire) -> None:
        while True:
            await asyncio.sleep(random.uniform(*BREAK_S))
            fault = random.choice([self._cut, self._reset, self._close, self._hold, self._drip])
            await fault(wire)
            self.breaks += 1

    async def _cut(self, wire: Wire) -> None:
        wire.requests, wire.replies = random.choice(
            [(random.randrange(5000), FOREVER), (FOREVER, random.randrange(900))]
        )

    async def _reset(self, wire: Wire) -> None:
        wire.reset_all()

    async def _close(self, wire: Wire) -> None:
        wire.close_all()

    async def _hold(self, wire: Wire) -> None:
        wire.flows.clear()
        await asyncio.sleep(random.uniform(0.02, HELD_S))
        wire.flows.set()

    async def _drip(self, wire: Wire) -> None:
        wire.drip_s = 0.002
        await asyncio.sleep(random.uniform(0.02, 0.3))
        wire.drip_s = 0.0
