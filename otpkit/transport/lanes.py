"""Perform gateways' effects for `AsyncOTP`: one bounded lane for each gateway, with a bounded wait for a place in it.

HTTP uses aiohttp if it can be imported, and threads otherwise. Plain functions always run on threads.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from otpkit.core.checks import Checks
from otpkit.effects import HttpRequest, NotStarted, Outbound
from otpkit.transport.http import Transport

if TYPE_CHECKING:
    from otpkit.transport.aio import AsyncTransport

THREADS = 32  # In one lane.
REQUESTS = 512  # For each lane and event loop, by aiohttp. Each takes a file descriptor; a process has 1024.
_MOST = 10_000


class Lanes:
    """The lanes of an `AsyncOTP`, by name. A lane whose gateway hangs delays no other.

    Args:
        wait: seconds that a call may wait for a place in its lane.
        concurrency: the number of concurrent calls in a lane; None is 32 on threads, 512 by aiohttp.

    Raises:
        ConfigurationError: a value is not such a number.
    """

    def __init__(self, wait: float, concurrency: int | None = None) -> None:
        is_number = isinstance(wait, (int, float)) and not isinstance(wait, bool)
        is_count = isinstance(concurrency, int) and not isinstance(concurrency, bool)
        with Checks() as checks:
            if not is_number or not math.isfinite(wait) or wait < 0:
                checks.add(
                    "gateway_wait", "gateway_wait must be a number of seconds, 0 or more.", "Pass one, such as 5."
                )
            if concurrency is not None and not (is_count and 1 <= concurrency <= _MOST):
                checks.add(
                    "gateway_concurrency",
                    f"gateway_concurrency must be a whole number from 1 to {_MOST}.",
                    "Pass one, such as 100, or leave it out.",
                )
        self._wait = wait
        self._threads = concurrency or THREADS
        self._requests = concurrency or REQUESTS
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._places: dict[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = {}
        self._transport = Transport()
        self._aio: AsyncTransport | None = None
        self._is_looked_for = False

    async def perform(self, outbound: Outbound) -> Any:
        """Perform an effect of a gateway's flow and return its reply.

        If the task is cancelled while it waits for a place, the effect is never performed.
        Raises the errors that the gateway's flow must see, among them `NotStarted`.
        """
        lane, effect, within = outbound.lane, outbound.effect, outbound.within
        if isinstance(effect, HttpRequest):
            latest = None if within is None else time.monotonic() + within
            transport = self._aio if self._is_looked_for else await asyncio.to_thread(self._look_for_aio)
            if transport is None:
                return await self._on_thread(lane, partial(self._transport.exchange, latest=latest), effect, within)
            places = await self._place(lane, within)
            try:
                return await transport.exchange(effect, latest)
            finally:
                places.release()
        if inspect.iscoroutinefunction(effect.function):
            return await effect.function(effect.argument)
        result = await self._on_thread(lane, effect.function, effect.argument, within)
        return await result if inspect.isawaitable(result) else result

    async def close(self) -> None:
        """Stop the threads, but let their running calls end. Close the idle connections."""
        for pool in list(self._pools.values()):
            pool.shutdown(wait=False)
        self._transport.close()
        if self._aio is not None:
            await self._aio.close()

    def after_fork(self) -> None:
        """Drop the parent's threads, which do not exist in a child, and its connections."""
        self._pools = {}
        self._places = {}
        if self._aio is not None:
            self._aio.after_fork()

    def _look_for_aio(self) -> AsyncTransport | None:
        """Return the transport by aiohttp, or None. It runs on a thread: the import would block the event loop."""
        found = None
        with suppress(Exception):  # aiohttp is not installed, of another version, or broken: use threads.
            from otpkit.transport.aio import AsyncTransport

            found = AsyncTransport()
        if not self._is_looked_for:
            self._aio, self._is_looked_for = found, True
        return self._aio

    async def _place(self, lane: str, within: float | None) -> asyncio.Semaphore:
        """Take a place in a lane of the running loop, and return the semaphore that the caller must release.

        Raises `NotStarted` if no place came free in time.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._places:
            for each in [each for each in list(self._places) if each.is_closed()]:
                self._places.pop(each, None)
        lanes = self._places.setdefault(loop, {})
        places = lanes.get(lane) or lanes.setdefault(lane, asyncio.Semaphore(self._requests))
        wait = self._wait if within is None else min(self._wait, within)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await places.acquire()
                return places
        raise NotStarted(f"all {self._requests} requests to the gateway were under way for {wait:.1f} s")

    async def _on_thread(self, lane: str, function: Callable[[Any], Any], argument: Any, within: float | None) -> Any:
        """Call a function on a thread of a lane; raise `NotStarted` if no thread came free in time."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        call = self._pool(lane).submit(context.run, _called, function, argument)
        waiting = asyncio.wrap_future(call)
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = call.cancel()  # This has no effect on a call that is running.

        wait = self._wait if within is None else min(self._wait, within)
        timer = loop.call_later(wait, give_up)
        try:
            return await waiting
        except asyncio.CancelledError:
            if not is_late:
                raise
        finally:
            timer.cancel()
        raise NotStarted(f"all {self._threads} threads of the gateway were busy for {wait:.1f} s")

    def _pool(self, lane: str) -> ThreadPoolExecutor:
        # There is no lock, because a fork could leave it locked. If two pools are made at once, one is never used.
        return self._pools.get(lane) or self._pools.setdefault(
            lane, ThreadPoolExecutor(self._threads, thread_name_prefix=f"otpkit-{lane}")
        )


def _called(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function. Convert its StopIteration: a future can't carry one, and the caller would wait for ever."""
    try:
        return function(argument)
    except StopIteration:
        pass
    raise RuntimeError("StopIteration")
