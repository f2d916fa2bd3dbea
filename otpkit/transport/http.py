"""HTTP by `requests`: one request on the wire for each `HttpRequest`.

`requests` is imported with the first exchange, so that importing otpkit stays fast. The errors and log records of
`requests` and `urllib3` contain the URL, and so the code in it. Neither is passed on.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from otpkit.effects import MAX_RESPONSE, Call, Flow, HttpRequest, HttpResponse
from otpkit.errors import ConfigurationError
from otpkit.frames import without_locals
from otpkit.transport.connecting import connect
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
    without_user,
)

if TYPE_CHECKING:
    import requests
    from requests.adapters import HTTPAdapter

T = TypeVar("T")

_LOGGERS = ("connection", "connectionpool", "poolmanager", "response", "util.retry")


class Transport:
    """An HTTP client with kept-alive connections. It is safe to share between threads, and across a fork.

    It makes no retries, follows no redirects, keeps no cookies, reads no settings from the environment, and uses no
    proxy but the request's own. It verifies certificates.

    Args:
        connections: the number of idle connections to keep for each host. More are made as needed.
        ca_file: a file or folder of CA certificates to trust in place of the public ones.
        decoding: the treatment of a response of status 200 that is not UTF-8: `strict` rejects it, `replace` replaces
            the invalid bytes.
    """

    def __init__(
        self,
        *,
        connections: int = 32,
        ca_file: str | None = None,
        decoding: Decoding = "strict",
    ) -> None:
        self._connections = connections
        self._verify = ca_file or True
        self._decoding = decoding
        self._opened: tuple[int, HTTPAdapter] | None = None

    def exchange(self, request: HttpRequest, latest: float | None = None) -> HttpResponse:
        """Make one request and return the complete response, whatever its status.

        A response larger than `request.max_response` is a failure. So is one of status 200 that is not UTF-8, if
        `decoding` is strict.

        Args:
            request: the request. The first number of its `timeout` is the seconds for the look-up of the host's name,
                then for connecting to each address, then for a proxy's part. The second is the seconds for the whole
                response, from the request's first byte to the response's last.
            latest: the time after which no request is started, by the monotonic clock; None is no bound.

        Returns:
            The response, with header names in lower case.

        Raises:
            NotConnected: not a byte of the request was written.
            NoAnswer: any later failure.
        """
        exchange = _Exchange(request.timeout[1], latest, request.max_response)
        _current.exchange = exchange
        try:
            exchange.query = query_of(request)
            return _read(self._send(request), exchange, self._decoding)
        except Exception as error:  # noqa: BLE001 - Its text may contain the code, whatever it is.
            kind = kind_of(error)
        finally:
            _current.exchange = None
        # Raise outside the except block, so that neither cause nor context holds the original error.
        raise exchange.failure(request, kind)

    def close(self) -> None:
        """Close the idle connections. A later exchange makes new ones."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def _send(self, request: HttpRequest) -> requests.Response:
        from requests import PreparedRequest

        prepared = PreparedRequest()
        prepared.prepare_method(request.method)
        prepared.prepare_headers({**HEADERS, **request.headers})
        # Set the URL as it is: prepare_url would parse and encode it again, which takes a twentieth of an exchange.
        prepared.url = request.url.partition("?")[0]
        prepared.body = request.body
        prepared.prepare_content_length(request.body)
        # Do not use a session, which would add cookies, redirects and settings from the environment.
        # http:// is only for loopback, which never goes through a proxy.
        proxies = None if request.proxy is None else {"https": request.proxy}
        return self._adapter().send(
            prepared, stream=True, timeout=request.timeout, verify=self._verify, proxies=proxies
        )

    def _adapter(self) -> HTTPAdapter:
        # A forked child must not write to its parent's sockets. There is no lock, because a fork could leave it locked
        # for ever. If two adapters are made at once, one of them serves a single exchange.
        opened, pid = self._opened, os.getpid()
        if opened is None or opened[0] != pid:
            opened = self._opened = (pid, _open_adapter(self._connections))
        return opened[1]


