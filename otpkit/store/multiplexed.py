"""One connection that all tasks of an event loop share. Commands of one loop iteration leave in one write.

redis-py opens the connection: address, TLS, credentials and database. Then `MultiplexedConnection` takes over its
transport. Redis replies in the order of the commands. A caller that stops waiting therefore keeps its place in the
order, and its reply is dropped when it arrives. Replies in the wrong order can't be detected. So any event that puts
the order in doubt, such as an error while a reply is read, ends the connection. Its callers ask again on the next
connection, under their operation ids.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Final
from weakref import WeakSet

from redis.exceptions import (
    ConnectionError,  # noqa: A004
    InvalidResponse,
    NoScriptError,
    RedisError,
    TimeoutError,  # noqa: A004
)

from otpkit.store.errors import REDIS_ERRORS, UNREADABLE, unreadable
from otpkit.store.library import RedisObject
from otpkit.store.loops import abandon, close_without_loop
from otpkit.store.protocol import ASKING, Command, Crowded, pack_alone
from otpkit.store.retry import ANSWER_S, MAX_CONNECTIONS, TOTAL_S, RetryBudget

try:
    import hiredis
except ImportError:
    IS_POSSIBLE = False
else:
    IS_POSSIBLE = hasattr(hiredis, "PushNotification")  # hiredis has it since 3.2.
"""True if replies can be read as they arrive. redis-py's own parser waits for each single reply."""

MAX_UNANSWERED: Final = MAX_CONNECTIONS
"""The most commands in flight at once. More would fill buffers without being answered any sooner."""

_TICK_S: Final = 0.05  # The interval between checks for overdue replies.
_INCOMPLETE: Final = object()  # The reader returns this until a reply is complete.
_NOT_SENT: Final = object()  # The result of a reply whose command was not sent, because the connection was lost first.
_RESENDS: Final = 2  # A command that was not sent is sent again at once, this many times at most.


class Reply(asyncio.Future[object]):
    """A pending reply, and the command that asks for it. A failure is a result too, which the caller raises.

    `until` is the time at which the caller stops waiting, by the monotonic clock. `skip` counts the replies that come
    before this one for the same caller.
    """

    __slots__ = ("command", "skip", "until")

    command: bytes
    skip: int
    until: float


