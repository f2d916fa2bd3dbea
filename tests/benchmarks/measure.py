"""Ratios of two things done by turns, so that whatever else the machine does falls on both alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

Run = Callable[[], object]
AsyncRun = Callable[[], Awaitable[object]]


def ratio(yardstick: Callable[[], Run], subject: Callable[[], Run], rounds: int) -> float:
    """Return the subject's throughput in yardsticks: the median over `rounds`. Each argument prepares a run of its own,
    which alone is timed."""
    found = []
    for number in range(rounds + 1):
        if number % 2:
            base, taken = _timed(yardstick()), _timed(subject())
        else:
            taken, base = _timed(subject()), _timed(yardstick())
        found.append(base / taken)
    return median(found[1:])  # the first round warms up


async def async_ratio(
    yardstick: Callable[[], AsyncRun], subject: Callable[[], Awaitable[AsyncRun]], rounds: int
) -> float:
    """Same as `ratio`, but for coroutines."""
    found = []
    for number in range(rounds + 1):
        runs = [yardstick(), await subject()]
        taken = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            await runs[which]()
            taken[which] = time.perf_counter() - start
        found.append(taken[0] / taken[1])
    return median(found[1:])


def _timed(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


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
