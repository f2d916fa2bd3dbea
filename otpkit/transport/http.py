"""The one module that speaks HTTP: one request on the wire for each `HttpRequest`.

`requests` is imported with the first exchange, so that importing otpkit stays cheap.

What leaves this module is an `HttpResponse` or a `TransportFailure`, which says whether the request may have
been sent. The errors and log records of `requests` and `urllib3` hold the URL, and so the code that is on its
way: neither gets out.
"""

from __future__ import annotations

import base64
import inspect
import io
import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

from otpkit.effects import Call, Flow, HttpRequest, HttpResponse, NoAnswer, NotConnected
from otpkit.errors import ConfigurationError
from otpkit.frames import without_locals
from otpkit.transport.connecting import connect

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

T = TypeVar("T")

MAX_ANSWER = 1024 * 1024  # bytes, on the wire with its header, and again as decoded
_CHUNK = 64 * 1024  # bytes
_HEADERS = {"User-Agent": "otpkit", "Accept-Encoding": "identity"}
_LOGGERS = ("connection", "connectionpool", "poolmanager", "response", "util.retry")


class Transport:
    """Makes HTTP requests over kept-alive connections; safe to share between threads, and across a fork.

    No retry, no redirect, no cookie, no setting from the environment, and no proxy but the request's own; certificates
    are verified.

    Args:
        connections: how many idle connections to keep for each host; more than these are made as needed.
        ca_file: a file or folder of CA certificates to trust in place of the public ones.
        decoding: what to do with an answer of status 200 that is not UTF-8: `strict` takes it for none, `replace`
            replaces what can't be read.
    """

    def __init__(
        self,
        *,
        connections: int = 32,
        ca_file: str | None = None,
        decoding: Literal["strict", "replace"] = "strict",
    ) -> None:
        self._connections = connections
        self._verify = ca_file or True
        self._decoding = decoding
        self._opened: tuple[int, HTTPAdapter] | None = None

    def exchange(self, request: HttpRequest, latest: float | None = None) -> HttpResponse:
        """Make one request and return the whole answer, whatever its status.

        The first number of `request.timeout`, in seconds, bounds the look-up of the host's name, then connecting,
        for each of its addresses, and then a proxy's part; the second the whole answer, from the request's first
        byte to the answer's last. An answer of more than 1 MiB, or with status 200 and not in UTF-8, is none. Names
        of headers are given in lower case. After `latest`, by the monotonic clock, no request is begun.

        Raises NotConnected where not a byte of the request was written, and NoAnswer for any later failure.
        """
        exchange = _Exchange(request.timeout[1], latest)
        _current.exchange = exchange
        try:
            exchange.query = _query_of(request)
            return _read(self._send(request), exchange, self._decoding)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the code
            kind = _kind(error)
        finally:
            _current.exchange = None
        # Out here, so that neither cause nor context keeps the original.
        if exchange.written:
            raise NoAnswer(f"the request may have been sent, and no whole answer came: {kind}")
        place = urlsplit(request.proxy or request.url).netloc.rpartition("@")[2]
        raise NotConnected(f"no connection to {place} was made, nothing was sent: {kind}")

    def close(self) -> None:
        """Close the idle connections. A later exchange makes new ones."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def _send(self, request: HttpRequest) -> requests.Response:
        from requests import PreparedRequest

        prepared = PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_headers({**_HEADERS, **request.headers})
        # As it is: prepare_url would take the URL apart and encode it anew, a twentieth of an exchange.
        prepared.url = request.url.partition("?")[0]
        prepared.body = request.body
        prepared.prepare_content_length(request.body)
        # A session would add cookies, redirects, and what the environment says.
        # http:// is for loopback, which no proxy leads to.
        proxies = None if request.proxy is None else {"https": request.proxy}
        return self._adapter().send(
            prepared, stream=True, timeout=request.timeout, verify=self._verify, proxies=proxies
        )

    def _adapter(self) -> HTTPAdapter:
        # A forked child must not speak on its parent's sockets. There is no lock, which a fork could leave
        # locked for ever: of two adapters made at once, the loser serves one exchange.
        opened, pid = self._opened, os.getpid()
        if opened is None or opened[0] != pid:
            opened = self._opened = (pid, _open_adapter(self._connections))
        return opened[1]


@without_locals
def drive(flow: Flow[T], transport: Transport | None = None) -> T:
    """Perform a gateway's flow here and now, and return what it returns.

    Without `transport` it goes over connections that all such calls of the process share.
    """
    transport = transport or _shared
    reply: Any = None
    failure: Exception | None = None
    try:
        while True:
            effect = flow.send(reply) if failure is None else flow.throw(failure)
            if not isinstance(effect, HttpRequest | Call):
                raise TypeError(f"drive() makes HTTP requests and calls only, not {type(effect).__name__}")
            reply = failure = None
            try:
                reply = _called(effect) if isinstance(effect, Call) else transport.exchange(effect)
            except Exception as error:  # noqa: BLE001 - the flow's to judge
                failure = error
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        flow.close()


def _called(effect: Call) -> Any:
    reply = effect.function(effect.argument)
    if inspect.iscoroutine(reply):
        reply.close()
        raise ConfigurationError("An async function is awaited by AsyncOTP alone.", "Pass a plain one.")
    return reply


_shared = Transport()


class _Exchange:
    """An exchange under way: whether any of its request was written, and until when its answer may take.

    The query, in which a gateway may want the code and the number, is added as the request is written: error reporters
    and tracers record each URL that urllib3 and http.client are given.
    """

    __slots__ = ("answer_timeout", "deadline", "latest", "query", "tunnelling", "written")

    def __init__(self, answer_timeout: float, latest: float | None = None) -> None:
        self.query = b""
        self.answer_timeout = answer_timeout  # seconds
        self.latest = latest  # when the request may still begin, by the monotonic clock
        self.deadline = 0.0  # by the monotonic clock
        self.written = False
        self.tunnelling = False  # what is written now is for the proxy

    def write(self, data: Any) -> Any:
        """Return what is written in place of `data`; of a request, its first line is the first of it."""
        if self.written or self.tunnelling:
            return data
        now = time.monotonic()
        if self.latest is not None and now > self.latest:
            raise TimeoutError
        self.written = True
        self.deadline = now + self.answer_timeout
        if not self.query:
            return data
        target, end, rest = data.partition(b" HTTP/1.1\r\n")
        return target + b"?" + self.query + end + rest


class _Current(threading.local):
    exchange: _Exchange | None = None


_current = _Current()


class _Connection:
    """Mixed into urllib3's connections: it notes when a request begins to be written.

    That alone tells "not sent" from "perhaps sent" for certain; the classes of errors don't.
    """

    # Whoever sets it on http.client's own class has all requests printed, secrets included.
    debuglevel = 0
    sock: Any
    host: str
    port: int
    timeout: float
    socket_options: Any
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        sys.audit("http.client.connect", self, self.host, self.port)
        try:
            return connect(self._dns_host, self.port, self.timeout, self.socket_options or ())
        except TimeoutError as error:
            from urllib3.exceptions import ConnectTimeoutError

            # A bare one would be called a timeout of reading.
            raise ConnectTimeoutError(self, "") from error

    def _tunnel(self) -> None:
        """Ask the proxy for a way to the host, by CONNECT: nothing of the request is in it."""
        exchange = _current.exchange or _Exchange(0)
        exchange.tunnelling, exchange.deadline = True, time.monotonic() + self.timeout
        try:
            super()._tunnel()  # type: ignore[misc]
        finally:
            exchange.tunnelling = False
        self.sock.settimeout(self.timeout)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        if _current.exchange is not None:
            data = _current.exchange.write(data)
        super().send(data)  # type: ignore[misc]


class _Answer:
    """Mixed into http.client's response: reads no more, and no longer, than the exchange allows."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(_BoundedSocket(sock), *args, **kwargs)  # type: ignore[call-arg]