class MultiplexedConnection(asyncio.Protocol):
    """An open connection. It calls `on_room` when pending replies were settled, so that waiting callers can enter."""

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
        self._since = time.monotonic()  # When the oldest pending reply was asked for, or became the oldest.
        self._flushing: asyncio.Handle | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._looked = self._since  # When overdue replies were last checked for.
        self._run: object = None  # The run of the loop to which the pending replies belong.
        self._is_retired = False
        self._failure: RedisError | None = None  # The error that ended this connection.
        self._transport.set_protocol(self)

    @property
    def load(self) -> int:
        """The number of unanswered commands."""
        return len(self._due) + len(self._unsent)

    @property
    def has_ended(self) -> bool:
        """True if the connection is closed and no reply is pending."""
        return self._failure is not None and not self.load

    @property
    def is_usable(self) -> bool:
        """True if the connection accepts a new command.

        A connection that was idle for longer than redis-py's `health_check_interval` may be dead without any sign.
        """
        if self._is_retired or self._failure is not None or self._transport.is_closing():
            return False
        is_idle = self._longest_idle_s and not self.load and time.monotonic() - self._since > self._longest_idle_s
        return not is_idle

    def ask(self, command: bytes, until: float, *, skip: int = 0) -> Reply:
        """Send a command with the others of this loop iteration; return its reply, which the caller must await."""
        reply = Reply(loop=self._loop)
        reply.command, reply.until, reply.skip = command, until, skip
        if self._failure is not None:
            reply.set_result(_NOT_SENT)
            return reply
        if self._flushing is None:  # Do this first: an interrupt after this line leaves no command unsent.
            if not self._timers:
                self._watch()
            self._flushing = self._loop.call_soon(self._flush)
        self._unsent.append(reply)
        return reply

    def retire(self) -> None:
        """Accept no new command, and end when all pending commands are answered."""
        self._is_retired = True
        self._end_if_done()

    def end(self, failure: RedisError) -> None:
        """Close the connection, from any loop, and fail every pending reply.

        If an interrupt breaks off this call, a second call completes it.
        """
        if self._failure is None:
            self._failure = failure
        abandon(self._connection)
        if self._loop.is_closed():
            close_without_loop(self._transport)
            return
        self._loop.call_soon(self._transport.abort)
        for reply in self._due:
            if not reply.done():
                reply.set_result(_own(self._failure))
        for reply in self._unsent:
            if not reply.done():
                reply.set_result(_NOT_SENT)
        self._due.clear()
        self._unsent.clear()
        self._on_room()
        for timer in self._timers:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Pass each complete reply to the caller that is next in order."""
        if self._failure is None:
            self._whole(lambda: self._read(data), ConnectionError("A reply was not read to its end."))

    def eof_received(self) -> None:
        """Fail the pending replies: the server closed the connection."""
        self.end(ConnectionError("Connection closed by server."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending replies: the server or the network closed the connection."""
        reason = f" ({type(exc).__name__})" if exc is not None else ""
        self.end(ConnectionError(f"Connection closed by server{reason}."))

    def _whole(self, work: Callable[[], None], failure: RedisError) -> None:
        """Do work completely, or end the connection: after an interrupt, replies would reach the wrong callers."""
        if self._due and self._run is not _run_of_loop():
            self.end(ConnectionError("The loop was left while replies were due."))
            return
        is_whole = False
        try:
            work()
            is_whole = True
        except InvalidResponse as error:
            failure = error
        except UNREADABLE as error:  # redis-py can't parse every error that a server may send.
            failure = unreadable(error, is_closed=self._transport.is_closing())
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
                raise InvalidResponse("An unsolicited reply.")
            if due[0].skip:
                due[0].skip -= 1
                continue
            reply = due[0]  # Remove it last: if an interrupt comes before that line, `end` fails this reply.
            if not reply.done():
                reply.set_result(value)
            due.popleft()
            self._since = time.monotonic()
        self._on_room()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_retired and not self.load:
            self.end(ConnectionError("This connection was given up."))

    def _flush(self) -> None:
        self._whole(self._send, ConnectionError("A command was not sent whole."))

    def _send(self) -> None:
        """Send the commands added since the last loop iteration, except those whose callers have stopped waiting."""
        self._flushing = None
        if self._transport.is_closing():
            self.end(ConnectionError("Connection closed by server."))
            return
        waiting = [reply for reply in self._unsent if not reply.done()]
        if waiting:
            if not self._due:
                self._since, self._run = time.monotonic(), _run_of_loop()
            self._due.extend(waiting)  # Before `_unsent` is cleared: after an interrupt in between, `end` fails them.
            self._transport.write(b"".join([reply.command for reply in waiting]))
        is_short = len(waiting) < len(self._unsent)
        self._unsent.clear()
        if is_short:
            self._on_room()
            self._end_if_done()

    def _watch(self) -> None:
        """Schedule the next check for overdue replies. The second timer runs if an interrupt stops the first."""
        timers = self._timers
        self._timers = [self._loop.call_later(after_s, self._tick) for after_s in (_TICK_S, 2 * _TICK_S)]
        self._looked = time.monotonic()
        for timer in timers:
            timer.cancel()

    def _tick(self) -> None:
        self._whole(self._look, ConnectionError("Overdue replies were not looked for."))

    def _look(self) -> None:
        """Fail overdue replies. If a server answers the oldest in time, it answers the later ones too.

        A reply counts as overdue only if it was overdue at the previous check too. While the loop was blocked, the
        reply may have arrived and not been read.
        """
        looked = self._looked
        self._watch()
        if self._failure is not None:
            self.end(self._failure)
            return
        if self._unsent:
            self._send()
        if self._due and looked - self._since > self._answer_s:
            self.end(TimeoutError("Timeout reading from socket"))
            return
        for reply in self._due:
            if reply.until < looked and not reply.done():
                reply.set_result(TimeoutError("No reply within the time of the call."))
        if not self.load:
            timers, self._timers = self._timers, []
            for timer in timers:
                timer.cancel()


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
            raise _own(failure) from failure
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
        if answer is _NOT_SENT:
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


def _run_of_loop() -> object:
    """Return an object that exists once per run of the loop.

    A KeyboardInterrupt ends a run at any point. asyncio then loses the data that it had read. The loop may run again.
    """
    return sys.get_asyncgen_hooks().firstiter


def _own(failure: BaseException) -> BaseException:
    """Return a copy for one caller: a shared exception would collect the frames of all callers."""
    return copy(failure)


def _retrieve(task: asyncio.Task[MultiplexedConnection]) -> None:
    """Retrieve the task's exception: asyncio would log it if no caller waits for it any more."""
    with suppress(asyncio.CancelledError):
        task.exception()
