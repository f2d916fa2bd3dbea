"""Bounds of a call to Redis: its total time, its retries, and the calls that run at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from redis.exceptions import MaxConnectionsError, TryAgainError

CONNECT_S, ANSWER_S = 1.0, 1.0
TOTAL_S = 3.0  # For all attempts of all scripts of a call.
WAIT_MS = 500  # The most time for replicas to confirm; less than ANSWER_S.
MAX_CONNECTIONS = 100  # A client opens no more; further callers wait in a queue.
MAX_THREADS = 32  # More threads on one server would only delay each other, above all while they connect.
_AT_ONCE_S = 0.05
_SHORT_PAUSE_S = 0.01
_RETRIES = 2  # The retries after failures that return at once.


class RetryBudget:
    """The time that a call may spend on Redis: `TOTAL_S` for all its scripts, even if the server hangs or trickles.

    The time that a gateway takes between two scripts is not counted. Replies that come at once are not counted either:
    a call may run a thousand scripts. Under load, a caller waits for a connection as long as the store answers other
    callers; only the time since the store's last reply to any caller counts. `answered` is the time of that reply.
    `until` is the deadline of the current script, `slow_from` the time from which the script counts. All times are
    seconds of the monotonic clock.
    """

    # Defaults of the class: each call has a budget, and most calls never spend any of it.
    _spent = _began = until = slow_from = 0.0
    _attempts = 0

    def begin(self) -> bool:
        """Start a script; return whether any time is left for it."""
        self._began = now = time.monotonic()
        self.until = now + TOTAL_S - self._spent
        self.slow_from = now + _AT_ONCE_S
        self._attempts = 0
        return self._spent < TOTAL_S

    def end(self, now: float, answered: float) -> None:
        """Count the time of a script, from its start or from the store's last reply to any caller."""
        took = now - max(self._began, answered)
        if took > _AT_ONCE_S:
            self._spent += took

    def split(self, count: int) -> list[RetryBudget]:
        """Return one budget for each of `count` concurrent scripts, each with the time that is left."""
        parts = [RetryBudget() for _ in range(count)]
        for part in parts:
            part._spent = self._spent
        return parts

    def join(self, parts: Iterable[RetryBudget]) -> None:
        """Count the time of the slowest of the concurrent scripts."""
        self._spent = max(part._spent for part in parts)

    def queue_s(self, answered: float) -> float:
        """Return the seconds left to wait for a connection. Time in which others are served is not counted."""
        self.until = max(self.until, answered + TOTAL_S - self._spent)
        return self.until - ANSWER_S - time.monotonic()

    def pause_s(self, error: BaseException, answered: float) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is to be none."""
        if isinstance(error, MaxConnectionsError):
            return _SHORT_PAUSE_S if self.queue_s(answered) > 0 else None
        left = self.until - time.monotonic()
        if isinstance(error, TryAgainError):  # While a cluster's slot moves, Redis returns this at once each time.
            return _SHORT_PAUSE_S if left > _SHORT_PAUSE_S else None
        self._attempts += 1
        longest_pause = min(0.2, 0.01 * 2.0**self._attempts)
        if self._attempts > _RETRIES or left < longest_pause:
            return None
        return random.uniform(0.5, 1.0) * longest_pause  # noqa: S311 - Jitter needs no secure randomness.


def timeouts(retry: object, share: int = 1) -> dict[str, object]:
    """Return redis-py's timeout options for one of `share` servers that are asked one after the other.

    `retry` is a redis-py `Retry` with a single attempt: redis-py's retries would multiply with this module's.
    """
    return {"socket_connect_timeout": CONNECT_S / share, "socket_timeout": ANSWER_S / share, "retry": retry}
