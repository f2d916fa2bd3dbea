"""HTTP on one connection, with limits on memory and time, whatever the client does.

uvicorn parses requests and writes responses. This module decides how many bytes uvicorn parses at once, and how long a
client may take. A client that has shown an API key is "known". The others are "strangers": they wait in a queue if they
use more than their share.

It subclasses uvicorn's `HttpToolsProtocol` and uses its internals. `server.TESTED_UVICORN` lists the versions that
work.
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

# Seconds for a client to send a complete request, from its first byte, and to receive a response.
PATIENCE: Final = 30
_MOST_DISCARDED: Final = 16_777_216  # bytes still read after the last response
_PART: Final = 256  # bytes parsed at once: at most 14 requests, each of which takes a few kilobytes
_WRITE: Final = 16_384  # bytes of unread responses; above this, the next response waits
_FREE_READS: Final = 8  # reads without a response; after that, a stranger waits in the queue for the next read


class Connection(asyncio.BufferedProtocol):
    """The event loop's protocol of a connection: an `Http` that receives few bytes at a time."""

    def __init__(self, admission: Admission, **uvicorn: Any) -> None:
        self._admission = admission
        self._http = Http(admission, **uvicorn)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start, or close the connection if there is no room for it."""
        self._http.connection_made(transport)  # type: ignore[arg-type]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read."""
        return self._admission.discard if self._http.lingers else self._admission.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Process the bytes that were read."""
        self._http.data_received(b"" if self._http.lingers else bytes(self._admission.buffer[:nbytes]))

    def eof_received(self) -> bool:
        """Return True if responses are still to be written."""
        return self._http.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean up."""
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hold back responses until the client has read the written ones."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """Continue to write."""
        self._http.resume_writing()


class _Wire(asyncio.Transport):
    """The transport that uvicorn sees. After a close, it drops what is written."""

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
    """Raised in a callback of the parser, to stop parsing."""


class Http(HttpToolsProtocol):
    """HTTP/1.1 by uvicorn's protocol, with one request of a client at a time and limits on everything."""

    def __init__(self, admission: Admission, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._admission = admission
        self.lingers = False  # All is answered. Input is dropped until the client closes.
        self._due: float | None = None  # The deadline of the client's next action, by the loop's clock.
        self._held = b""  # Input to parse after the current response.
        self._running: Any = None  # The cycle that is being answered.
        self._begun = False  # A message has begun and is not complete.
        self._ended = False  # The client sends nothing more.
        self._known = False  # The client has shown an API key.
        self._stops = False  # The server is stopping.
        self._replays = False  # A head is parsed a second time; ignore its callbacks.
        self._last = b""  # The response after which the connection is closed.
        self._refusal = b""  # The response to a request that the parser's callbacks refuse.
        self._reads = 0  # Reads since the last response.
        self._extra = 0  # Bytes of the message outside its body, since the part that began it.
        self._of_body = 0  # Bytes of the body in the latest part.

    @property
    def is_idle(self) -> bool:
        """True if no request is being answered."""
        return self._running is None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start, or close the connection if there is no room for it."""
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
        """Notify running requests that the client has disconnected."""
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
        """Parse the bytes that were read, or keep them until it is their turn."""
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
        """Return True if a response is still to be written to a client that sends nothing more."""
        self._ended = True
        if self._wire.is_closing() or (self._running is not None and self._running.more_body):
            return False
        return self._running is not None or bool(self.pipeline or self._held)

    def pause_writing(self) -> None:
        """Hold back responses until the client has read the written ones."""
        super().pause_writing()
        self._due = self.loop.time() + PATIENCE

    def resume_writing(self) -> None:
        """Continue to write."""
        super().resume_writing()
        if not self._wire.closed:
            self._due = None
            if self._running is None:
                self._wait_for_client()

    # Called by uvicorn's parser and cycles.

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
        if len(self.headers) >= MAX_HEADERS:  # Headers in trailers count too.
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
            return  # httptools expects another protocol now, but what follows is the body.
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
        """Stop with the server, after the current response."""
        self._stops = True
        self._held = b""
        if self._running is None:
            self._close()
        else:
            self._running.keep_alive = False

    # Decisions of this class.

    def _go_on(self) -> None:
        """Start the next response, parse the next request, or wait for one."""
        if self.pipeline and not self._wire.is_closing():
            self._running = self.pipeline[-1][0]
        super().on_response_complete()  # This starts it.
        if self._wire.is_closing():
            return
        if self._running is None and self._last:
            self._send_last()
        elif self._running is None and self._stops:
            self._close()
        else:
            self._parse_held()

    def _parse_held(self) -> None:
        """Parse the input up to the end of one request, and set the deadline of the client's next action."""
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
        except HttpParserUpgrade as upgrade:  # Upgrades are not supported. Answer the request like any other.
            self._held = part[upgrade.args[0] :] + self._held
            if framing := self._framing():
                self._parse_body(framing)
        except HttpParserError:
            self._refuse(self._refusal or malformed_response())
        self._extra = self._extra + len(part) - self._of_body if self.scope is before else 0
        if self._extra > MAX_HEAD:  # Chunk extensions and trailers count too.
            self._refuse(head_too_long_response())

    def _framing(self) -> bytes:
        """Return the headers that define the length of the body."""
        framing = [(name, value) for name, value in self.headers if name in {b"content-length", b"transfer-encoding"}]
        return b"".join(b"%b: %b\r\n" % pair for pair in framing)

    def _parse_body(self, framing: bytes) -> None:
        """Parse the body of a request that offered an upgrade, with a new parser."""
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
        """Send a last response, after the responses to earlier requests."""
        if self._last or self._wire.is_closing():
            return
        self._last, self._held = answer, b""
        cycle = self.cycle
        if self._begun and cycle is not None and cycle.scope is self.scope and not cycle.response_complete:
            # Its head was complete, so the application already has the request. Do not answer it twice.
            if cycle is not self._running:
                self.pipeline.popleft()
            else:
                cycle.disconnected, self._running = True, None
                cycle.message_event.set()
                if cycle.response_started:
                    self._close()
        if self._running is None and not self.pipeline:
            self._send_last()

    def _send_last(self) -> None:
        self._wire.write(self._last)
        self._wire.close()

    def _close(self) -> None:
        """Close the connection when the client has read what is written."""
        self._due = self.loop.time() + PATIENCE
        self._wire.close_now()

    def _linger_or_close(self) -> None:
        """Close the connection. If the client still writes, read on first: a reset would discard the response."""
        if self._stops or self._ended or not (self._begun or self._held or self._last):
            self._close()
            return
        self._due = self.loop.time() + PATIENCE
        self.lingers, self._held, self._reads = True, b"", 0
        self._wire.write_eof()
        self.flow.resume_reading()

    def _wait_for_client(self) -> None:
        """Set the deadline for the rest of a request. Between requests, use the longer keep-alive timeout."""
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
        """Close a connection whose client has missed its deadline."""
        if self._due is None or now < self._due:
            return
        if self.lingers or self._wire.closed or self.flow.write_paused:
            self._wire.abort()
        elif self._begun:
            self._due = None
            self._refuse(too_slow_response())
        else:
            self._close()
