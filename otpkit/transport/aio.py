"""HTTP by aiohttp, on the caller's event loop: the same guarantees as `http`, without a thread for each request.

aiohttp never receives a secret. The query and the headers are added where the request is written, so that neither its
errors nor the hooks of tracers contain them. By itself, aiohttp repeats a request whose kept connection was closed. In
this module, a request uses one connection, and a connection writes only the bytes of its current request.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import selectors
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from otpkit.effects import HttpRequest, HttpResponse
from otpkit.transport.connecting import connect_async
from otpkit.transport.exchange import (
    CHUNK,
    HEADERS,
    Decoding,
    Exchange,
    TooLarge,
    kind_of,
    proxy_headers,
    query_of,
    response_of,
)

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

_LOWEST: Final = (3, 12, 14)
if tuple(map(int, re.findall(r"\d+", aiohttp.__version__)[:3])) < _LOWEST or aiohttp.__version__ >= "4":
    raise ImportError(f"aiohttp {aiohttp.__version__} is not supported.")

_KEPT_S: Final = 15  # Servers keep an idle connection longer, so they seldom close one just as a request starts.
_MAX_LINE: Final = 64 * 1024  # In bytes, the same as for http.client.
_MAX_PROXY_ANSWER: Final = 64 * 1024  # In bytes.
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n\0]*\r\n")

# Keep what a forked child inherited: closing a socket would remove it from the parent's event loop, which is shared.
_of_parent: list[object] = []


class AsyncTransport:
    """An awaited HTTP client by aiohttp, otherwise the same as `Transport`.

    It has separate connections for each event loop, which are closed when the loop ends.

    Args:
        ca_file: a file or folder of CA certificates to trust in place of the public ones.
        decoding: the treatment of a response of status 200 that is not UTF-8: `strict` rejects it, `replace` replaces
            the invalid bytes.
    """

    def __init__(self, *, ca_file: str | None = None, decoding: Decoding = "strict") -> None:
        self._ca_file = ca_file
        self._decoding = decoding
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}

    async def exchange(self, request: HttpRequest, latest: float | None = None) -> HttpResponse:
        """Make one request and return the complete response, whatever its status. If cancelled, close its connection.

        Arguments and errors are those of `Transport.exchange`.
        """
        exchange = _Exchange(request.timeout[1], latest, request.max_response)
        _current.set(exchange)
        try:
            exchange.prepare(request)
            async with asyncio.timeout(None) as exchange.scope:
                return await self._send(exchange, request)
        except Exception as error:  # noqa: BLE001 - Its text may contain the code, whatever it is.
            kind = kind_of(error)
        finally:
            exchange.end()
            _current.set(None)
        # Raise outside the except block, so that neither cause nor context holds the original error.
        raise exchange.failure(request, kind)

    async def close(self) -> None:
        """Close the idle connections of all loops. A later exchange makes new ones."""
        for each in list(self._loops.values()):
            await each.close()

    def after_fork(self) -> None:
        """Replace the lock and the connections inherited from the parent."""
        _of_parent.append(self._loops)
        self._lock, self._loops = threading.Lock(), {}

    async def _send(self, exchange: _Exchange, request: HttpRequest) -> HttpResponse:
        if exchange.is_tls:
            # Loading the certificates takes a while and would block the loop, so use a thread.
            exchange.context = self._context or await asyncio.to_thread(self._open_context)
        connector = await self._connector(exchange.proxy)
        async with aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            cookie_jar=connector.no_cookies,
            timeout=_NO_TIMEOUT,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
        ) as session:
            session._retry_connection = False  # `_Connector.connect` refuses retries. Report the first error instead.
            response = await session.request(
                request.method, exchange.url, headers=exchange.host_header, data=request.body, allow_redirects=False
            )
            try:
                body = bytearray()
                async for data in response.content.iter_any():
                    body += data
            finally:
                response.close()
        if exchange.room < 0:
            raise TooLarge
        headers = _merged(response.raw_headers)
        return response_of(exchange, response.status, headers.items(), _decoded(body, headers), self._decoding)

    async def _connector(self, proxy: str | None) -> _Connector:
        running = asyncio.get_running_loop()
        loop = self._loops.get(running)
        if loop is None:
            for each in [each for each in list(self._loops) if each.is_closed()]:
                if (closed := self._loops.pop(each, None)) is not None:
                    await closed.close()
            loop = self._loops.setdefault(running, _Loop(running))
            await loop.keep()
        found = loop.connectors.get(proxy)
        if found is None:
            found = loop.connectors[proxy] = _Connector(proxy)
        return found

    def _open_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = _open_context(self._ca_file)
            return self._context


class _Exchange(Exchange):
    """An exchange in one loop: its destination, and the connection that it is written to."""

    __slots__ = (
        *("connect_timeout", "context", "has_begun", "host", "host_header", "is_over", "is_tls", "port", "protocol"),
        *("proxy", "room", "scope", "url"),
    )

    def __init__(self, answer_timeout: float, latest: float | None, max_response: int) -> None:
        super().__init__(answer_timeout, latest, max_response)
        self.context: ssl.SSLContext | None = None
        self.has_begun = False
        self.is_over = False
        self.protocol: _Protocol | None = None
        self.proxy: str | None = None
        self.room = max_response
        self.scope: asyncio.Timeout | None = None
        self.host_header: dict[str, str] = {}

    def prepare(self, request: HttpRequest) -> None:
        """Parse the destination of a request. Raises ValueError if the request can't be written."""
        parts = urlsplit(request.url)
        self.connect_timeout = request.timeout[0]
        self.is_tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or _DEFAULT_PORTS[parts.scheme]
        # http:// is only for loopback, which never goes through a proxy.
        self.proxy = request.proxy if self.is_tls else None
        place = f"[{self.host}]" if ":" in self.host else self.host
        # Keep the URL as it is: a gateway's signature covers these bytes.
        self.url = URL(f"{parts.scheme}://{place}:{self.port}{_encoded(parts.path or '/')}", encoded=True)
        self.query = query_of(request)
        headers = {name.lower(): (name, value) for name, value in {**HEADERS, **request.headers}.items()}
        # aiohttp writes this header in any case.
        self.host_header = dict([headers.pop("host")] if "host" in headers else [])
        lines = [f"{name}: {value}\r\n" for name, value in (*headers.values(), *self.host_header.items())]
        if not all(map(_HEADER.fullmatch, lines)):
            raise ValueError
        self.headers = "".join(lines[: len(headers)]).encode("latin-1")

    def begin(self, protocol: _Protocol, data: bytes) -> bytes:
        """Return the bytes to write to a connection in place of `data`. Raise if nothing may be written to it."""
        if self.is_over or self.protocol not in {None, protocol}:
            raise RuntimeError("the request was written already, or its caller has gone")
        if not self.written:
            data = self.write(data)
            self.protocol, protocol.exchange = protocol, self
            if self.scope is not None:
                self.scope.reschedule(asyncio.get_running_loop().time() + self.answer_timeout)
        return data

    def end(self) -> None:
        """Stop all writing, and drop the secrets: an idle connection keeps a reference to its last exchange."""
        self.is_over = True
        self.query = self.headers = b""
        self.protocol = self.scope = None