@without_locals
def drive(flow: Flow[T], transport: Transport | None = None) -> T:
    """Perform a gateway's flow in this thread, and return its result.

    Args:
        flow: the gateway's flow.
        transport: the transport for its requests; None uses one that all such calls of the process share.

    Returns:
        The flow's result.

    Raises:
        TypeError: the flow yields other effects than HTTP requests and calls.
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
            except Exception as error:  # noqa: BLE001 - The flow decides what it means.
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
        raise ConfigurationError("Only AsyncOTP can await an async function.", "Pass a plain function.")
    return reply


_shared = Transport()


class _Exchange(Exchange):
    __slots__ = ("tunnelling",)

    def __init__(self, answer_timeout: float, latest: float | None = None, max_response: int = MAX_RESPONSE) -> None:
        super().__init__(answer_timeout, latest, max_response)
        self.tunnelling = False  # True while the written bytes are for the proxy.

    def write(self, data: Any) -> Any:
        return data if self.tunnelling else super().write(data)


class _Current(threading.local):
    exchange: _Exchange | None = None


_current = _Current()


class _Connection:
    """A mixin for urllib3's connections, which notes when the request is first written.

    Only this distinguishes "not sent" from "perhaps sent" for certain. The classes of errors do not.
    """

    # If it were set on http.client's own class, all requests would be printed, with their secrets.
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

            # urllib3 would report a bare TimeoutError as a read timeout.
            raise ConnectTimeoutError(self, "") from error

    def _tunnel(self) -> None:
        """Open a tunnel to the host by CONNECT. It contains nothing of the request."""
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
    """A mixin for http.client's response, which limits its size and time to those of the exchange."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        self._bounded = _BoundedSocket(sock)
        super().__init__(self._bounded, *args, **kwargs)  # type: ignore[call-arg]

    def begin(self) -> None:
        super().begin()  # type: ignore[misc]
        self._bounded.is_head_read = True


class _BoundedSocket:
    """The parts of a socket that a response needs."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.is_head_read = False

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self, self._sock, _current.exchange or _Exchange(0)))


class _BoundedReader(io.RawIOBase):
    def __init__(self, bounded: _BoundedSocket, sock: Any, exchange: _Exchange) -> None:
        self._bounded = bounded
        self._sock = sock
        self._file: io.RawIOBase = sock.makefile("rb", buffering=0)
        self._exchange = exchange
        self._room = exchange.max_response

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._exchange.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        # The socket's own timeout would restart with every byte that arrives.
        self._sock.settimeout(left)
        count: int | None = self._file.readinto(buffer)
        self._room -= count or 0
        if self._room < 0:
            raise TooLarge
        if count == 0 and not self._bounded.is_head_read:
            raise ConnectionResetError  # http.client would accept half a header as complete.
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _Silence(logging.Filter):
    """A filter that drops urllib3's log records about our exchanges, in any thread."""

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
                    without_user(proxy), proxy_headers=proxy_headers(proxy), maxsize=connections, **kwargs
                )
                manager.pool_classes_by_scheme = pools
                self.proxy_manager.setdefault(proxy, manager)  # Add it when complete: other threads use it at once.
            return self.proxy_manager[proxy]

    adapter = Adapter(max_retries=0, pool_maxsize=connections)
    adapter.poolmanager.pool_classes_by_scheme = pools
    return adapter


def _read(response: requests.Response, exchange: Exchange, decoding: Decoding) -> HttpResponse:
    response.raw.enforce_content_length = True  # urllib3 1.26 would accept half a body as complete.
    try:
        chunks = response.iter_content(CHUNK)
        return response_of(exchange, response.status_code, response.headers.items(), chunks, decoding)
    finally:
        response.close()
