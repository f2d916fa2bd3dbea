"""One interface to the sync and the async library, so that a test of both is written once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from otpkit import OTP, AsyncOTP, OTPError, Policy
from otpkit.core import scripts
from support.rig import SECRET, TEMPLATE, whole

KINDS = ["sync-url", "sync-client", "async-url", "async-client"]
BROAD = whole(sends="32/day", ip_sends="90/day", ip_failures="90/day", total_sends="1000/day")
_LOST = [redis.ConnectionError, redis.TimeoutError]
_THREADS = 220


class Caller:
    """An `OTP` on threads or an `AsyncOTP`, both awaited. It has every method of both, under the same name."""

    def __init__(self, otp: OTP | AsyncOTP, threads: ThreadPoolExecutor | None) -> None:
        self.otp = otp
        self._threads = threads

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.otp, name)
        if self._threads is None:
            return method  # type: ignore[no-any-return]
        return lambda *args, **options: asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: method(*args, **options)
        )


@contextlib.asynccontextmanager
async def calling(kind: str, url: str, gateway: Any, **options: Any) -> AsyncIterator[Caller]:
    """Yield a caller whose client retries: otpkit's own from a URL, or a user's client with its own `Retry`."""
    options = {"template": TEMPLATE, "secret": SECRET, "policy": BROAD} | options
    library, _, client = kind.partition("-")
    retry: dict[str, Any] = {"retry_on_error": _LOST, "socket_timeout": 2, "max_connections": 300}
    async with contextlib.AsyncExitStack() as stack:
        store: Any = url
        if library == "async":
            if client == "client":
                own = redis.asyncio.Redis.from_url(url, retry=AsyncRetry(ConstantBackoff(0.001), 3), **retry)
                store = await stack.enter_async_context(own)
            yield Caller(await stack.enter_async_context(AsyncOTP(store, gateway, **options)), None)
            return
        threads = stack.enter_context(ThreadPoolExecutor(_THREADS))
        if client == "client":
            own_sync = redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.001), 3), **retry)
            store = stack.enter_context(own_sync)
        yield Caller(stack.enter_context(OTP(store, gateway, **options)), threads)


@contextlib.contextmanager
def loaded(url: str, policy: Policy = BROAD) -> Iterator[dict[str, str]]:
    """Load a policy's scripts into a server, and return their names by SHA. Each call is then one EVALSHA."""
    found = scripts.load(policy)
    by_sha = {getattr(found, field.name).sha: field.name for field in fields(found)}
    with redis.Redis.from_url(url) as client:
        for field in fields(found):
            client.script_load(getattr(found, field.name).text)
    yield by_sha


async def result(call: Awaitable[Any]) -> Any:
    """Return the result of a call, or the OTPError that it raises."""
    try:
        return await call
    except OTPError as error:
        return error


async def together(count: int, call: Callable[[int], Awaitable[Any]]) -> list[Any]:
    """Return the results of `count` concurrent calls."""
    return await asyncio.gather(*[result(call(number)) for number in range(count)])
