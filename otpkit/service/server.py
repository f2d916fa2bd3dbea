"""Run the service on a socket until it is stopped. Requests in progress are then finished."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import re
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from otpkit.core import hangups
from otpkit.errors import ConfigurationError
from otpkit.service.admission import MAX_CONNECTIONS, Admission
from otpkit.service.connections import Connection
from otpkit.service.logs import configure_log

_log = logging.getLogger("otpkit.service")

# Seconds for requests in progress when the server stops. Two calls of a gateway take up to 26 s: send and query.
# Kubernetes kills a pod after 30 s.
GRACE: Final = 27
# Longer than the keep-alive of proxies in front (nginx: 60 s). If this side closes first, a request may be lost.
KEEP_ALIVE: Final = 75  # s
# The oldest and the newest version of uvicorn that the tests were run with. This module and `connections` use its
# internals: `Server.startup`, `on_tick`, `shutdown`, `capture_signals`, and `HttpToolsProtocol` with its cycles.
TESTED_UVICORN: Final = ((0, 30), (0, 54))
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_OWN_FILES: Final = 256  # descriptors for other uses than client connections: Redis, gateways, logs


def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    on_ready: Callable[[], object],
    on_stop: Callable[[], Awaitable[object]],
    on_hangup: Callable[[], object] | None = None,
    on_second: Callable[[], object] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    No part of a request is logged. Internal errors are logged by their position.

    Args:
        app: the ASGI application.
        listener: a listening socket.
        on_ready: called in the server's event loop when it accepts requests.
        on_stop: awaited in the server's event loop after the last request.
        on_hangup: called in the server's event loop after a SIGHUP, also one that came before the server was ready.
            With None, SIGHUP is ignored.
        on_second: called in the server's event loop about once a second.

    Raises:
        ConfigurationError: uvicorn is too old.
    """
    configure_log()
    # uvicorn warns about every malformed request, so clients could fill the disk with log records.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    check_uvicorn(uvicorn.__version__)
    # Exclude existing objects from garbage collection: a full collection would delay every client by 40 ms.
    gc.collect()
    gc.freeze()
    Server(app, on_ready, on_stop, on_hangup=on_hangup, on_second=on_second).run(sockets=[listener])


def check_uvicorn(version: str) -> None:
    """Log a warning if a version of uvicorn is newer than the tested ones.

    Raises:
        ConfigurationError: it is too old.
    """
    oldest, newest = TESTED_UVICORN
    tested = f"{_dotted(oldest)} to {_dotted(newest)}"
    match = re.match(r"(\d+)\.(\d+)", version)
    found = (int(match[1]), int(match[2])) if match else newest
    if found < oldest:
        raise ConfigurationError(
            f"uvicorn {version} is too old: otpkit serve works with {tested}.", "Run: pip install -U 'otpkit[service]'."
        )
    if found > newest:
        _log.warning("uvicorn %s is newer than the versions that otpkit serve was tested with (%s).", version, tested)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


class Server(uvicorn.Server):
    """The server of one application. Outside the main thread, it does not handle signals."""

    def __init__(
        self,
        app: ASGIApp,
        on_ready: Callable[[], object],
        on_stop: Callable[[], Awaitable[object]],
        *,
        on_hangup: Callable[[], object] | None = None,
        on_second: Callable[[], object] | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=partial(Connection, Admission(_max_connections())),  # type: ignore[arg-type]  # called like the class that uvicorn expects
            loop="auto",  # uvloop if it is installed
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # Its lines have the path of a request, which may hold a secret. See `request_log`.
            server_header=False,
            proxy_headers=False,  # `forwarded_hops` decides which addresses to trust
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop
        self._on_hangup = on_hangup
        self._on_second = on_second

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then call `on_ready`."""
        await super().startup(sockets=sockets)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Close connections whose clients missed their deadline, and reload. uvicorn calls it ten times a second."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                connection.check(now)  # type: ignore[union-attr]  # always an `Http`
            if self._on_second is not None:
                self._on_second()
        if self._on_hangup is not None and hangups.take() and not self.should_exit:
            self._on_hangup()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in progress."""
        await super().shutdown(sockets=sockets)
        await self._on_stop()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that end the service. uvicorn would raise them again, which changes the exit status."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # A SIGHUP that came before is kept for `on_tick`.
        handlers = dict.fromkeys(_ENDING, self.handle_exit) | hangups.handlers()
        before = {each: signal.signal(each, handler) for each, handler in handlers.items()}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _max_connections() -> int:
    """Return the limit of client connections. First raise the limit of open files, if the host allows it."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(soft // 2, soft - _OWN_FILES)
    return MAX_CONNECTIONS
