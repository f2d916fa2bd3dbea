"""What the connections of one server share: a buffer, their number, and the line in which strangers wait."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final, Protocol

MAX_CONNECTIONS: Final = 2_048
_READ: Final = 16_384  # Bytes that are read at once, and kept while a request before them is answered.
DISCARD: Final = 65_536  # Bytes that are read at once where nothing of them is kept.
_PAUSE: Final = 0.005  # Seconds between two looks at the line.
_AT_ONCE: Final = 2  # Strangers in line who go on at a time.
_SEARCHED: Final = 64  # Connections that are looked at, to find one to close in favour of a new one.


class Member(Protocol):
    """A connection, as far as the others are concerned."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered there."""


class Admission:
    """One server's connections."""

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self.most = most
        self.strangers: dict[Member, None] = {}  # The oldest first.
        # Filled and emptied within one turn of the event loop.
        self.discard = memoryview(bytearray(DISCARD))
        self.buffer = self.discard[:_READ]
        self._line: dict[Member, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, connection: Member, go_on: Callable[[], None]) -> None:
        """Call `go_on` once it is the connection's turn."""
        self._line[connection] = go_on
        if self._timer is None:
            self._timer = connection.loop.call_later(_PAUSE, self._serve, connection.loop)

    def forget(self, connection: Member) -> None:
        """Drop a connection that is closed."""
        self.strangers.pop(connection, None)
        self._line.pop(connection, None)

    def make_room(self, connections: int) -> bool:
        """Return whether there is room for a new connection, if need be by closing a stranger's that waits."""
        if connections < self.most:
            return True
        for connection in itertools.islice(self.strangers, _SEARCHED):
            if connection.is_idle:
                self.forget(connection)
                connection.transport.abort()
                return True
        return False

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        served = list(itertools.islice(self._line, _AT_ONCE))
        self._timer = loop.call_later(_PAUSE, self._serve, loop) if len(self._line) > len(served) else None
        for connection in served:
            if go_on := self._line.pop(connection, None):  # It may have been closed for one before it.
                go_on()
