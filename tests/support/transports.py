"""One interface to both transports, so that the same tests run over each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest

from otpkit import AsyncOTP
from otpkit.effects import HttpRequest, HttpResponse
from otpkit.transport.http import Transport
from otpkit.transport.lanes import Lanes

TRANSPORTS = ("threads", "aiohttp")
ON_UVLOOP = (*TRANSPORTS, "uvloop")  # `otpkit serve` runs on uvloop.


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """Return a new event loop: a uvloop loop for `uvloop`."""
    if kind != "uvloop":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


class OverLoop:
    """The transport by aiohttp on its own event loop. Threads call it like `Transport`."""

    def __init__(self, kind: str, **options: Any) -> None:
        from otpkit.transport.aio import AsyncTransport

        self.native = AsyncTransport(**options)
        self._loop = new_loop(kind)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def exchange(self, request: HttpRequest, latest: float | None = None) -> HttpResponse:
        answer = asyncio.run_coroutine_threadsafe(self.native.exchange(request, latest), self._loop)
        try:
            return answer.result(60)
        finally:
            del answer  # The traceback of its error refers to this frame.

    def close(self) -> None:
        """Close the connections. A later exchange opens new ones."""
        asyncio.run_coroutine_threadsafe(self.native.close(), self._loop).result(60)

    def end(self) -> None:
        """Close the connections and the event loop."""
        self.close()
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_asyncgens(), self._loop).result(60)
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


AnyTransport: TypeAlias = Transport | OverLoop


@contextmanager
def opened(kind: str) -> Iterator[Callable[..., AnyTransport]]:
    """Yield a function that makes transports of a kind. Close them at the end."""
    made: list[AnyTransport] = []

    def make(**options: Any) -> AnyTransport:
        made.append(Transport(**options) if kind == "threads" else OverLoop(kind, **options))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.end() if isinstance(each, OverLoop) else each.close()


def give(otp: AsyncOTP, transport: AnyTransport) -> None:
    """Set the transport of an AsyncOTP."""
    lanes = otp._lanes
    lanes._is_looked_for = True
    if isinstance(transport, OverLoop):
        lanes._aio = transport.native
    else:
        lanes._transport = transport


def choose(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make AsyncOTP use a kind of transport, even if another is preferred. Fail if it is not available."""
    real = Lanes._look_for_aio

    def look_for(self: Lanes) -> Any:
        if kind == "threads":
            self._is_looked_for = True
            return None
        found = real(self)
        assert found is not None
        return found

    monkeypatch.setattr(Lanes, "_look_for_aio", look_for)
