"""One connection that all tasks of an event loop share: commands asked in one turn of the loop leave in one write.

redis-py connects: address, TLS, credentials and database are its work. Then `MultiplexedConnection` takes its transport
over. Redis answers in the order of the commands, so a caller that stops waiting keeps its place in the order, and its
reply is dropped when it comes. Replies in the wrong order can't be told apart: whatever shakes the order, such as an
error while a reply is read, ends the connection. Its callers ask again on the next one, under their operation ids.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Final

from redis.exceptions import (
    ConnectionError,  # noqa: A004
    InvalidResponse,
    RedisError,
    TimeoutError,  # noqa: A004
)

from otpkit.store.library import RedisObject
from otpkit.store.loops import abandon
from otpkit.store.protocol import ASKING, Command, Crowded, pack_alone
from otpkit.store.retry import ANSWER_S, MAX_CONNECTIONS, TOTAL_S, RetryBudget

try:
    import hiredis
except ImportError:
    IS_POSSIBLE = False
else:
    IS_POSSIBLE = True
"""Whether replies can be read as they arrive. redis-py's own parser waits for them, one at a time."""

MAX_UNANSWERED: Final = MAX_CONNECTIONS
"""Commands on their way at once. More would fill buffers and would be answered no sooner."""

_TICK_S: Final = 0.05  # How often overdue replies are looked for.
_INCOMPLETE: Final = object()  # What the reader returns until a reply is whole.


class Reply(asyncio.Future[object]):
    """A reply that is due, and the command that asks for it. A failure is a result too, which the caller raises.

    `until` is when the caller stops waiting, by the monotonic clock. `skip` counts replies that come before it.
    """

    __slots__ = ("command", "skip", "until")

    command: bytes
    skip: int
    until: float


