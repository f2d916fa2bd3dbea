"""A call is interrupted at every line of the store and of redis-py: no reply reaches the next call, and nothing leaks.

test_scale_interrupted.py runs these tests in processes of their own: an interrupt leaves traces in libraries.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import redis
from counters import SECRET, TEMPLATE, cluster_client, new_phone, sentinel_client
from support.rig import whole

from otpkit import OTP, ExpiredCodeError, OTPError
from otpkit.store import retry
from otpkit.testing import Outbox

LINES = 3000  # Every call runs fewer lines.
FEW = 8  # Connections and permits. With so few, a lost one is noticed.
FILES = (
    "store/sync.py",
    "store/pool.py",
    "store/protocol.py",
    "redis/connection.py",
    "redis/client.py",
    "redis/sentinel.py",
    "redis/retry.py",
)
ROOMY = whole(sends="32/day")
STORES = [
    "unix-url",
    "unix-client",
    "unix-single",
    "unix-subclass",
    "cluster-url",
    "cluster-client",
    "sentinel-url",
    "sentinel-client",
]


class TimeLimit(BaseException):
    """The error of a worker's hard time limit, which is raised at any line."""


class SoftTimeLimit(Exception):
    """The error of a task queue's soft limit. It is an ordinary exception."""


class Subclass(redis.Redis):
    """A subclass of redis-py's client."""


CLIENTS: dict[str, Callable[[str], Any]] = {
    "client": redis.Redis.from_url,
    "single": lambda url: redis.Redis.from_url(url, single_connection_client=True),
    "subclass": Subclass.from_url,
}


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield the store argument of an OTP for each kind of store.

    It has few connections, so that a lost one is noticed.
    """
    kind, _, way = request.param.partition("-")
    if kind == "unix":
        url = request.getfixturevalue("redis_url")
        yield url if way == "url" else CLIENTS[way](url)
        return
    whole: Any = request.getfixturevalue("cluster_of_process" if kind == "cluster" else "watched_of_process")
    if way == "url":
        yield whole.url
        return
    stack = contextlib.AsyncExitStack()
    yield (cluster_client if kind == "cluster" else sentinel_client)(whole)(stack, "sync")
    asyncio.run(stack.aclose())


class Interruption:
    """Raises an error when a call runs the `number`th line of these files."""

    def __init__(self, number: int, error: type[BaseException]) -> None:
        self.left, self.error = number, error

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(FILES) or frame.f_code.co_name == "__del__":
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise self.error
        return self.trace


def interrupted(call: Callable[[], object], interruption: Interruption) -> None:
    """Make a call inside a generator.

    When it ends, no exception that was being handled at the interrupt stays current.
    """

    def run() -> Iterator[None]:
        with contextlib.suppress(interruption.error, OTPError), interruption:
            call()
        yield

    next(run())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("error", "is_cold"),
    [(TimeLimit, False), (SoftTimeLimit, False), (KeyboardInterrupt, True)],
    ids=["time limit", "soft limit", "Ctrl-C while connecting"],
)
def test_no_reply_reaches_the_next_call(
    place: Any, namespace: str, error: type[BaseException], is_cold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "MAX_THREADS", FEW)
    monkeypatch.setattr(retry, "MAX_CONNECTIONS", FEW)
    phone, stranger = new_phone(), new_phone()
    with OTP(place, Outbox(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace) as otp:
        otp.issue(phone)
        # Freeze older objects: each collection below then checks only new ones, in a hundredth of the time.
        gc.freeze()
        for number in range(1, LINES):
            if is_cold:
                drop(otp)
            interruption = Interruption(number, error)
            interrupted(lambda: otp.status(phone), interruption)
            if interruption.left > 0:
                break
            if number % (FEW - 2) == 0:
                gc.collect()  # Python returns the interrupted call's objects when it collects them.
            assert otp.status(stranger) is None, number
            with pytest.raises(ExpiredCodeError):
                otp.verify(stranger, "123456")
            assert otp.status(phone) is not None, number
        assert 10 < number < LINES - 1


def drop(otp: OTP) -> None:
    """Close the idle connections, so that the next call must connect."""
    client: Any = otp._store.client
    if isinstance(client, redis.RedisCluster):
        for node in client.get_nodes():
            node.redis_connection.connection_pool.disconnect(inuse_connections=False)
    elif client.connection is not None:
        client.connection.disconnect()
    else:
        client.connection_pool.disconnect(inuse_connections=False)