class _BoundedSocket:
    """All of a socket that a response needs."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock, _current.exchange or _Exchange(0)))


class _BoundedReader(io.RawIOBase):
    def __init__(self, sock: Any, exchange: _Exchange) -> None:
        self._sock = sock
        self._file: io.RawIOBase = sock.makefile("rb", buffering=0)
        self._exchange = exchange
        self._room = MAX_ANSWER  # bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._exchange.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        # The socket's own timeout starts anew with every byte that drips in.
        self._sock.settimeout(left)
        count: int | None = self._file.readinto(buffer)
        self._room -= count or 0
        if self._room < 0:
            raise _TooLarge
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _TooLarge(OSError):
    """The answer is larger than any that a gateway gives."""


class _Silence(logging.Filter):
    """Drops what urllib3 logs of our exchanges, in whatever thread they run, and lets all else pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _current.exchange is None


_silence = _Silence()


def _open_adapter(connections: int) -> HTTPAdapter:
    import http.client

    from requests.adapters import HTTPAdapter
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.poolmanager import proxy_from_url

    for name in _LOGGERS:
        logging.getLogger(f"urllib3.{name}").addFilter(_silence)
    answer = type("Answer", (_Answer, http.client.HTTPResponse), {})
    pools = {}
    for pool in (HTTPConnectionPool, HTTPSConnectionPool):
        connection = type("Connection", (_Connection, pool.ConnectionCls), {"response_class": answer})
        pools[pool.scheme] = type("Pool", (pool,), {"ConnectionCls": connection})

    class Adapter(HTTPAdapter):
        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            if proxy not in self.proxy_manager:
                manager = proxy_from_url(
                    _without_user(proxy), proxy_headers=_proxy_headers(proxy), maxsize=connections, **kwargs
                )
                manager.pool_classes_by_scheme = pools
                self.proxy_manager.setdefault(proxy, manager)  # whole, for other threads
            return self.proxy_manager[proxy]

    adapter = Adapter(max_retries=0, pool_maxsize=connections)
    adapter.poolmanager.pool_classes_by_scheme = pools
    return adapter


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}


