"""The nonces of signed requests, each of which may be used once. No I/O, no lock: the sandbox has one."""

from __future__ import annotations

from typing import Final

WINDOW: Final = 15 * 60  # s that the date of a request may be off, either way
MAX_NONCES: Final = 100_000  # the oldest are forgotten first, and could be used again


class Nonces:
    """Remembers nonces for as long as a request that bears one could be accepted."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def first_use(self, nonce: str, now: float) -> bool:
        """Say whether a nonce is new, and remember it; `now` in seconds since the epoch."""
        if nonce in self._seen:
            return False
        self._seen[nonce] = now
        while len(self._seen) > MAX_NONCES or self._oldest() < now - 2 * WINDOW:
            del self._seen[next(iter(self._seen))]
        return True

    def _oldest(self) -> float:
        return next(iter(self._seen.values()))
