"""One interface to the sync and the async library on each kind of store, so that a test of all is written once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from clusters import MASTER_NAME, Cluster, Watched
from nodes import Node
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.cluster import ClusterNode
from support.rig import whole

from otpkit import OTP, AsyncOTP, OTPError, Template
from otpkit.testing import Outbox

STORES = ["cluster-url", "cluster-client", "sentinel-url", "sentinel-client"]
LIBRARIES = ["sync", "async"]
SECRET = "a secret of these tests, longer than 32 bytes"
TEMPLATE = Template("SMS_585014", sign_name="otpkit")
VISITOR = "203.0.113.7"  # A documentation address (RFC 5737).
CALLERS = 16
BROAD = whole(sends="10/day")

_numbers = count()


class Counter:
    """An `OTP` on threads or an `AsyncOTP`, both awaited. It has every method of both, under the same name."""

    def __init__(self, otp: OTP | AsyncOTP, outbox: Outbox, threads: ThreadPoolExecutor | None) -> None:
        self.otp, self.outbox, self._threads = otp, outbox, threads

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.otp, name)
        if self._threads is None:
            return method  # type: ignore[no-any-return]
        return lambda *args, **options: asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: method(*args, **options)
        )

    def code(self, phone: str) -> str:
        """Return the latest code that was sent to a phone."""
        return next(message.code for message in reversed(self.outbox) if message.phone == phone)

    def keys(self, phone: str) -> tuple[str, ...]:
        """Return the keys of a phone in the store."""
        subject = self.otp._flows._subject(phone, "signup", "")
        return subject.phone_key, subject.counter_key


def new_phone() -> str:
    """Return a phone that no other test of this process uses."""
    return f"+86138{next(_numbers):08d}"


def wrong(code: str) -> str:
    """Return another code of the same length."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


@contextlib.asynccontextmanager
async def opened(library: str, store: Any, **options: Any) -> AsyncIterator[Counter]:
    """Open a counter by URL, or with a function that makes a client and takes an exit stack to close it."""
    outbox = Outbox()
    options = {"template": TEMPLATE, "secret": SECRET, "policy": BROAD} | options
    async with contextlib.AsyncExitStack() as stack:
        if not isinstance(store, str):
            store = store(stack, library)
        if library == "async":
            yield Counter(await stack.enter_async_context(AsyncOTP(store, outbox, **options)), outbox, None)
            return
        threads = stack.enter_context(ThreadPoolExecutor(3 * CALLERS))
        yield Counter(stack.enter_context(OTP(store, outbox, **options)), outbox, threads)


def cluster_client(cluster: Cluster) -> Callable[[contextlib.AsyncExitStack, str], Any]:
    """Return a function that makes a `RedisCluster` like a user's, with timeouts of 1 s."""

    def make(stack: contextlib.AsyncExitStack, library: str) -> Any:
        port, bounds = cluster.nodes[0].port, {"socket_timeout": 1, "socket_connect_timeout": 1}
        if library == "sync":
            node: Any = ClusterNode
            return stack.enter_context(redis.RedisCluster(startup_nodes=[node("127.0.0.1", port)], **bounds))
        client: Any = redis.asyncio.RedisCluster(startup_nodes=[AsyncClusterNode("127.0.0.1", port)], **bounds)
        stack.push_async_callback(client.aclose)
        return client

    return make


def sentinel_client(watched: Watched) -> Callable[[contextlib.AsyncExitStack, str], Any]:
    """Return a function that makes the client of a user's own Sentinel object for its master."""

    def make(stack: contextlib.AsyncExitStack, library: str) -> Any:
        places, bounds = [("127.0.0.1", node.port) for node in watched.sentinels], {"socket_timeout": 1}
        kind: Any = redis.sentinel.Sentinel if library == "sync" else redis.asyncio.sentinel.Sentinel
        sentinels = kind(places, **bounds)
        master = sentinels.master_for(MASTER_NAME, **bounds)
        if library == "sync":
            for each in (*sentinels.sentinels, master):
                stack.callback(each.close)
        else:
            for each in (*sentinels.sentinels, master):
                stack.push_async_callback(each.aclose)
        return master

    return make


def plain(nodes: list[Node]) -> Iterator[redis.Redis]:
    """Yield a client of each node, to read the stored data."""
    for node in nodes:
        with redis.Redis(port=node.port, protocol=2) as client:
            yield client


async def result(call: Awaitable[Any]) -> Any:
    """Return the result of a call, or the OTPError that it raises."""
    try:
        return await call
    except OTPError as error:
        return error
