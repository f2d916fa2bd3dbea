"""One connection that all tasks of an event loop share: commands asked in one turn of the loop leave in one write.

redis-py connects: address, TLS, credentials and database are its work. Then `MultiplexedConnection` takes its transport
over. Redis answers in the order of the commands, so a caller that stops waiting keeps its place in the order, and its
reply is dropped when it comes. Replies in the wrong order can't be told apart: whatever shakes the order, such as an
error while a reply is read, ends the connection. Its callers ask again on the next one, under their operation ids.
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
from otpkit.store.loops import abandon
from otpkit.store.protocol import ASKING, Command, Crowded, pack_alone
from otpkit.store.retry import ANSWER_S, MAX_CONNECTIONS, TOTAL_S, RetryBudget

try:
    import hiredis
except ImportError:
    IS_POSSIBLE = False
else:
    IS_POSSIBLE = hasattr(hiredis, "PushNotification")  # since 3.2
"""Whether replies can be read as they arrive. redis-py's own parser waits for them, one at a time."""

MAX_UNANSWERED: Final = MAX_CONNECTIONS
"""Commands on their way at once. More would fill buffers and would be answered no sooner."""

_TICK_S: Final = 0.05  # How often overdue replies are looked for.
_INCOMPLETE: Final = object()  # What the reader returns until a reply is whole.
_NOT_SENT: Final = object()  # The result of a reply whose command was not sent, as the connection was lost before.
_RESENDS: Final = 2  # A command that was not sent is asked again so often, at once.


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
        self._timers: list[asyncio.TimerHandle] = []
        self._looked = self._since  # When overdue replies were last looked for.
        self._run: object = None  # Which run of the loop the replies that are due belong to.
        self._is_retired = False
        self._failure: RedisError | None = None  # What ended this connection.
        self._transport.set_protocol(self)

    @property
    def load(self) -> int:
        """How many commands are not answered."""
        return len(self._due) + len(self._unsent)

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closed, and no reply is due."""
        return self._failure is not None and not self.load

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
            reply.set_result(_NOT_SENT)
            return reply
        if self._flushing is None:  # First: an interrupt after this line leaves nothing unsent.
            if not self._timers:
                self._watch()
            self._flushing = self._loop.call_soon(self._flush)
        self._unsent.append(reply)
        return reply

    def retire(self) -> None:
        """Take no new command; end when all that were asked are answered."""
        self._is_retired = True
        self._end_if_done()

    def end(self, failure: RedisError) -> None:
        """Close the connection, from any loop, with a failure for every reply that is due.

        A second call does what is left to do, where an interrupt broke the first one off.
        """
        if self._failure is None:
            self._failure = failure
        abandon(self._connection)
        if self._loop.is_closed():
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
        """Give each whole reply to the caller whose turn it is."""
        if self._failure is None:
            self._whole(lambda: self._read(data), ConnectionError("A reply was not read to its end."))

    def eof_received(self) -> None:
        """Fail what is due: the server closed the connection."""
        self.end(ConnectionError("Connection closed by server."))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is due: the server or the network closed the connection."""
        reason = f" ({type(exc).__name__})" if exc is not None else ""
        self.end(ConnectionError(f"Connection closed by server{reason}."))

    def _whole(self, work: Callable[[], None], failure: RedisError) -> None:
        """Do work to its end, or end the connection: after an interrupt, replies would reach the wrong callers."""
        if self._due and self._run is not _run_of_loop():
            self.end(ConnectionError("The loop was left while replies were due."))
            return
        is_whole = False
        try:
            work()
            is_whole = True
        except InvalidResponse as error:
            failure = error
        except UNREADABLE as error:  # redis-py can't take every error apart that a server may send.
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
                raise InvalidResponse("A reply that was not asked for.")
            if due[0].skip:
                due[0].skip -= 1
                continue
            reply = due[0]  # It is taken out last: an interrupt before that line fails it.
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
        """Send what was asked since the last turn of the loop; what is no longer waited for is never sent."""
        self._flushing = None
        if self._transport.is_closing():
            self.end(ConnectionError("Connection closed by server."))
            return
        waiting = [reply for reply in self._unsent if not reply.done()]
        if waiting:
            if not self._due:
                self._since, self._run = time.monotonic(), _run_of_loop()
            self._due.extend(waiting)  # Before the others are forgotten: an interrupt in between fails them.
            self._transport.write(b"".join([reply.command for reply in waiting]))
        is_short = len(waiting) < len(self._unsent)
        self._unsent.clear()
        if is_short:
            self._on_room()
            self._end_if_done()

    def _watch(self) -> None:
        """Look for overdue replies soon. The second timer is there in case an interrupt stops the first one."""
        timers = self._timers
        self._timers = [self._loop.call_later(after_s, self._tick) for after_s in (_TICK_S, 2 * _TICK_S)]
        self._looked = time.monotonic()
        for timer in timers:
            timer.cancel()

    def _tick(self) -> None:
        self._whole(self._look, ConnectionError("Overdue replies were not looked for."))

    def _look(self) -> None:
        """Fail replies that are overdue. A server that answers the oldest in time answers the others after it.

        A reply is overdue where it was so at the last look too: when the loop was blocked, it may be there, unread.
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
    """A place in the queue before an endpoint. It is done when its holder may ask, or has left the queue."""

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.endpoint = endpoint


class Endpoint:
    """The connection of one event loop to one server, opened when it is first needed and again after each loss.

    `make` returns a connection of redis-py's that is not open yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], RedisObject]) -> None:
        self._loop = loop
        self._make = make
        self._current: MultiplexedConnection | None = None
        self._open: set[MultiplexedConnection] = set()  # This one, and those that end after their last replies.
        self._connecting: asyncio.Task[MultiplexedConnection] | None = None
        self._waiting: deque[Place] = deque()
        self._admitted: WeakSet[Place] = WeakSet()  # Weak: an interrupt may make their holders forget them.

    @property
    def current(self) -> MultiplexedConnection | None:
        """The connection, where one is open."""
        current = self._current
        return current if current is not None and current.is_usable else None

    @property
    def is_idle(self) -> bool:
        """Whether no call uses a connection or waits for one."""
        is_connecting = self._connecting is not None and not self._connecting.done()
        is_used = is_connecting or any(connection.load for connection in self._open)
        return not (is_used or self._waiting or self._admitted)

    @property
    def is_full(self) -> bool:
        """Whether a new command has to wait: too many are on their way, or others wait already."""
        return bool(self._waiting) or not self._has_room

    @property
    def _has_room(self) -> bool:
        load = 0 if self._current is None else self._current.load
        return load + len(self._admitted) < MAX_UNANSWERED

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
        if isinstance(failure, (*REDIS_ERRORS, *UNREADABLE)):
            raise _own(failure) from failure
        if failure is not None:  # What a signal raises was meant for one of the callers at most.
            raise ConnectionError("interrupted while connecting")
        return task.result()

    def place(self) -> Place:
        """Return a place, which is yet to be put into the queue."""
        return Place(self, self._loop)

    def queue(self, place: Place) -> None:
        """Put a place at the end of the queue."""
        self._waiting.append(place)
        self.admit()

    def leave(self, place: Place) -> None:
        """Give a place back, whether it was used or not."""
        place.cancel()
        self._admitted.discard(place)
        self.admit()

    def admit(self) -> None:
        """Let those in that wait for a place, first come, first served, as far as there is room."""
        while self._waiting and self._has_room:
            place = self._waiting[0]  # It is taken out last: an interrupt before that line loses nobody's place.
            if not place.done():
                self._admitted.add(place)
                place.set_result(None)
            self._waiting.popleft()

    async def close(self) -> None:
        """Close the connection, in its own loop."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        self.abandon()

    def abandon(self) -> None:
        """Close the connection at once, from any loop, its own being closed or not."""
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
                raise ConnectionError("The server sent what was not asked for, or closed the connection.")
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
    """What one call holds of a shared connection: a place, from when it waited for one until it asks."""

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
        """When the script under way is given up, by the monotonic clock."""
        return self._budget.until

    @property
    def is_over(self) -> bool:
        """Whether nothing has to be given back."""
        return self._place is None

    async def enter(self, seconds: float) -> bool:
        """Wait for a place; return whether one was free within so many seconds. If not, it is kept in the queue."""
        endpoint = self._endpoint(self.node)
        place = self._place
        if place is None or place.endpoint is not endpoint:
            await self.release()
            place = self._place = endpoint.place()  # It is held before it is queued: an interrupt gives it back.
            endpoint.queue(place)
        await asyncio.wait({place}, timeout=seconds)
        return place.done()

    async def say(self, command: Command) -> object:
        """Send a command and return the reply; raises `Crowded` where a place is to be waited for."""
        packed = pack_alone(command)
        if command is ASKING:  # It holds for the next command on the connection, which may not be another caller's.
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
        """Ask again on the next connection: this one was lost before, so nothing was tried."""
        self._on = None
        self._resends += 1
        if self._resends > _RESENDS:
            raise ConnectionError("Connection closed by server.")
        self._prefix = pack_alone(ASKING) if reply.skip else b""
        return await self.say(command)

    async def release(self) -> None:
        """Give back a place that was not used."""
        self._prefix = b""
        place = self._place
        if place is not None:
            place.endpoint.leave(place)
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


def _is_clean(connection: RedisObject) -> bool:
    """Whether a connection that was opened is still open, and every reply on it was read."""
    reader = connection._reader
    return not (connection._parser._reader.has_data() or reader._buffer or reader.at_eof())


def _run_of_loop() -> object:
    """Return what the running loop made for this run alone.

    A KeyboardInterrupt ends a run wherever it is, and asyncio loses what it had read. Another run may follow.
    """
    return sys.get_asyncgen_hooks().firstiter


def _own(failure: BaseException) -> BaseException:
    """Return a copy for one caller: a shared one would gather the frames of all, which may still run."""
    return copy(failure)


def _retrieve(task: asyncio.Task[MultiplexedConnection]) -> None:
    """Take note of a failure, which asyncio would log where no caller waits for it any more."""
    with suppress(asyncio.CancelledError):
        task.exception()
