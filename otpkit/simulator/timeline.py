"""Simulated time: actors are generators that yield the seconds until they act again."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final, TypeAlias

DAY_S: Final = 86_400
START: Final = 1_767_571_200.0  # 2026-01-05T00:00:00Z, a Monday. Days begin at midnight UTC.

Actor: TypeAlias = Iterator[float]
"""A generator that yields seconds to wait. It reads the time from its `Timeline`."""


class Timeline:
    """The clock of a run, and the actors that wait for it. Actors that wait for one moment act in order of arrival."""

    def __init__(self) -> None:
        self.now = START
        self._waiting: list[tuple[float, int, Actor]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    @property
    def second(self) -> float:
        """The seconds since the run began."""
        return self.now - START

    def start(self, actor: Actor, at: float) -> None:
        """Let an actor begin.

        Args:
            actor: the actor.
            at: when, in seconds since the run began.
        """
        self._count += 1
        heapq.heappush(self._waiting, (START + at, self._count, actor))

    def run(self) -> None:
        """Run until no actor waits."""
        while self._waiting:
            time, _, actor = heapq.heappop(self._waiting)
            self.now = max(self.now, time)
            wait = next(actor, None)
            if wait is not None:
                self._count += 1
                heapq.heappush(self._waiting, (self.now + max(0.0, wait), self._count, actor))
