"""Admission control for one server: a limit of connections, and a queue of clients without an API key."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final, Protocol

MAX_CONNECTIONS: Final = 2_048
_READ: Final = 16_384  # bytes per read; also kept while an earlier request is being answered
DISCARD: Final = 65_536  # bytes per read if all of them are dropped
_PAUSE: Final = 0.005  # seconds between two rounds of the queue
_AT_ONCE: Final = 2  # connections of the queue that continue in one round
_SEARCHED: Final = 64  # connections to search for an idle one, which is closed for a new one


class Member(Protocol):
    """The part of a connection that admission control needs."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    @property
    def is_idle(self) -> bool:
        """True if no request is being answered on it."""


class Admission:
    """The shared state of one server's connections.

    `strangers` are the connections that have not shown an API key, oldest first. Every connection
    reads into `buffer`, or into `discard` if the bytes are dropped.
    """

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self.most = most
        self.strangers: dict[Member, None] = {}
        # Both are filled and emptied within one iteration of the event loop.
        self.discard = memoryview(bytearray(DISCARD))
        self.buffer = self.discard[:_READ]
        self._queue: dict[Member, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, connection: Member, go_on: Callable[[], None]) -> None:
        """Queue a connection. Call `go_on` when it is first in the queue."""
        self._queue[connection] = go_on
        if self._timer is None:
            self._timer = connection.loop.call_later(_PAUSE, self._serve, connection.loop)

    def forget(self, connection: Member) -> None:
        """Remove a connection that is closed or has shown an API key."""
        self.strangers.pop(connection, None)
        self._queue.pop(connection, None)

    def make_room(self, connections: int) -> bool:
        """Return True to accept a new connection. If there are too many, close an idle stranger's connection for it."""
        if connections < self.most:
            return True
        for connection in itertools.islice(self.strangers, _SEARCHED):
            if connection.is_idle:
                self.forget(connection)
                connection.transport.abort()
                return True
        return False

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        served = list(itertools.islice(self._queue, _AT_ONCE))
        self._timer = loop.call_later(_PAUSE, self._serve, loop) if len(self._queue) > len(served) else None
        for connection in served:
            if go_on := self._queue.pop(
                connection, None
            ):  # A connection that continued earlier in this round may have closed this one.
                go_on()
