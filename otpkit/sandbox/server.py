"""Put the sandbox on a socket: blocking, or in the background of a test.

Request targets are read as the providers' servers do: bytes beyond ASCII, and blanks, as they stand in the URL. The
documents' own lines for curl and Python write Chinese into the URL, and so do older HTTP clients. h11 refuses such a
request line, so its target is percent-encoded before h11 sees it.
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

_LONGEST_LINE: Final = 65_536  # bytes; h11 takes no longer one
_TO_ENCODE: Final = re.compile(rb"[ \x80-\xff]")


def encoded(line: bytes) -> bytes:
    """Return a request line whose target is ASCII without blanks; one that is no such line comes back as it is."""
    method, _, rest = line.partition(b" ")
    target, blank, version = rest.rpartition(b" ")
    if not blank or not version.startswith(b"HTTP/"):
        return line
    return b"%b %b %b" % (method, _TO_ENCODE.sub(lambda found: b"%%%02X" % found[0][0], target), version)


class LenientConnection(h11.Connection):
    """Holds each request line back until it is whole, and hands it on encoded.

    A request that was sent before the one ahead of it was answered (pipelining) is read as h11 reads it.
    """

    def __init__(self, *, max_incomplete_event_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        self._held = b""

    def receive_data(self, data: bytes) -> None:
        """Take what came in; b"" is the end."""
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
GRACE: Final = 0.5  # s that answers under way have left at the end; those held back are then dropped
# Long, as a pooled connection that went stale would look like a fault that nobody asked for.
KEEP_ALIVE: Final = 75  # s
_MAX_HEAD: Final = 65_536  # bytes of a request line with its headers


@dataclass(frozen=True, slots=True)
class Address:
    """Where a sandbox listens."""

    host: str
    port: int

    @property
    def base_url(self) -> str:
        """The inbox page, without the slash at its end; also what clients of all providers but Alidayu take."""
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
    """Serve until interrupted. `on_ready` is told the address once calls are answered.

    Raises:
        ConfigurationError: the address can't be had.
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
    """Serve from a thread as long as the block runs; port 0 takes a free one.

    Raises:
        ConfigurationError: the address can't be had.
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
                    "Check what keeps this machine busy, and start it again.",
                )
            yield _address(host, listener)
        finally:
            server.should_exit = True
            thread.join(STOP_TIMEOUT)


class _Protocol(H11Protocol):
    """Reads Chinese in a URL, hands each request the transport under it, which faults close, and logs none.

    The line of a log would hold the code.
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
    """Keep what uvicorn says in passing out of the log, where it says it in this thread."""
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
        log_config=None,  # a library leaves logging to its host, which may run uvicorn too: no level, no handler
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(STOP_TIMEOUT / 2),
    )
    return _Server(config, sandbox, on_ready)


def _address(host: str, listener: socket.socket) -> Address:
    return Address(host, listener.getsockname()[1])
