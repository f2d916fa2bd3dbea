"""The shared connection of one event loop to one server, and the queue of the calls that wait for it.

`otpkit.store.multiplexed` is the connection itself. An `Endpoint` opens it again after each loss, and admits callers,
first come, first served. A `SharedLease` is one call's way through the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from redis.exceptions import (
    ConnectionError,  # noqa: A004
    NoScriptError,
    TimeoutError,  # noqa: A004
)

from otpkit.store.errors import REDIS_ERRORS, UNREADABLE
from otpkit.store.library import RedisObject
from otpkit.store.loops import abandon
from otpkit.store.multiplexed import NOT_SENT, MultiplexedConnection, Reply, copy_failure
from otpkit.store.protocol import ASKING, Command, Crowded, pack_alone
from otpkit.store.retry import MAX_CONNECTIONS, TOTAL_S, RetryBudget

MAX_UNANSWERED: Final = MAX_CONNECTIONS
"""The most commands in flight at once. More would fill buffers without being answered any sooner."""

_RESENDS: Final = 2  # A command that was not sent is sent again at once, this many times at most.


class Place(asyncio.Future[None]):
    """A place in the queue of an endpoint. It is done when its holder may send a command, or has left the queue."""

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.endpoint = endpoint


class Endpoint:
    """The connection of one event loop to one server, opened at its first use and again after each loss.

    `make` returns an unopened connection of redis-py.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], RedisObject]) -> None:
        self._loop = loop
        self._make = make
        self._current: MultiplexedConnection | None = None
        self._open: set[MultiplexedConnection] = set()  # The current one, and retired ones with pending replies.
        self._connecting: asyncio.Task[MultiplexedConnection] | None = None
        self._waiting: deque[Place] = deque()
        self._admitted: WeakSet[Place] = WeakSet()  # Weak, because an interrupted holder may never return its place.

    @property
    def current(self) -> MultiplexedConnection | None:
        """The connection, or None if no usable one is open."""
        current = self._current
        return current if current is not None and current.is_usable else None

    @property
    def is_idle(self) -> bool:
        """True if no call uses a connection or waits for one."""
        is_connecting = self._connecting is not None and not self._connecting.done()
        is_used = is_connecting or any(connection.load for connection in self._open)
        return not (is_used or self._waiting or self._admitted)

    @property
    def is_full(self) -> bool:
        """True if a new command must wait: too many are in flight, or other callers already wait."""
        return bool(self._waiting) or not self._has_room

    @property
    def _has_room(self) -> bool:
        load = 0 if self._current is None else self._current.load
        return load + len(self._admitted) < MAX_UNANSWERED

    async def connect(self, until: float) -> MultiplexedConnection:
        """Return the connection, which is opened once for all waiting callers. Raises redis-py's errors."""
        task = self._connecting
        if task is None or task.done():
            if self._current is not None:
                self._current.retire()
            task = self._connecting = self._loop.create_task(self._connect())
            task.add_done_callback(_retrieve)
        done, _ = await asyncio.wait({task}, timeout=max(0.0, until - time.monotonic()))
        if not done:
            raise TimeoutError("Timeout connecting to server")
        if task.cancelled():
            raise ConnectionError("closed while connecting")
        failure = task.exception()
        if isinstance(failure, (*REDIS_ERRORS, *UNREADABLE)):
            raise copy_failure(failure) from failure
        if failure is not None:  # A signal handler's exception was meant for one caller at most.
            raise ConnectionError("interrupted while connecting")
        return task.result()

    def place(self) -> Place:
        """Return a place that is not in the queue yet."""
        return Place(self, self._loop)

    def queue(self, place: Place) -> None:
        """Add a place to the end of the queue."""
        self._waiting.append(place)
        self.admit()

    def leave(self, place: Place) -> None:
        """Return a place, used or not."""
        place.cancel()
        self._admitted.discard(place)
        self.admit()

    def admit(self) -> None:
        """Admit waiting callers, first come, first served, while there is room."""
        while self._waiting and self._has_room:
            place = self._waiting[0]  # Remove it last: an interrupt before that line loses no place.
            if not place.done():
                self._admitted.add(place)
                place.set_result(None)
            self._waiting.popleft()

    async def close(self) -> None:
        """Close the connection in its own loop."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        self.abandon()

    def abandon(self) -> None:
        """Close the connection at once, from any loop, even if its own loop is closed."""
        for connection in self._open:
            connection.end(ConnectionError("closed under a call"))
        self._open.clear()
        self._current = None

    async def _connect(self) -> MultiplexedConnection:
        connection = self._make()
        is_open = False
        try:
            async with asyncio.timeout(TOTAL_S):
                await connection.connect()
            if not _is_clean(connection):
                raise ConnectionError("The server sent an unsolicited reply, or closed the connection.")
            opened = MultiplexedConnection(connection, self._loop, self.admit)
            self._open = {each for each in self._open if not each.has_ended} | {opened}
            self._current = opened
            is_open = True
        finally:
            if not is_open:
                abandon(connection)
        self.admit()
        return opened


class SharedLease:
    """One call's use of a shared connection. It holds a place from joining the queue until it sends its command."""

    __slots__ = ("_answer", "_budget", "_endpoint", "_on", "_place", "_prefix", "_resends", "node")

    connection = None

    def __init__(self, endpoint: Callable[[RedisObject], Endpoint], budget: RetryBudget) -> None:
        self._endpoint = endpoint
        self._budget = budget
        self._place: Place | None = None
        self._resends = 0
        self._on: MultiplexedConnection | None = None
        self._answer: object = None
        self._prefix = b""
        self.node: RedisObject = None

    @property
    def until(self) -> float:
        """The deadline of the current script, by the monotonic clock."""
        return self._budget.until

    @property
    def is_over(self) -> bool:
        """True if nothing has to be returned."""
        return self._place is None

    async def enter(self, seconds: float) -> bool:
        """Wait for a place; return whether one came free within `seconds`. If not, keep the place in the queue."""
        endpoint = self._endpoint(self.node)
        place = self._place
        if place is None or place.endpoint is not endpoint:
            await self.release()
            place = self._place = endpoint.place()  # Store it before queuing it: an interrupt then returns it.
            endpoint.queue(place)
        await asyncio.wait({place}, timeout=seconds)
        return place.done()

    async def say(self, command: Command) -> object:
        """Send a command and return the reply. Raises `Crowded` if the caller must wait for a place."""
        packed = pack_alone(command)
        if command is ASKING:  # It applies to the connection's next command, which must be this caller's.
            self._prefix = packed
            return None
        endpoint = self._endpoint(self.node)
        connection = endpoint.current
        is_unknown = isinstance(self._answer, NoScriptError)  # Its text goes at once, or all would ask for it in turn.
        self._on = self._answer = None
        if connection is None:
            connection = await endpoint.connect(self._budget.until)
        place = self._place
        has_place = place is not None and place.done() and place.endpoint is endpoint
        has_place = has_place or is_unknown or bool(self._prefix)  # Another node sent this command here: it has waited.
        if not has_place and endpoint.is_full:
            raise Crowded
        if self._prefix:
            reply = connection.ask(self._prefix + packed, self._budget.until, skip=1)
            self._prefix = b""
        else:
            reply = connection.ask(packed, self._budget.until)
        self._on = connection
        if place is not None:
            place.endpoint.leave(place)
            self._place = None
        answer = self._answer = await reply
        if answer is NOT_SENT:
            return await self._resend(command, reply)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _resend(self, command: Command, reply: Reply) -> object:
        """Send a command again on the next connection. The last one was lost before it was sent: nothing has run."""
        self._on = None
        self._resends += 1
        if self._resends > _RESENDS:
            raise ConnectionError("Connection closed by server.")
        self._prefix = pack_alone(ASKING) if reply.skip else b""
        return await self.say(command)

    async def release(self) -> None:
        """Return a place that was not used."""
        self._prefix = b""
        place = self._place
        if place is not None:
            place.endpoint.leave(place)
            self._place = None

    async def drop(self) -> None:
        """Give up the connection after an error.

        End it at once if this call's reply is unknown. If the reply was an error of the server, retire the connection:
        the other callers still get their replies. After a timeout, keep it.
        """
        if self._on is not None:
            if not isinstance(self._answer, Exception):
                self._on.end(ConnectionError("The order of replies was lost."))
            elif not isinstance(self._answer, TimeoutError):
                self._on.retire()
            self._on = None
        await self.release()


def _is_clean(connection: RedisObject) -> bool:
    """Check whether an opened connection is still open and has no unread reply."""
    reader = connection._reader
    return not (connection._parser._reader.has_data() or reader._buffer or reader.at_eof())


def _retrieve(task: asyncio.Task[MultiplexedConnection]) -> None:
    """Retrieve the task's exception: asyncio would log it if no caller waits for it any more."""
    with suppress(asyncio.CancelledError):
        task.exception()
