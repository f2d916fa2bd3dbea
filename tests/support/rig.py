"""The rig of most tests: a store, a clock, an outbox, and as many blocking OTPs on them as a test needs.

Both shells stand behind one face, so that a test of both is written once.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Self

import fakeredis
import redis
import redis.asyncio

from otpkit import OTP, AsyncOTP, Event, OTPError, Policy, Template
from otpkit.testing import MovableClock, Outbox
from support.secrets import SECRET

PHONE, OTHER_PHONE = "+8613800138000", "+8613900139000"
VISITOR = "203.0.113.7"  # RFC 5737: an address for documentation.
MEMORY = "memory://"
MINUTE, HOUR, DAY = 60, 3600, 86_400  # seconds
TEMPLATE = Template("SMS_585014", sign_name="阿里大鱼", params={"code": "{code}", "product": "alidayu"})
FOR_OPERATORS = (":{audit}:", ":{stats}:", ":{gateways}:e")
"""The beginnings of the keys, without the namespace, that only reports read."""
WHOLE: dict[str, Any] = {"device_failures": 0, "device_consecutive": 0, "device_sends": ()}
"""The fields of a policy that keeps no part for devices: strangers may use the whole of each limit."""


def whole(**fields: Any) -> Policy:
    """Return a policy that keeps no part for devices."""
    return Policy(**(WHOLE | fields))


class Killed(BaseException):
    """The end of a call by the death of its process. No flow sees it."""


class LoopThread:
    """An event loop on its own thread, for callers that block."""

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
    """An `AsyncOTP` or async client whose coroutines run to their end. It is called like its sync counterpart."""

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
    """Return a client class whose instances stop responding once `broken` is set."""

    class Breakable(client_class):  # type: ignore[misc]
        broken = False

        def execute_command(self, *args: Any, **kwargs: Any) -> Any:
            if self.broken:
                raise redis.ConnectionError("the store is down, as the test asked")
            return super().execute_command(*args, **kwargs)

    return Breakable


class Rig:
    """The store, clock, outbox and OTPs of one test. The OTPs are sync, or async if there is a `loop`."""

    breakable = staticmethod(_breakable)

    def __init__(
        self, store_url: str, namespace: str, loop: LoopThread | None = None, *, is_by_url: bool = False
    ) -> None:
        self.is_async = loop is not None
        self.shell: Any = AsyncOTP if self.is_async else OTP
        self.store_url = store_url
        self.namespace = namespace
        self.clock = MovableClock()
        self.outbox = Outbox()
        self.events: list[Event] = []
        """The events of the OTPs that `heard` made, without those of sends."""
        self.sends: list[Event] = []
        """The `sent` events of the OTPs that `heard` made."""
        self._loop = loop
        self._memory = fakeredis.FakeServer()
        self._opened: list[Any] = []
        self._otps: list[Any] = []
        self.server = self.look()
        """A client that reads the store."""
        self.shared = self.client(**({} if store_url == MEMORY else {"max_connections": 300}))
        """The client of every OTP, or its URL, unless a test passes another client."""
        self._store = store_url if is_by_url else self.shared

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def loop(self) -> LoopThread:
        """The loop of the async OTPs."""
        assert self._loop is not None
        return self._loop

    def otp(self, **arguments: Any) -> Any:
        """Return another OTP on the same store, with some arguments changed."""
        return self.adopt(self.build(**arguments))

    def heard(self, **arguments: Any) -> Any:
        """Return another OTP whose events are recorded in `events` and `sends`."""
        return self.otp(**{"on_event": self._hear, **arguments})

    def _hear(self, event: Event) -> None:
        (self.sends if event.name == "sent" else self.events).append(event)

    def adopt(self, otp: Any) -> Any:
        """Return a bare OTP or AsyncOTP as one that blocks. The rig closes it."""
        blocking = Blocking(otp, self.loop) if self.is_async else otp
        self._otps.append(blocking)
        return blocking

    def build(self, **arguments: Any) -> Any:
        """Return the bare OTP or AsyncOTP. The test closes it."""
        usual = {
            "redis": self._store,
            "gateway": self.outbox,
            "template": TEMPLATE,
            "secret": SECRET,
            "namespace": self.namespace,
            "clock": self.clock,
            "policy": whole(),
        }
        return self.shell(**(usual | arguments))

    def client(self, wrap: Callable[[Any], Any] = lambda client_class: client_class, **options: Any) -> Any:
        """Return a client of the store, sync or async like the OTPs."""
        if self.store_url == MEMORY:
            fake = fakeredis.FakeAsyncRedis if self.is_async else fakeredis.FakeRedis
            client = wrap(fake)(server=self._memory, **options)
        else:
            real = redis.asyncio.Redis if self.is_async else redis.Redis
            client = wrap(real).from_url(self.store_url, **options)
        self._opened.append(client)
        return client

    def look(self) -> Any:
        """Return a sync client of the store."""
        if self.store_url == MEMORY:
            return fakeredis.FakeRedis(server=self._memory)
        return redis.Redis.from_url(self.store_url)

    def stored(self, suffix: str = "*") -> list[str]:
        """Return the keys of the namespace that calls decide by, or those that end with `suffix`.

        What is kept only for operators is left out: the audit, the figures, and the gateways' errors.
        """
        return [key for key in self.keys(suffix) if not key.removeprefix(self.namespace).startswith(FOR_OPERATORS)]

    def keys(self, suffix: str = "*") -> list[str]:
        """Return all keys of the namespace, or those that end with `suffix`."""
        return sorted(key.decode() for key in self.server.scan_iter(f"{self.namespace}:*{suffix}", count=1000))

    def lives(self) -> dict[str, int]:
        """Return the remaining time to live of each key that calls decide by, in milliseconds; -1 means no limit."""
        return {key: self.server.pttl(key) for key in self.stored()}

    def kinds(self) -> Counter[str]:
        """Count the stored records of phones: s(ends), c(hallenges), f(ailures), p(roofs)."""
        return Counter(chr(name[0]) for key in self.stored(":p") for name in self.server.hkeys(key))

    def at(self, seconds: float = 0) -> datetime:
        """Return the clock's time plus `seconds`."""
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


class Untouchable(redis.Redis):
    """A client that fails the test on any use."""

    def execute_command(self, *command: Any, **options: Any) -> Any:
        raise AssertionError(f"Redis was asked: {command[0]}")


def wrong(code: str, step: int = 1) -> str:
    """Return another code of the same length."""
    return f"{(int(code) + step) % 10 ** len(code):0{len(code)}d}"


def other_codes(code: str, count: int) -> list[str]:
    """Return `count` different wrong codes."""
    return [wrong(code, step) for step in range(1, count + 1)]


def outcome(call: Any, *args: Any, **options: Any) -> Any:
    """Return the result of a call, or the OTPError that it raises."""
    try:
        return call(*args, **options)
    except OTPError as error:
        return error


def names(outcomes: Any) -> Counter[str]:
    """Count outcomes by class name."""
    return Counter(type(each).__name__ for each in outcomes)


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Return the outcomes of `count` concurrent calls, each in its own thread."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        return outcome(call, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function on its own thread, and return its result or raise its exception."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args, **kwargs).result(60)