_current: ContextVar[_Exchange | None] = ContextVar("otpkit_exchange", default=None)


def _running() -> _Exchange:
    exchange = _current.get()
    if exchange is None:
        raise RuntimeError("no exchange is under way")
    return exchange


class _Connector(aiohttp.BaseConnector):
    """The connections of a loop, direct or through one proxy: as many as needed. Idle ones are kept for a while."""

    def __init__(self, proxy: str | None) -> None:
        super().__init__(limit=0, keepalive_timeout=_KEPT_S)
        self.no_cookies = aiohttp.DummyCookieJar()
        self.connected: set[_Protocol] = set()
        self._proxy = proxy

    def __del__(self, _warnings: object = None) -> None:
        """Do not warn: connections are closed with their loop, or by `_Loop.close`."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Any:
        """Return the exchange's first connection; raise on a second one, which would repeat the request."""
        exchange = _running()
        if exchange.has_begun:
            raise RuntimeError("a request is made once")
        exchange.has_begun = True
        return await super().connect(req, traces, timeout)

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> ResponseHandler:
        exchange = _running()
        protocol = _Protocol(self._loop, self.connected)
        try:
            if self._proxy is None:
                await _direct(exchange, protocol)
            else:
                await _tunnel(exchange, self._proxy, protocol)
        except BaseException:  # After a cancellation too: no caller gets it, and uvloop may not report its loss.
            self.connected.discard(protocol)
            protocol.abandon()
            raise
        return protocol