class MultiplexedConnection(asyncio.Protocol):
    """A connection that is open. `on_room` is called for each place that becomes free."""

    def __init__(self, connection: RedisObject, loop: asyncio.AbstractEventLoop, on_room: Callable[[], None]) -> None:
        self._connection = connection
        self._loop = loop
        self._on_room = on_room
        self._transport: asyncio.Transport = connection._writer.transport
        self._answer_s = float(connection.socket_timeout or ANSWER_S)
        self._longest_idle_s = float(connection.health_check_interval or 0)
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=connection._parser.parse_error, notEnoughData=_INCOMPLETE
        )
        self._unsent: list[Reply] = []
        self._due: deque[Reply] = deque()
        self._since = time.monotonic()  # When the oldest reply that is due was asked for, or became the oldest.
        self._flushing: asyncio.Handle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._is_retired = False
        self._failure: RedisError | None = None  # What ended this connection.
        self._transport.set_protocol(self)

    @property
    def load(self) -> int:
        """How many commands are not answered."""
        return len(self._due) + len(self._unsent)

    @property
    def is_usable(self) -> bool:
        """Whether a new command may be asked here.

        A connection that was idle for longer than redis-py's `health_check_interval` may be dead without a sign.
        """
        if self._is_retired or self._failure is not None or self._transport.is_closing():
            return False
        is_idle = self._longest_idle_s and not self.load and time.monotonic() - self._since > self._longest_idle_s
        return not is_idle

    def ask(self, command: bytes, until: float, *, skip: int = 0) -> Reply:
        """Send a command with the others of this turn of the loop; return its reply, which is to be awaited."""
        reply = Reply(loop=self._loop)
        reply.command, reply.until, reply.skip = command, until, skip
        if self._failure is not None:
            reply.set_result(_own(self._failure))
            return reply
        if self._flushing is None:  # First: an interrupt after this line leaves nothing unsent.
            self._flushing = self._loop.call_soon(self._flush)
        self._unsent.append(reply)
        return reply

    def retire(self) -> None:
        """Take no new command; end when all that were asked are answered."""
        self._is_retired = True
        self._end_if_done()

    def end(self, failure: RedisError) -> None:
        """Close the connection, from any loop, with a failure for every reply that is due."""
        if self._failure is not None:
            return
        self._failure = failure
        abandon(self._connection)
        if self._loop.is_closed():
            return
        if self._ticking is not None:
            self._ticking.cancel()
        replies = [*self._due, *self._unsent]
        self._due.clear()
        self._unsent.clear()
        for reply in replies:
            if not reply.done():
                reply.set_result(_own(failure))
            self._on_room()

    def data_received(self, data: bytes) -> None:
        """Give each whole reply to the caller whose turn it is."""
        if self._failure is None:
            self._whole(lambda: self._read(data), ConnectionError("A reply was not read to its end."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is due: the server or the network closed the connection."""
        reason = f" ({type(exc).__name__})" if exc is not None else ""
        self.end(ConnectionError(f"Connection closed by server{reason}."))

    def _whole(self, work: Callable[[], None], failure: RedisError) -> None:
        """Do work to its end, or end the connection: after an interrupt, replies would reach the wrong callers."""
        is_whole = False
        try:
            work()
            is_whole = True
        except InvalidResponse as error:
            failure = error
        finally:
            if not is_whole:
                self.end(failure)

    def _read(self, data: bytes) -> None:
        reader, due = self._reader, self._due
        reader.feed(data)
        while (value := reader.gets()) is not _INCOMPLETE:
            if type(value) is hiredis.PushNotification:  # RESP3 may send these between any two replies.
                continue
            if not due:
                raise InvalidResponse("A reply that was not asked for.")
            if due[0].skip:
                due[0].skip -= 1
                continue
            reply = due.popleft()
            if not reply.done():
                reply.set_result(value)
            self._since = time.monotonic()
            self._on_room()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_retired and not self.load:
            self.end(ConnectionError("This connection was given up."))

    def _flush(self) -> None:
        self._flushing = None
        self._whole(self._send, ConnectionError("A command was not sent whole."))

    def _send(self) -> None:
        """Send what was asked since the last turn of the loop; what is no longer waited for is never sent."""
        replies, self._unsent = self._unsent, []
        waiting = [reply for reply in replies if not reply.done()]
        if waiting:
            if not self._due:
                self._since = time.monotonic()
            self._due.extend(waiting)
            self._transport.write(b"".join([reply.command for reply in waiting]))
            if self._ticking is None:
                self._ticking = self._loop.call_later(_TICK_S, self._tick)
        for _ in range(len(replies) - len(waiting)):
            self._on_room()
        self._end_if_done()

    def _tick(self) -> None:
        self._ticking = None
        if self._due:
            self._whole(self._fail_overdue, ConnectionError("Overdue replies were not looked for."))

    def _fail_overdue(self) -> None:
        """Fail replies that are overdue. A server that answers the oldest in time answers the others after it."""
        now = time.monotonic()
        if now - self._since > self._answer_s:
            self.end(TimeoutError("Timeout reading from socket"))
            return
        for reply in self._due:
            if reply.until < now and not reply.done():
                reply.set_result(TimeoutError("No reply within the time of the call."))
        self._ticking = self._loop.call_later(_TICK_S, self._tick)


class Endpoint:
    """The connection of one event loop to one server, opened when it is first needed and again after each loss.

    `make` returns a connection of redis-py's that is not open yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], RedisObject]) -> None:
        self._loop = loop
        self._make = make
        self._current: MultiplexedConnection | None = None
        self._connecting: asyncio.Task[MultiplexedConnection] | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def current(self) -> MultiplexedConnection | None:
        """The connection, where one is open."""
        current = self._current
        return current if current is not None and current.is_usable else None

    @property
    def is_idle(self) -> bool:
        """Whether no call uses the connection or waits for it."""
        is_connecting = self._connecting is not None and not self._connecting.done()
        return not is_connecting and not self._waiting and (self._current is None or not self._current.load)

    @property
    def is_full(self) -> bool:
        """Whether a new command has to wait: too many are on their way, or others wait already."""
        load = 0 if self._current is None else self._current.load
        return load >= MAX_UNANSWERED or (load > 0 and bool(self._waiting))

    async def connect(self, until: float) -> MultiplexedConnection:
        """Return the connection, which is opened once for all that wait; raises redis-py's errors."""
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
        if failure is not None:
            raise _own(failure) from failure
        return task.result()

    async def enter(self, seconds: float) -> bool:
        """Wait for a place, first come, first served; return whether one was free within so many seconds."""
        place = self._loop.create_future()
        self._waiting.append(place)
        is_used = False
        try:
            await asyncio.wait({place}, timeout=seconds)
            is_used = place.done()
        finally:
            if not is_used and not place.cancel():
                self.admit()
        return is_used

    def admit(self) -> None:
        """Let the next one in that waits for a place."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

    async def close(self) -> None:
        """Close the connection, in its own loop."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        self.abandon()

    def abandon(self) -> None:
        """Close the connection at once, from any loop, its own being closed or not."""
        if self._current is not None:
            self._current.end(ConnectionError("closed under a call"))
        self._current = None

    async def _connect(self) -> MultiplexedConnection:
        connection = self._make()
        is_open = False
        try:
            async with asyncio.timeout(TOTAL_S):
                await connection.connect()
            self._current = MultiplexedConnection(connection, self._loop, self.admit)
            is_open = True
        finally:
            if not is_open:
                abandon(connection)
        return self._current


class SharedLease:
    """What one call holds of a shared connection: a place, from when it waited for one until it asks."""

    __slots__ = ("_answer", "_budget", "_endpoint", "_on", "_place", "_prefix", "node")

    connection = None

    def __init__(self, endpoint: Callable[[RedisObject], Endpoint], budget: RetryBudget) -> None:
        self._endpoint = endpoint
        self._budget = budget
        self._place: Endpoint | None = None
        self._on: MultiplexedConnection | None = None
        self._answer: object = None
        self._prefix = b""
        self.node: RedisObject = None

    @property
    def until(self) -> float:
        """When the script under way is given up, by the monotonic clock."""
        return self._budget.until

    @property
    def is_over(self) -> bool:
        """Whether nothing has to be given back."""
        return self._place is None

    async def enter(self, seconds: float) -> bool:
        """Wait for a place; return whether one was free within so many seconds."""
        endpoint = self._endpoint(self.node)
        if not await endpoint.enter(seconds):
            return False
        self._place = endpoint
        return True

    async def say(self, command: Command) -> object:
        """Send a command and return the reply; raises `Crowded` where a place is to be waited for."""
        packed = pack_alone(command)
        if command is ASKING:  # It holds for the next command on the connection, which may not be another caller's.
            self._prefix = packed
            return None
        endpoint = self._endpoint(self.node)
        connection = endpoint.current
        self._on = self._answer = None
        if connection is None:
            connection = await endpoint.connect(self._budget.until)
        if self._place is None and endpoint.is_full:
            raise Crowded
        if self._prefix:
            reply = connection.ask(self._prefix + packed, self._budget.until, skip=1)
            self._prefix = b""
        else:
            reply = connection.ask(packed, self._budget.until)
        self._on, self._place = connection, None
        answer = self._answer = await reply
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def release(self) -> None:
        """Give back a place that was not used."""
        self._prefix = b""
        if self._place is not None:
            self._place.admit()
            self._place = None

    async def drop(self) -> None:
        """Give the connection up after an error: at once, or after the others' replies where it was an answer."""
        if self._on is not None:
            if not isinstance(self._answer, Exception):
                self._on.end(ConnectionError("The order of replies was lost."))
            elif not isinstance(self._answer, TimeoutError):
                self._on.retire()
            self._on = None
        await self.release()


def _own(failure: BaseException) -> BaseException:
    """Return a copy for one caller: a shared one would gather the frames of all, which may still run."""
    return copy(failure)


def _retrieve(task: asyncio.Task[MultiplexedConnection]) -> None:
    """Take note of a failure, which asyncio would log where no caller waits for it any more."""
    with suppress(asyncio.CancelledError):
        task.exception()
