"""Admission control for one server: the cap on connections, and the queue of clients without an API key."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final, Protocol

MAX_CONNECTIONS: Final = 2_048
_READ: Final = 16_384  # Bytes that are read at once, and kept while a request before them is answered.
DISCARD: Final = 65_536  # Bytes that are read at once where nothing of them is kept.
_PAUSE: Final = 0.005  # Seconds between two rounds of the queue.
_AT_ONCE: Final = 2  # Connections of the queue that go on in one round.
_SEARCHED: Final = 64  # Connections that are searched for an idle one, which is closed in favour of a new one.


class Member(Protocol):
    """A connection, as far as admission is concerned."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered on it."""


class Admission:
    """What the connections of one server share.

    `strangers` are the connections on which no API key was shown yet, the oldest first. `buffer` and `discard` are what
    they read into.
    """

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self.most = most
        self.strangers: dict[Member, None] = {}
        # Filled and emptied within one iteration of the event loop.
        self.discard = memoryview(bytearray(DISCARD))
        self.buffer = self.discard[:_READ]
        self._queue: dict[Member, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, connection: Member, go_on: Callable[[], None]) -> None:
        """Queue a connection, and call `go_on` when it is first in the queue."""
        self._queue[connection] = go_on
        if self._timer is None:
            self._timer = connection.loop.call_later(_PAUSE, self._serve, connection.loop)

    def forget(self, connection: Member) -> None:
        """Remove a connection that is closed, or that has shown an API key."""
        self.strangers.pop(connection, None)
        self._queue.pop(connection, None)

    def make_room(self, connections: int) -> bool:
        """Return whether a new connection is taken; where there are too many, close an idle stranger's."""
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
            if go_on := self._queue.pop(connection, None):  # One that went on before it may have closed it.
                go_on()