class _Protocol(ResponseHandler):
    """A connection that reads no more than its exchange allows, and no unexpected data."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connected: set[_Protocol]) -> None:
        super().__init__(loop)
        self.exchange: _Exchange | None = None  # The exchange that was last written to it.
        self.wire: _Wire | None = None
        self._connected = connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connected.add(self)
        self.wire = _Wire(self, cast("asyncio.Transport", transport))
        self.transport = cast("asyncio.Transport", self.wire)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connected.discard(self)
        super().connection_lost(exc)

    def is_connected(self) -> bool:
        """Check whether an idle connection is usable. Unread data on it would be mistaken for the response."""
        if self.wire is None or not super().is_connected() or self.should_close:
            return False
        # The kernel may know that the connection has ended before the loop does.
        with _Selector() as selector:
            selector.register(self.wire.get_extra_info("socket"), selectors.EVENT_READ)
            return not selector.select(0)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if data and (exchange is None or exchange.is_over):
            self.abandon()
            return
        if exchange is not None:
            exchange.room -= len(data)
            if exchange.room < 0:
                self.abandon()
                return
        super().data_received(data)

    def abandon(self) -> None:
        """Close the connection at once, even if its loop is closed."""
        if self.wire is not None:
            self.wire.close()


class _Wire:
    """The transport that aiohttp sees. It writes for one exchange at a time, and closes at once."""

    def __init__(self, protocol: _Protocol, transport: asyncio.Transport) -> None:
        self._protocol = protocol
        self._transport = transport

    def write(self, data: Any) -> None:
        self._transport.write(_running().begin(self._protocol, bytes(data)))

    def writelines(self, parts: Iterable[Any]) -> None:
        self.write(b"".join(parts))

    def close(self) -> None:
        with suppress(RuntimeError):  # asyncio can't abort without the loop; the socket is closed below.
            self._transport.abort()
            return
        transport: Any = self._transport
        while (tls := getattr(transport, "_ssl_protocol", None)) is not None:
            transport = tls._transport
        if (opened := getattr(transport, "_sock", None)) is not None:
            opened.close()
            transport._sock = None

    abort = close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Loop:
    """The connections of a transport in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.connectors: dict[str | None, _Connector] = {}
        self._keeper: AsyncGenerator[None, None] | None = None

    async def keep(self) -> None:
        """Arrange that the connections close with the loop: `asyncio.run` first ends all async generators."""
        if self._keeper is None:
            self._keeper = _keeper(self)
            await anext(self._keeper)

    async def close(self) -> None:
        """Close the connections in their own loop. A loop that is not running closes them when it ends."""
        if self.loop is not asyncio.get_running_loop() and not self.loop.is_closed():
            if self.loop.is_running():
                asyncio.run_coroutine_threadsafe(self.close(), self.loop)
            return
        connectors, self.connectors = self.connectors, {}
        for each in connectors.values():
            for protocol in list(each.connected):
                protocol.abandon()
            await each.close()
        await asyncio.sleep(0)  # A closed transport finishes in the loop's next iteration, which may be the last one.


