"""Ratios of two things done by turns, so that whatever else the machine does falls on both alike.

There are two set-ups. Pinned, this process and every server that it starts share one processor, and a thing costs the
processor time that all of them spend: this repeats within a few hundredths, on a busy machine too. Not pinned, a thing
costs the time that passes; then each trip waits for a sleeping processor, which flatters whatever makes few trips.
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
_CPUCLOCK_SCHED = 2  # Linux names the clock of a process so: see clock_getcpuclockid(3).
_servers: set[int] = set()
_is_pinned = False


def can_pin() -> bool:
    """Whether processes can be pinned here, and the processor time of servers be read."""
    return sys.platform == "linux" and bool(_ALL)


def pin(*, to_one: bool) -> None:
    """Keep this process, and what it starts from now on, to one processor, or let all run wherever they like."""
    global _is_pinned
    _is_pinned = to_one and can_pin()
    if can_pin():
        os.sched_setaffinity(0, {max(_ALL)} if _is_pinned else _ALL)


def keep_apart() -> None:
    """Move this process, a child that is part of no measurement, to the processors that are left."""
    if _is_pinned and len(_ALL) > 1:
        os.sched_setaffinity(0, _ALL - {max(_ALL)})


def is_pinned() -> bool:
    """Whether all is kept to one processor now."""
    return _is_pinned


def set_up() -> str:
    """Say how things are measured now."""
    if _is_pinned:
        return f"pinned to processor {max(_ALL)}; ratios are of the processor time of client and servers"
    return "not pinned; ratios are of the time that passes"


@contextlib.contextmanager
def counted(*pids: int) -> Iterator[None]:
    """Count what these processes spend as a cost, for the length of a with block."""
    _servers.update(pids)
    try:
        yield
    finally:
        _servers.difference_update(pids)


def cost_ns() -> int:
    """Return the nanoseconds that this process and the servers have spent; only differences count."""
    return spent_ns([os.getpid(), *_servers])


def spent_ns(pids: Iterable[int]) -> int:
    """Return the nanoseconds of processor time that processes have spent; not pinned, those that have passed."""
    if not _is_pinned:
        return time.perf_counter_ns()
    return sum(time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) for pid in pids)


def ratio(yardstick: Callable[[], Run], subject: Callable[[], Run], rounds: int) -> float:
    """Return how many subjects cost what one yardstick does: the median over `rounds`.

    Each argument prepares a run of its own, which alone is measured.
    """
    found = []
    for number in range(rounds + 1):
        if number % 2:
            base, taken = cost_of(yardstick()), cost_of(subject())
        else:
            taken, base = cost_of(subject()), cost_of(yardstick())
        found.append(base / taken)
    return median(found[1:])  # the first round warms up


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
    """Write minimum, median and maximum; one number where they are all the same."""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}/{median(values):g}/{high}"


def at_once(runs: Sequence[Run]) -> None:
    """Run each on a thread of its own, all let go together."""
    gate = threading.Barrier(len(runs))

    def wait_and(run: Run) -> None:
        gate.wait()
        run()

    threads = [threading.Thread(target=wait_and, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
