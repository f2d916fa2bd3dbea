"""How long a call asks Redis, how often it tries again, and how many calls ask at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from redis.exceptions import MaxConnectionsError, TryAgainError

CONNECT_S, ANSWER_S = 1.0, 1.0
TOTAL_S = 3.0  # All attempts of all scripts of a call.
WAIT_MS = 500  # How long replicas may take to confirm; less than ANSWER_S.
MAX_CONNECTIONS = 100  # A client keeps no more; further callers wait in a queue.
MAX_THREADS = 32  # Threads that ask one server at once: more would only delay each other, most of all while connecting.
_AT_ONCE_S = 0.05
_SHORT_PAUSE_S = 0.01
_RETRIES = 2  # After failures that come at once.


class RetryBudget:
    """The time that a call may spend on Redis: `TOTAL_S` for all its scripts, also where the server hangs or drips.

    What a gateway takes between two scripts is not counted, nor is an answer that came at once, or a thousand of them
    would be too many. In a crowd that is being served each caller waits for a connection, however long: what counts
    then is the time since the store last answered anybody. `answered` is when that was; all times are of the monotonic
    clock. `until` is when the script under way is given up, `slow_from` when it begins to count.
    """

    # Defaults of the class: each call has a budget, and most calls spend nothing of it.
    _spent = _began = until = slow_from = 0.0
    _attempts = 0

    def begin(self) -> bool:
        """Begin with a script; return whether any time is left for it."""
        self._began = now = time.monotonic()
        self.until = now + TOTAL_S - self._spent
        self.slow_from = now + _AT_ONCE_S
        self._attempts = 0
        return self._spent < TOTAL_S

    def end(self, now: float, answered: float) -> None:
        """Count what a script took, since it began or the store last answered anybody."""
        took = now - max(self._began, answered)
        if took > _AT_ONCE_S:
            self._spent += took

    def split(self, count: int) -> list[RetryBudget]:
        """Return what each of so many scripts side by side has left."""
        parts = [RetryBudget() for _ in range(count)]
        for part in parts:
            part._spent = self._spent
        return parts

    def join(self, parts: Iterable[RetryBudget]) -> None:
        """Count what the slowest of the scripts side by side took."""
        self._spent = max(part._spent for part in parts)

    def queue_s(self, answered: float) -> float:
        """Return seconds that a connection may still be waited for. Waiting while others are served is not counted."""
        self.until = max(self.until, answered + TOTAL_S - self._spent)
        return self.until - ANSWER_S - time.monotonic()

    def pause_s(self, error: BaseException, answered: float) -> float | None:
        """Return seconds to wait before another attempt, or None where there is to be none."""
        if isinstance(error, MaxConnectionsError):
            return _SHORT_PAUSE_S if self.queue_s(answered) > 0 else None
        left = self.until - time.monotonic()
        if isinstance(error, TryAgainError):  # A cluster's slot moves: Redis says so at once, for as long as it moves.
            return _SHORT_PAUSE_S if left > _SHORT_PAUSE_S else None
        self._attempts += 1
        longest_pause = min(0.2, 0.01 * 2.0**self._attempts)
        if self._attempts > _RETRIES or left < longest_pause:
            return None
        return random.uniform(0.5, 1.0) * longest_pause  # noqa: S311 - nothing secret


def timeouts(retry: object, share: int = 1) -> dict[str, object]:
    """Return redis-py's options for one of `share` servers that are asked one after the other.

    `retry` is the library's `Retry` that tries once: this module's retries would multiply with redis-py's.
    """
    return {"socket_connect_timeout": CONNECT_S / share, "socket_timeout": ANSWER_S / share, "retry": retry}
