"""The threads on which `AsyncOTP` performs what gateways ask for: a lane of its own for each, and a bounded wait."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from otpkit.effects import NotStarted
from otpkit.errors import ConfigurationError

THREADS = 32  # of a lane


class Lanes:
    """Threads by the name of a lane. A lane whose gateway hangs holds up no other.

    Args:
        wait: seconds that a call may wait for a thread of its lane.

    Raises `ConfigurationError` for what is no such number.
    """

    def __init__(self, wait: float) -> None:
        is_number = isinstance(wait, (int, float)) and not isinstance(wait, bool)
        if not is_number or not math.isfinite(wait) or wait < 0:
            raise ConfigurationError("gateway_wait is no number of seconds, 0 or more.", "Pass one, such as 5.")
        self._wait = wait
        self._pools: dict[str, ThreadPoolExecutor] = {}

    async def run(self, lane: str, function: Callable[[Any], Any], argument: Any, within: float | None) -> Any:
        """Call a function on a thread of a lane; raises `NotStarted` where none was free in time.

        `within` is seconds, where they are fewer than the lanes' own. A call whose task is cancelled while it waits is
        never made.
        """
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
        raise NotStarted(f"all {THREADS} threads of the gateway were busy for {wait:.1f} s")

    def close(self) -> None:
        """End the threads; what has begun goes on."""
        for pool in list(self._pools.values()):
            pool.shutdown(wait=False)

    def after_fork(self) -> None:
        """Forget the parent's threads, which a child does not have."""
        self._pools = {}

    def _pool(self, lane: str) -> ThreadPoolExecutor:
        # Without a lock, which a fork could leave locked: of two pools made at once, one is never used.
        return self._pools.get(lane) or self._pools.setdefault(
            lane, ThreadPoolExecutor(THREADS, thread_name_prefix=f"otpkit-{lane}")
        )


def _called(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function; its StopIteration is none of ours: no future carries one, and the caller would wait for ever."""
    try:
        return function(argument)
    except StopIteration:
        pass
    raise RuntimeError("StopIteration")
