"""Put the sandbox on a socket: blocking, or in the background of a test."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otpkit.errors import ConfigurationError
from otpkit.listening import listen
from otpkit.sandbox._web import BaseRoute, H11Protocol, uvicorn
from otpkit.sandbox.app import create_app
from otpkit.sandbox.callbacks import push_receipts
from otpkit.sandbox.state import Sandbox
from otpkit.sandbox.targets import LenientConnection
from otpkit.sandbox.wire import TRANSPORT

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
        """What an Alidayu client takes as its base URL."""
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
                raise ConfigurationError(f"The sandbox's server did not start within {START_TIMEOUT:.0f} s.")
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
        self._pushing: asyncio.Task[None] | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with _quietly():
            super().run(sockets=sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._pushing = asyncio.create_task(push_receipts(self._sandbox))
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._pushing is not None:
            self._pushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pushing
        await super().shutdown(sockets=sockets)


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
