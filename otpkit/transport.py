"""The one module that speaks HTTP: one request on the wire for each `HttpRequest`.

`requests` is imported with the first exchange, so that importing otpkit stays cheap.

What leaves this module is an `HttpResponse` or a `TransportFailure`, which says whether the request may have
been sent. The errors and log records of `requests` and `urllib3` hold the URL, and so the code that is on its
way: neither gets out.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from otpkit.effects import Call, Flow, HttpRequest, HttpResponse, NoAnswer, NotConnected
from otpkit.errors import ConfigurationError

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

    No retry, no redirect, no cookie, no proxy and no setting from the environment; certificates are verified.

    Args:
        connections: how many idle connections to keep for each host; more than these are made as needed.
        ca_file: a file of CA certificates to trust in place of the public ones.
    """

    def __init__(self, *, connections: int = 32, ca_file: str | None = None) -> None:
        self._connections = connections
        self._verify = ca_file or True
        self._opened: tuple[int, HTTPAdapter] | None = None

    def exchange(self, request: HttpRequest, latest: float | None = None) -> HttpResponse:
        """Make one request and return the whole answer, whatever its status.

        The first number of `request.timeout`, in seconds, bounds connecting, for each address of the host,
        the second the whole answer, from the request's first byte to the answer's last. An answer of more
        than 1 MiB, or with status 200 and not in UTF-8, is none. Names of headers are given in lower case.
        After `latest`, by the monotonic clock, no request is begun.

        Raises NotConnected where not a byte of the request was written, and NoAnswer for any later failure.
        """
        exchange = _Exchange(request.timeout[1], latest)
        _current.exchange = exchange
        try:
            return _read(self._send(request), exchange)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the code
            kind = _kind(error)
        finally:
            _current.exchange = None
        # Out here, so that neither cause nor context keeps the original.
        if exchange.written:
            raise NoAnswer(f"the request may have been sent, and no whole answer came: {kind}")
        raise NotConnected(f"no connection was made, nothing was sent: {kind}")

    def close(self) -> None:
        """Close the idle connections. A later exchange makes new ones."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def _send(self, request: HttpRequest) -> requests.Response:
        from requests import PreparedRequest

        # %20 and never + for a blank: every server reads it alike.
        query = urlencode(request.params, quote_via=quote, safe="")
        prepared = PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_headers({**_HEADERS, **request.headers})
        # As it is: prepare_url would take the URL apart and encode it anew, a twentieth of an exchange.
        prepared.url = f"{request.url}?{query}" if query else request.url
        prepared.body = request.body
        prepared.prepare_content_length(request.body)
        # A session would add cookies, redirects, and what the environment says.
        return self._adapter().send(prepared, stream=True, timeout=request.timeout, verify=self._verify)

    def _adapter(self) -> HTTPAdapter:
        # A forked child must not speak on its parent's sockets. There is no lock, which a fork could leave
        # locked for ever: of two adapters made at once, the loser serves one exchange.
        opened, pid = self._opened, os.getpid()
        if opened is None or opened[0] != pid:
            opened = self._opened = (pid, _open_adapter(self._connections))
        return opened[1]


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
        raise ConfigurationError("An async function is awaited by AsyncOTP alone: pass a plain one.")
    return reply


_shared = Transport()


class _Exchange:
    """An exchange under way: whether any of its request was written, and until when its answer may take."""

    __slots__ = ("answer_timeout", "deadline", "latest", "written")

    def __init__(self, answer_timeout: float, latest: float | None = None) -> None:
        self.answer_timeout = answer_timeout  # seconds
        self.latest = latest  # when the request may still begin, by the monotonic clock
        self.deadline = 0.0  # by the monotonic clock
        self.written = False

    def begin_writing(self) -> None:
        if not self.written:
            now = time.monotonic()
            if self.latest is not None and now > self.latest:
                raise TimeoutError
            self.written = True
            self.deadline = now + self.answer_timeout


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

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        if _current.exchange is not None:
            _current.exchange.begin_writing()
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

    for name in _LOGGERS:
        logging.getLogger(f"urllib3.{name}").addFilter(_silence)
    answer = type("Answer", (_Answer, http.client.HTTPResponse), {})
    adapter = HTTPAdapter(max_retries=0, pool_maxsize=connections)
    pools = {}
    for pool in (HTTPConnectionPool, HTTPSConnectionPool):
        connection = type("Connection", (_Connection, pool.ConnectionCls), {"response_class": answer})
        pools[pool.scheme] = type("Pool", (pool,), {"ConnectionCls": connection})
    adapter.poolmanager.pool_classes_by_scheme = pools
    return adapter


def _read(response: requests.Response, exchange: _Exchange) -> HttpResponse:
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
    text = body.decode("utf-8", "strict" if response.status_code == 200 else "replace")
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
