"""What the attacks share: OTPs on one store, an outbox, a clock that is moved, a look into the store."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self

import fakeredis
import redis

from otpkit import OTP, Event, OTPError, Template
from otpkit.testing import MovableClock, Outbox

PHONE, OTHER_PHONE = "+8613800138000", "+8613900139000"
SECRET = "a secret of these tests, longer than 32 bytes"
TEMPLATE = Template("SMS_585014", sign_name="阿里大鱼", params={"code": "{code}", "product": "alidayu"})
MINUTE, HOUR, DAY = 60, 3600, 86_400  # seconds


class Lab:
    """One store, one outbox, one clock; as many OTPs on them as a test needs."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url, self.namespace = url, namespace
        self.outbox, self.clock = Outbox(), MovableClock()
        self.events: list[Event] = []
        self._stack, self._server = ExitStack(), fakeredis.FakeServer()
        self.client = self.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def otp(self, **options: Any) -> OTP:
        """Build an OTP, closed with the lab."""
        defaults = {
            "redis": self.client,
            "gateway": self.outbox,
            "template": TEMPLATE,
            "secret": SECRET,
            "namespace": self.namespace,
            "on_event": self.events.append,
            "clock": self.clock,
        }
        return self._stack.enter_context(OTP(**{**defaults, **options}))

    def connect(self, **options: Any) -> redis.Redis:
        """Connect a client of its own to the store, closed with the lab."""
        if self.url == "memory://":
            client = fakeredis.FakeRedis(server=self._server, **options)
        else:
            client = redis.Redis.from_url(self.url, max_connections=300, **options)
        self._stack.callback(client.close)
        return client

    def key_names(self) -> list[bytes]:
        """Return every key of the namespace."""
        return sorted(self.client.scan_iter(match=f"{self.namespace}:*"))

    def lives(self) -> dict[bytes, int]:
        """Return the life that each key has left, in milliseconds; -1 is for ever."""
        return {key: self.client.pttl(key) for key in self.key_names()}

    def kinds(self) -> Counter[str]:
        """Count what is kept of phones: s(ends), c(hallenges), f(ailures), p(roofs)."""
        hashes = [key for key in self.key_names() if key.endswith(b":p")]
        return Counter(chr(name[0]) for key in hashes for name in self.client.hkeys(key))


def wrong(code: str, step: int = 1) -> str:
    """Return a code of the same length that is not `code`."""
    return f"{(int(code) + step) % 10 ** len(code):0{len(code)}d}"


def outcome(call: Any, *args: Any, **options: Any) -> Any:
    """Return what a call returns, or the OTPError that it raises."""
    try:
        return call(*args, **options)
    except OTPError as error:
        return error


def names(outcomes: Any) -> Counter[str]:
    """Count outcomes by the names of their classes."""
    return Counter(type(each).__name__ for each in outcomes)


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Return the outcomes of `count` calls that start at once, each in a thread of its own."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait()
        return outcome(call, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


class Untouchable(redis.Redis):
    """A client that fails the test as soon as anything is asked of it."""

    def execute_command(self, *command: Any, **options: Any) -> Any:
        raise AssertionError(f"Redis was asked: {command[0]}")
