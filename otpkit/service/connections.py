"""HTTP on one connection, within bounds of memory and time, whatever its client does.

uvicorn parses requests and writes responses. This module decides how much uvicorn gets to parse at once, and how long a
client may take. A client that has shown an API key is known. The others are strangers: they wait in a queue when they
ask for more than they may have.

It subclasses uvicorn's `HttpToolsProtocol` and uses its internals: `server.TESTED_UVICORN` says which versions work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from otpkit.service.admission import DISCARD, Admission
from otpkit.service.connection_errors import (
    MAX_HEAD,
    MAX_HEADERS,
    head_too_long_response,
    malformed_response,
    no_host_response,
    too_slow_response,
)
from otpkit.service.keys import KNOWN

# Seconds for a client to send a whole request, from its first byte, and to take an answer.
PATIENCE: Final = 30
_MOST_DISCARDED: Final = 16_777_216  # Bytes that are read on after a last answer.
_PART: Final = 256  # Bytes that are parsed at once: at most 14 requests, each of which costs some kilobytes.
_WRITE: Final = 16_384  # Bytes of answers that a client has not taken yet, beyond which the next answer waits.
_FREE_READS: Final = 8  # Reads without an answer between them, beyond which a stranger waits in line for the next.


class Connection(asyncio.BufferedProtocol):
    """The protocol of a connection towards the event loop: a `Http` that is given few bytes at a time."""

    def __init__(self, admission: Admission, **uvicorn: Any) -> None:
        self._admission = admission
        self._http = Http(admission, **uvicorn)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or close a connection for which there is no room."""
        self._http.connection_made(transport)  # type: ignore[arg-type]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what is read."""
        return self._admission.discard if self._http.lingers else self._admission.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self._http.data_received(b"" if self._http.lingers else bytes(self._admission.buffer[:nbytes]))

    def eof_received(self) -> bool:
        """Return whether answers are still to be written."""
        return self._http.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """Let answers wait until the client has taken what is written."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Write on."""
        self._http.resume_writing()


