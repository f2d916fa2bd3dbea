"""What `AsyncOTP` performs gateways' effects by: a lane for each gateway, with a bound, and a bounded wait for a place.

HTTP goes by aiohttp where that can be imported, and else on threads; plain functions always go on threads.
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

THREADS = 32  # of a lane
REQUESTS = 512  # of a lane by aiohttp, in an event loop; each takes a file descriptor, of which processes have 1024
_MOST = 10_000


class Lanes:
    """Places by the name of a lane. A lane whose gateway hangs holds up no other.

    Args:
        wait: seconds that a call may wait for a place in its lane.
        concurrency: how many calls of a lane are made at a time; None is 32 on threads, 512 by aiohttp.

    Raises `ConfigurationError` for what is no such number.
    """

    def __init__(self, wait: float, concurrency: int | None = None) -> None:
        is_number = isinstance(wait, (int, float)) and not isinstance(wait, bool)
        is_count = isinstance(concurrency, int) and not isinstance(concurrency, bool)
        with Checks() as checks:
            if not is_number or not math.isfinite(wait) or wait < 0:
                checks.add("gateway_wait", "gateway_wait is no number of seconds, 0 or more.", "Pass one, such as 5.")
            if concurrency is not None and not (is_count and 1 <= concurrency <= _MOST):
                checks.add(
                    "gateway_concurrency",
                    f"gateway_concurrency is no whole number from 1 to {_MOST}.",
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
        """Perform an effect of a gateway's; raises what its lane's gateway is to know, `NotStarted` too.

        A call whose task is cancelled while it waits for a place is never made.
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
        """End the threads, what has begun goes on; close the idle connections."""
        for pool in list(self._pools.values()):
            pool.shutdown(wait=False)
        self._transport.close()
        if self._aio is not None:
            await self._aio.close()

    def after_fork(self) -> None:
        """Forget the parent's threads, which a child does not have, and its connections."""
        self._pools = {}
        self._places = {}
        if self._aio is not None:
            self._aio.after_fork()

    def _look_for_aio(self) -> AsyncTransport | None:
        """Return the transport by aiohttp, None where there is none; importing it would hold up the event loop."""
        found = None
        with suppress(Exception):  # not installed, of another version, or broken: threads do without it
            from otpkit.transport.aio import AsyncTransport

            found = AsyncTransport()
        if not self._is_looked_for:
            self._aio, self._is_looked_for = found, True
        return self._aio

    async def _place(self, lane: str, within: float | None) -> asyncio.Semaphore:
        """Return a lane's places in the running loop, of which one is the caller's to give back.

        Raises `NotStarted` where none was free in time.
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
        """Call a function on a thread of a lane; raises `NotStarted` where none was free in time."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        call = self._pool(lane).submit(context.run, _called, function, argument)
        waiting = asyncio.wrap_future(call)
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = call.cancel()  # which a call that has begun does not heed

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
        # Without a lock, which a fork could leave locked: of two pools made at once, one is never used.
        return self._pools.get(lane) or self._pools.setdefault(
            lane, ThreadPoolExecutor(self._threads, thread_name_prefix=f"otpkit-{lane}")
        )


def _called(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function; its StopIteration is none of ours: no future carries one, and the caller would wait for ever."""
    try:
        return function(argument)
    except StopIteration:
        pass
    raise RuntimeError("StopIteration")
