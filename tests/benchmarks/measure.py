"""Ratios of two things that are run alternately, so that other load on the machine affects both.

There are two modes. Pinned, this process and its servers share one processor, and the cost is their processor time. It
repeats within a few hundredths, on a busy machine too. Not pinned, the cost is the elapsed time. Then each trip waits
for a sleeping processor, which favours whatever makes few trips.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from statistics import median

Run = Callable[[], object]
AsyncRun = Callable[[], Awaitable[object]]

_ALL: AbstractSet[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else frozenset[int]()
_CPUCLOCK_SCHED = 2  # Linux has this name for the clock of a process: see clock_getcpuclockid(3).
_servers: set[int] = set()
_is_pinned = False


def can_pin() -> bool:
    """Return whether this system can pin processes and read the processor time of servers."""
    return sys.platform == "linux" and bool(_ALL)


def pin(*, to_one: bool) -> None:
    """Pin this process and its later children to one processor, or let all run on any."""
    global _is_pinned
    _is_pinned = to_one and can_pin()
    if can_pin():
        os.sched_setaffinity(0, {max(_ALL)} if _is_pinned else _ALL)


def keep_apart() -> None:
    """Move this process, a child that is not measured, to the other processors."""
    if _is_pinned and len(_ALL) > 1:
        os.sched_setaffinity(0, _ALL - {max(_ALL)})


def is_pinned() -> bool:
    """Return whether everything is pinned to one processor now."""
    return _is_pinned


def set_up() -> str:
    """Return a description of the current mode."""
    if _is_pinned:
        return f"pinned to processor {max(_ALL)}; ratios are of the processor time of client and servers"
    return "not pinned; ratios are of the time that passes"


@contextlib.contextmanager
def counted(*pids: int) -> Iterator[None]:
    """Count the cost of these processes during a with block."""
    _servers.update(pids)
    try:
        yield
    finally:
        _servers.difference_update(pids)


def cost_ns() -> int:
    """Return the nanoseconds that this process and the servers have used. Only differences are meaningful."""
    return spent_ns([os.getpid(), *_servers])


def spent_ns(pids: Iterable[int]) -> int:
    """Return the nanoseconds of processor time that processes have used. Not pinned, return the elapsed time."""
    if not _is_pinned:
        return time.perf_counter_ns()
    return sum(time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) for pid in pids)


def ratio(yardstick: Callable[[], Run], subject: Callable[[], Run], rounds: int) -> float:
    """Return the number of subjects with the cost of one yardstick: the median over `rounds`.

    Each argument prepares a run of its own. Only the run is measured.
    """
    found = []
    for number in range(rounds + 1):
        if number % 2:
            base, taken = cost_of(yardstick()), cost_of(subject())
        else:
            taken, base = cost_of(subject()), cost_of(yardstick())
        found.append(base / taken)
    return median(found[1:])  # The first round warms up.


async def async_ratio(
    yardstick: Callable[[], AsyncRun], subject: Callable[[], Awaitable[AsyncRun]], rounds: int
) -> float:
    """Same as `ratio`, but for coroutines."""
    found = []
    for number in range(rounds + 1):
        runs = [yardstick(), await subject()]
        taken = [0, 0]
        for which in (0, 1) if number % 2 else (1, 0):
            start = cost_ns()
            await runs[which]()
            taken[which] = cost_ns() - start
        found.append(taken[0] / taken[1])
    return median(found[1:])


def cost_of(run: Run) -> int:
    """Return the nanoseconds that a run costs."""
    start = cost_ns()
    run()
    return cost_ns() - start


def spread(values: Sequence[int]) -> str:
    """Return minimum, median and maximum, or one number if they are equal."""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}/{median(values):g}/{high}"


def at_once(runs: Sequence[Run]) -> None:
    """Start each run on its own thread, all at the same moment."""
    gate = threading.Barrier(len(runs))

    def wait_and(run: Run) -> None:
        gate.wait()
        run()

    threads = [threading.Thread(target=wait_and, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
