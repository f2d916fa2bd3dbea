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
from copy import copy
from typing import Final

from redis.exceptions import (
    ConnectionError,  # noqa: A004
    InvalidResponse,
    RedisError,
    TimeoutError,  # noqa: A004
)

from otpkit.store.errors import UNREADABLE, unreadable
from otpkit.store.library import RedisObject
from otpkit.store.loops import abandon, close_without_loop
from otpkit.store.retry import ANSWER_S

try:
    import hiredis
except ImportError:
    IS_POSSIBLE = False
else:
    IS_POSSIBLE = hasattr(hiredis, "PushNotification")  # hiredis has it since 3.2.
"""True if replies can be read as they arrive. redis-py's own parser waits for each single reply."""

_TICK_S: Final = 0.05  # The interval between checks for overdue replies.
_INCOMPLETE: Final = object()  # The reader returns this until a reply is complete.
NOT_SENT: Final = object()
"""The result of a reply whose command was not sent, because the connection was lost first."""


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
            reply.set_result(NOT_SENT)
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
                reply.set_result(copy_failure(self._failure))
        for reply in self._unsent:
            if not reply.done():
                reply.set_result(NOT_SENT)
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


def copy_failure(failure: BaseException) -> BaseException:
    """Return a copy for one caller: a shared exception would collect the frames of all callers."""
    return copy(failure)


def _run_of_loop() -> object:
    """Return an object that exists once per run of the loop.

    A KeyboardInterrupt ends a run at any point. asyncio then loses the data that it had read. The loop may run again.
    """
    return sys.get_asyncgen_hooks().firstiter
