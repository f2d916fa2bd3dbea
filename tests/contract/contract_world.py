"""One world for a test of the contract: a store, a clock, an outbox, and as many blocking OTPs on them as it likes."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import fakeredis
import redis
import redis.asyncio

from otpkit import OTP, AsyncOTP, Event, Template
from otpkit.testing import MovableClock, Outbox

PHONE = "+8613800138000"
OTHER_PHONE = "+8613900139000"
SECRET = "the first secret of the contract tests"
VISITOR = "203.0.113.7"  # RFC 5737: an address of nobody
MEMORY = "memory://"


class Killed(BaseException):
    """Ends a call as a process's death would: no flow sees it."""


class LoopThread:
    """An event loop on a thread of its own, for callers that block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking:
    """An `AsyncOTP`, or an async client, whose coroutines are run to their end: it can be called like its sync twin."""

    def __init__(self, target: Any, loop: LoopThread) -> None:
        self.target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = attribute(*args, **kwargs)
            return self._loop.run(result) if inspect.iscoroutine(result) else result

        return call


def _breakable(client_class: Any) -> Any:
    """Return a client class whose instances stop answering once `broken` is set."""

    class Breakable(client_class):  # type: ignore[misc]
        broken = False

        def execute_command(self, *args: Any, **kwargs: Any) -> Any:
            if self.broken:
                raise redis.ConnectionError("the store is down, as the test asked")
            return super().execute_command(*args, **kwargs)

    return Breakable


class World:
    """What one test has for itself. `is_async` says which shell it is about."""

    breakable = staticmethod(_breakable)

    def __init__(self, *, is_async: bool, store_url: str, namespace: str, loop: LoopThread) -> None:
        self.is_async = is_async
        self.shell: Any = AsyncOTP if is_async else OTP
        self.store_url = store_url
        self.namespace = namespace
        self.clock = MovableClock()
        self.outbox = Outbox()
        self.events: list[Event] = []
        self.loop = loop
        self._memory = fakeredis.FakeServer()
        self._opened: list[Any] = []
        self._otps: list[Any] = []
        self.server = self._sync_client()
        """A client to look at the store with."""
        self._shared = self.client()

    def otp(self, **arguments: Any) -> Any:
        """Return another OTP on the same store, with other arguments than the usual ones."""
        return self.adopt(self.build(**arguments))

    def adopt(self, otp: Any) -> Any:
        """Return a bare OTP or AsyncOTP as one that blocks, to be closed with the world."""
        blocking = Blocking(otp, self.loop) if self.is_async else otp
        self._otps.append(blocking)
        return blocking

    def build(self, **arguments: Any) -> Any:
        """Return the bare OTP or AsyncOTP; whoever builds it closes it."""
        usual = {
            "redis": self._shared,
            "gateway": self.outbox,
            "template": Template("SMS_585014", sign_name="otpkit"),
            "secret": SECRET,
            "namespace": self.namespace,
            "clock": self.clock,
        }
        return self.shell(**(usual | arguments))

    def heard(self, **arguments: Any) -> Any:
        """Return another OTP that tells `events` what it does."""
        return self.otp(on_event=self.events.append, **arguments)

    def client(self, wrap: Callable[[Any], Any] = lambda client_class: client_class, **options: Any) -> Any:
        """Return a client of the store, of the kind that the shell takes."""
        if self.store_url == MEMORY:
            fake = fakeredis.FakeAsyncRedis if self.is_async else fakeredis.FakeRedis
            client = wrap(fake)(server=self._memory, **options)
        else:
            real = redis.asyncio.Redis if self.is_async else redis.Redis
            client = wrap(real).from_url(self.store_url, **options)
        self._opened.append(client)
        return client

    def stored(self, suffix: str = "*") -> list[str]:
        """Return all keys of the namespace, or those that end with `suffix`."""
        return sorted(key.decode() for key in self.server.scan_iter(f"{self.namespace}:*{suffix}", count=1000))

    def at(self, seconds: float = 0) -> datetime:
        """Return the clock's time, `seconds` on."""
        return datetime.fromtimestamp(self.clock.now + seconds, UTC)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def close(self) -> None:
        for otp in self._otps:
            otp.close()
        for client in self._opened:
            if self.is_async:
                self.loop.run(client.aclose())
            else:
                client.close()
        self.server.close()

    def _sync_client(self) -> Any:
        if self.store_url == MEMORY:
            return fakeredis.FakeRedis(server=self._memory)
        return redis.Redis.from_url(self.store_url)


def wrong(code: str) -> str:
    """Return another code of the same length."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def other_codes(code: str, count: int) -> list[str]:
    """Return as many different wrong codes."""
    return [f"{(int(code) + i) % 10 ** len(code):0{len(code)}d}" for i in range(1, count + 1)]


def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function on a thread of its own, and return or raise what it does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args, **kwargs).result(60)