def _without_user(proxy: str) -> str:
    parts = urlsplit(proxy)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _query_of(request: HttpRequest) -> bytes:
    # %20 and never + for a blank: every server reads it alike.
    query = urlencode(request.params, quote_via=quote, safe="")
    return "&".join(filter(None, (request.url.partition("?")[2], query))).encode()


def _read(response: requests.Response, exchange: _Exchange, decoding: str) -> HttpResponse:
    response.raw.enforce_content_length = True  # urllib3 1.26 takes half a body for a whole one
    try:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise _TooLarge
            if time.monotonic() > exchange.deadline:
                raise TimeoutError
    finally:
        response.close()
    # An error's page may be in any encoding: its status says enough.
    text = body.decode("utf-8", decoding if response.status_code == 200 else "replace")
    headers = _Headers((name.lower(), value) for name, value in response.headers.items())
    return HttpResponse(response.status_code, headers, text)


class _Headers(dict[str, str]):
    """An answer's headers. Their repr shows no values: a gateway's words on a refusal may hold the number."""

    def __repr__(self) -> str:
        return f"<headers: {', '.join(self)}>"


def _kind(error: BaseException) -> str:
    """Return the class of `error`, and that of what it began with: names of classes hold no URL."""
    first = error
    for _ in range(16):
        before = first.__cause__ or first.__context__
        if before is None:
            break
        first = before
    names = (type(error).__name__, type(first).__name__)
    return names[0] if names[0] == names[1] else f"{names[0]} ({names[1]})"