async def _keeper(loop: _Loop) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await loop.close()


class _ProxyAnswer(asyncio.Protocol):
    """A proxy's response to CONNECT: its status, or 0 if it is not a valid response."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._head = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        head, end, _ = self._head.partition(b"\r\n\r\n")
        if self.status.done():
            return
        if end:
            found = re.match(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r\n|$)", head)
            self._transport.pause_reading()  # The following bytes are for TLS.
            self.status.set_result(int(found[1]) if found else 0)
        elif len(head) > _MAX_PROXY_ANSWER:
            self.status.set_result(0)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_result(0)


async def _direct(exchange: _Exchange, protocol: _Protocol) -> None:
    """Connect to the destination of the request."""
    connected = await connect_async(exchange.host, exchange.port, exchange.connect_timeout)
    async with asyncio.timeout(exchange.connect_timeout):
        await _started(lambda: protocol, connected, exchange.context, exchange.host)


async def _tunnel(exchange: _Exchange, proxy: str, protocol: _Protocol) -> None:
    """Connect through a proxy, by CONNECT. It contains nothing of the request."""
    parts = urlsplit(proxy)
    host = parts.hostname or ""
    connected = await connect_async(host, parts.port or _DEFAULT_PORTS[parts.scheme], exchange.connect_timeout)
    context: Any = exchange.context
    async with asyncio.timeout(exchange.connect_timeout):
        transport, answer = await _started(_ProxyAnswer, connected, context if parts.scheme == "https" else None, host)
        try:
            place = f"[{exchange.host}]" if ":" in exchange.host else exchange.host
            place = f"{place}:{exchange.port}"
            headers = {"Host": place} | proxy_headers(proxy)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            transport.write(f"CONNECT {place} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            status = await answer.status
            if status != 200:
                raise ConnectionRefusedError if status else ConnectionResetError
            name = exchange.host.rstrip(".")
            wrapped = await asyncio.get_running_loop().start_tls(transport, protocol, context, server_hostname=name)
            if wrapped is None:
                raise ConnectionResetError
            protocol.connection_made(wrapped)
        except BaseException:  # After a cancellation too, because no caller gets the connection.
            transport.abort()
            raise


async def _started(factory: Any, connected: socket.socket, context: ssl.SSLContext | None, host: str) -> Any:
    """Return the transport and the protocol of a socket, after the TLS handshake if there is a context."""
    name = None if context is None else host.rstrip(".")
    loop = asyncio.get_running_loop()
    return await loop.create_connection(factory, sock=connected, ssl=context, server_hostname=name)


def _open_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that verifies like `requests`: the same certificates, the same rules."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH, extract_zipped_paths
    from urllib3.util.ssl_ import create_urllib3_context

    context: ssl.SSLContext = create_urllib3_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    context.set_alpn_protocols(["http/1.1"])
    place: str = ca_file or extract_zipped_paths(DEFAULT_CA_BUNDLE_PATH)  # type: ignore[no-untyped-call]
    if os.path.isdir(place):
        context.load_verify_locations(capath=place)
    else:
        context.load_verify_locations(cafile=place)
    return context


def _encoded(path: str) -> str:
    """Return a path in the encoding of urllib3."""
    upper, escapes = re.subn("%[0-9A-Fa-f]{2}", lambda found: found[0].upper(), path)
    return quote(upper, safe="/:@!$&'()*+,;=~" + ("%" if escapes == path.count("%") else ""))


def _merged(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of a response as http.client parses them."""
    merged: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return merged


def _decoded(body: bytearray, headers: Mapping[str, str]) -> Iterable[bytes]:
    """Return the body in parts, decoded as by `requests`."""
    if "content-encoding" not in headers:
        return [bytes(body)]
    from urllib3 import HTTPResponse as Decoder

    encoding = {"content-encoding": headers["content-encoding"]}
    return Decoder(io.BytesIO(body), encoding, preload_content=False).stream(CHUNK, decode_content=True)
