"""Serve the sandbox on a socket: blocking, or in the background of a test.

Request targets may contain blanks and non-ASCII bytes, as on the providers' servers: the curl and Python examples in
the providers' documents put Chinese into the URL, and so do older HTTP clients. h11 refuses such a request line, so its
target is percent-encoded before h11 parses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import h11
import uvicorn
from starlette.routing import BaseRoute
from uvicorn.protocols.http.h11_impl import H11Protocol

from otpkit.errors import ConfigurationError
from otpkit.listening import listen
from otpkit.sandbox.app import TRANSPORT, create_app
from otpkit.sandbox.callbacks import pushing
from otpkit.sandbox.state import Sandbox

_LONGEST_LINE: Final = 65_536  # bytes; h11 accepts no longer line
_TO_ENCODE: Final = re.compile(rb"[ \x80-\xff]")


def encoded(line: bytes) -> bytes:
    """Return the request line with blanks and non-ASCII bytes in its target encoded. Return any other line as it is."""
    method, _, rest = line.partition(b" ")
    target, blank, version = rest.rpartition(b" ")
    if not blank or not version.startswith(b"HTTP/"):
        return line
    return b"%b %b %b" % (method, _TO_ENCODE.sub(lambda found: b"%%%02X" % found[0][0], target), version)


class LenientConnection(h11.Connection):
    """An h11 connection that buffers each request line until it is complete, and passes it on encoded.

    A pipelined request (sent before the previous one was answered) is parsed as h11 parses it.
    """

    def __init__(self, *, max_incomplete_event_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        self._held = b""

    def receive_data(self, data: bytes) -> None:
        """Receive bytes from the client; b"" is the end."""
        if self.their_state is not h11.IDLE or self.trailing_data[0]:
            super().receive_data(data)
            return
        self._held += data
        line, end, rest = self._held.partition(b"\n")
        if end or not data or len(line) > _LONGEST_LINE or line[:1] < b"!":
            taken, self._held = encoded(line) + end + rest, b""
            if taken:
                super().receive_data(taken)
            if not data:
                super().receive_data(data)


START_TIMEOUT: Final = 10.0  # s
STOP_TIMEOUT: Final = 5.0  # s
# Responses in progress have this long to finish when the server stops. Those still held back are dropped.
GRACE: Final = 0.5  # s
# Long: a pooled connection that goes stale would look like a fault that no test queued.
KEEP_ALIVE: Final = 75  # s
_MAX_HEAD: Final = 65_536  # bytes of a request line with its headers


@dataclass(frozen=True, slots=True)
class Address:
    """The address on which a sandbox listens."""

    host: str
    port: int

    @property
    def base_url(self) -> str:
        """The URL of the inbox page, without a trailing slash. It is the base URL of all clients except Alidayu's."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def gateway_url(self) -> str:
        """The base URL of an Alidayu client."""
        return f"{self.base_url}/gw/alidayu"


def serve(
    sandbox: Sandbox,
    host: str = "127.0.0.1",
    port: int = 8025,
    *,
    extra_routes: Sequence[BaseRoute] = (),
    allowed_hosts: Collection[str] = (),
    on_ready: Callable[[Address], object] | None = None,
) -> None:
    """Serve until interrupted.

    Args:
        sandbox: the state to serve.
        host: the name or IP address to listen on.
        port: the TCP port.
        extra_routes: routes to add after the sandbox's own.
        allowed_hosts: more names for the inbox and `/api`; see `create_app`.
        on_ready: called with the address when the server accepts requests.

    Raises:
        ConfigurationError: the server can't listen on the address.
    """
    with listen(host, port) as listener:
        address = _address(host, listener)
        server = _server(sandbox, extra_routes, allowed_hosts, lambda: on_ready(address) if on_ready else None)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


@contextlib.contextmanager
def running(
    sandbox: Sandbox,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    extra_routes: Sequence[BaseRoute] = (),
    allowed_hosts: Collection[str] = (),
) -> Iterator[Address]:
    """Serve from a thread while the block runs.

    Args:
        sandbox: the state to serve.
        port: the TCP port; 0 picks a free one.
        host: the name or IP address to listen on.
        extra_routes: routes to add after the sandbox's own.
        allowed_hosts: more names for the inbox and `/api`; see `create_app`.

    Yields:
        The address of the sandbox.

    Raises:
        ConfigurationError: the server can't listen on the address, or does not start within 10 s.
    """
    ready = threading.Event()
    with listen(host, port) as listener:
        server = _server(sandbox, extra_routes, allowed_hosts, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="otpkit-sandbox", daemon=True)
        thread.start()
        try:
            if not ready.wait(START_TIMEOUT):
                raise ConfigurationError(
                    f"The sandbox's server did not start within {START_TIMEOUT:.0f} s.",
                    "Check the load of this machine, then start it again.",
                )
            yield _address(host, listener)
        finally:
            server.should_exit = True
            thread.join(STOP_TIMEOUT)


class _Protocol(H11Protocol):
    """An HTTP protocol that accepts Chinese in URLs and passes its transport to each request, for faults that close it.

    It writes no access log, because the URLs contain codes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
        size = self.config.h11_max_incomplete_event_size
        self.conn = LenientConnection(max_incomplete_event_size=size or _MAX_HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(GRACE, self.transport.abort)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, sandbox: Sandbox, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._sandbox = sandbox
        self._on_ready = on_ready

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with _quietly(), pushing(self._sandbox):
            super().run(sockets=sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Drop uvicorn's log records below WARNING, if they come from this thread."""
    here, logger = threading.get_ident(), logging.getLogger("uvicorn.error")

    def matters(record: logging.LogRecord) -> bool:
        return record.thread != here or record.levelno >= logging.WARNING

    logger.addFilter(matters)
    try:
        yield
    finally:
        logger.removeFilter(matters)


def _server(
    sandbox: Sandbox,
    extra_routes: Sequence[BaseRoute],
    allowed_hosts: Collection[str],
    on_ready: Callable[[], object],
) -> _Server:
    app = create_app(sandbox, extra_routes=extra_routes, allowed_hosts=allowed_hosts)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,  # The host application configures logging, and may run uvicorn too.
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(STOP_TIMEOUT / 2),
    )
    return _Server(config, sandbox, on_ready)


def _address(host: str, listener: socket.socket) -> Address:
    return Address(host, listener.getsockname()[1])