class _Wire(asyncio.Transport):
    """The transport as uvicorn sees it: a closed one takes what is written and drops it."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self._transport = transport
        self._close = close
        self.closed = False  # Nothing is written any more.
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.write_eof = transport.write_eof  # type: ignore[method-assign]

    def is_closing(self) -> bool:
        return self.closed or self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if not self.is_closing():
            self.closed = True
            self._close()

    def close_now(self) -> None:
        self.closed = True
        self._transport.close()

    def abort(self) -> None:
        self.closed = True
        self._transport.abort()


class _Refused(Exception):
    """Raised in a callback of the parser: it parses nothing more."""


class Http(HttpToolsProtocol):
    """HTTP/1.1 by uvicorn's protocol: one request of a client at a time, and nothing without end."""

    def __init__(self, admission: Admission, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._admission = admission
        self.lingers = False  # All is answered: what still comes is dropped, until the client closes.
        self._due: float | None = None  # By when the client must have done what is waited for.
        self._held = b""  # What was read, and is to be parsed after the answer that is under way.
        self._running: Any = None  # The cycle that is being answered.
        self._begun = False  # A message has begun, and is not whole.
        self._ended = False  # The client sends nothing more.
        self._known = False
        self._stops = False  # The server does.
        self._replays = False  # A head is parsed again, which was told.
        self._last = b""  # The answer after which the connection is closed.
        self._refusal = b""
        self._reads = 0  # Since the last answer.
        self._extra = 0  # Bytes of the message that are not of its body, since the part that began it.
        self._of_body = 0  # Bytes of the body, in the latest part.

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered here."""
        return self._running is None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or close a connection for which there is no room."""
        has_room = self._admission.make_room(len(self.connections))
        self._wire = _Wire(transport, self._linger_or_close)
        super().connection_made(self._wire)
        if not has_room:
            self._wire.abort()
            return
        transport.set_write_buffer_limits(high=_WRITE)
        self._admission.strangers[self] = None
        self._wait_for_client()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what is under way that nobody waits for it."""
        self._admission.forget(self)
        self._wire.closed = True
        self._held = b""
        self.pipeline.clear()
        for cycle in (self._running, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what was read: parse it, or keep it until its turn comes."""
        self._reads += 1
        if not self.lingers and not self._last:
            self._unset_keepalive_if_required()
            self._held += data
            self._parse_held()
        elif self._reads > _MOST_DISCARDED // DISCARD:
            self._wire.abort()
        if self._reads > _FREE_READS and not self._known and not self._held and self._running is None:
            self.flow.pause_reading()
            self._admission.wait(self, self.flow.resume_reading)

    def ended(self) -> bool:
        """Return whether an answer is still to be written to a client that sends nothing more."""
        self._ended = True
        if self._wire.is_closing() or (self._running is not None and self._running.more_body):
            return False
        return self._running is not None or bool(self.pipeline or self._held)

    def pause_writing(self) -> None:
        """Let answers wait until the client has taken what is written."""
        super().pause_writing()
        self._due = self.loop.time() + PATIENCE

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        if not self._wire.closed:
            self._due = None
            if self._running is None:
                self._wait_for_client()

    # What uvicorn's parser and cycles call.

    def on_message_begin(self) -> None:
        if self._replays:
            return
        self._begun = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._replays:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._replays:
            return
        if len(self.headers) >= MAX_HEADERS:  # Those of trailers are among them.
            self._refuse_parsing(head_too_long_response())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._replays:
            return
        if self.parser.get_http_version() == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            self._refuse_parsing(no_host_response())
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        self._of_body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and self._framing():
            return  # httptools takes what follows for another protocol's; it is the body.
        self._begun = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        running, self._running = self._running, None
        self._reads = 0
        if running is not None and not self._known and KNOWN in running.scope["state"]:
            self._known = True
            self._admission.forget(self)
        if (self.pipeline or self._held) and not self._known and not self._wire.is_closing():
            self._admission.wait(self, self._go_on)
        else:
            self._go_on()

    def shutdown(self) -> None:
        """End with the server, after the answer that is under way."""
        self._stops = True
        self._held = b""
        if self._running is None:
            self._close()
        else:
            self._running.keep_alive = False

    # What is decided here.

    def _go_on(self) -> None:
        """Begin the next answer, parse the next request, or wait for one."""
        if self.pipeline and not self._wire.is_closing():
            self._running = self.pipeline[-1][0]
        super().on_response_complete()  # Starts it.
        if self._wire.is_closing():
            return
        if self._running is None and self._last:
            self._say_last()
        elif self._running is None and self._stops:
            self._close()
        else:
            self._parse_held()

    def _parse_held(self) -> None:
        """Parse what was read as far as the end of one request, and wait for what the client has to do next."""
        while self._held and not self._is_busy and not self._last and not self._wire.is_closing():
            part, self._held = self._held[:_PART], self._held[_PART:]
            self._parse(part)
        if self._held:
            self.flow.pause_reading()
        if self.flow.write_paused or self._last or self._wire.is_closing():
            return
        if self._is_busy:
            self._due = None
        else:
            self._wait_for_client()

    @property
    def _is_busy(self) -> bool:
        return bool(self.pipeline) or (self._running is not None and not self._running.more_body)

    def _parse(self, part: bytes) -> None:
        before, self._of_body = self.scope, 0
        try:
            self.parser.feed_data(part)
        except HttpParserUpgrade as upgrade:  # Which is not offered: the request is answered as any other.
            self._held = part[upgrade.args[0] :] + self._held
            if framing := self._framing():
                self._parse_body(framing)
        except HttpParserError:
            self._refuse(self._refusal or malformed_response())
        self._extra = self._extra + len(part) - self._of_body if self.scope is before else 0
        if self._extra > MAX_HEAD:  # Chunks' extensions and trailers count too.
            self._refuse(head_too_long_response())

    def _framing(self) -> bytes:
        """Return the headers that say how long the body is."""
        said = [(name, value) for name, value in self.headers if name in {b"content-length", b"transfer-encoding"}]
        return b"".join(b"%b: %b\r\n" % pair for pair in said)

    def _parse_body(self, framing: bytes) -> None:
        """Begin anew, behind the head of a request that offered an upgrade."""
        self.parser = HttpRequestParser(self)
        self._replays = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
        except HttpParserError:
            self._refuse(malformed_response())
        self._replays = False

    def _refuse_parsing(self, answer: bytes) -> None:
        self._refusal = answer
        raise _Refused

    def _refuse(self, answer: bytes) -> None:
        """Give a last answer, once what was asked before has its own."""
        if self._last or self._wire.is_closing():
            return
        self._last, self._held = answer, b""
        cycle = self.cycle
        if self._begun and cycle is not None and cycle.scope is self.scope and not cycle.response_complete:
            # Its head was whole, so it was asked: it is not answered twice.
            if cycle is not self._running:
                self.pipeline.popleft()
            else:
                cycle.disconnected, self._running = True, None
                cycle.message_event.set()
                if cycle.response_started:
                    self._close()
        if self._running is None and not self.pipeline:
            self._say_last()

    def _say_last(self) -> None:
        self._wire.write(self._last)
        self._wire.close()

    def _close(self) -> None:
        """Close, once the client has taken what is written."""
        self._due = self.loop.time() + PATIENCE
        self._wire.close_now()

    def _linger_or_close(self) -> None:
        """Close; while a client still writes, read on first: a reset would come before it sees the answer."""
        if self._stops or self._ended or not (self._begun or self._held or self._last):
            self._close()
            return
        self._due = self.loop.time() + PATIENCE
        self.lingers, self._held, self._reads = True, b"", 0
        self._wire.write_eof()
        self.flow.resume_reading()

    def _wait_for_client(self) -> None:
        """Set by when the client must have sent the rest of a request; a whole answer is followed by a longer wait."""
        if self._ended:
            self._close()
        elif self._begun or self.cycle is None:
            self._due = self._due or self.loop.time() + PATIENCE
        else:
            self._due = None
            if self.timeout_keep_alive_task is None:
                wait, end = self.timeout_keep_alive, self.timeout_keep_alive_handler
                self.timeout_keep_alive_task = self.loop.call_later(wait, end)

    def check(self, now: float) -> None:
        """End a connection whose client has taken too long."""
        if self._due is None or now < self._due:
            return
        if self.lingers or self._wire.closed or self.flow.write_paused:
            self._wire.abort()
        elif self._begun:
            self._due = None
            self._refuse(too_slow_response())
        else:
            self._close()
