"""Put the service on a socket, until it is told to stop; requests under way are then finished."""

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

from otpkit.errors import ConfigurationError
from otpkit.service.admission import MAX_CONNECTIONS, Admission
from otpkit.service.connections import Connection

_log = logging.getLogger("otpkit.service")

# s that requests under way have left at the end: a gateway takes up to 26, to send and to be asked; Kubernetes kills
# after 30.
GRACE: Final = 27
# Longer than the proxies in front keep theirs (nginx 60 s): a connection that this side closes first costs a request.
KEEP_ALIVE: Final = 75  # s
# The versions of uvicorn that the tests were run with: the oldest and the newest. This module and `connections` rest on
# its internals: `Server.startup`, `on_tick`, `shutdown`, `capture_signals`, and `HttpToolsProtocol` with its cycles.
TESTED_UVICORN: Final = ((0, 30), (0, 54))
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
# Their default is to end the process, and they are sent to have settings or logs opened anew: neither is done here.
_IGNORED: Final = ("SIGHUP", "SIGUSR1", "SIGUSR2")  # Windows has none of them.
_OWN_FILES: Final = 256  # descriptors for all that is not a client's connection: Redis, gateways, the log


def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    on_ready: Callable[[], object],
    on_stop: Callable[[], Awaitable[object]],
) -> None:
    """Serve until SIGTERM or Ctrl-C, then return. Both calls are made in the server's event loop.

    Nothing of a request is logged, faults by their place alone. Raises `ConfigurationError` for a uvicorn that is too
    old.
    """
    logging.basicConfig(level=logging.WARNING, format="otpkit: %(message)s")
    # A malformed request is its sender's mistake; uvicorn warns of each, and anybody could fill the disk with them.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    check_uvicorn(uvicorn.__version__)
    # What is there now stays: a full collection that looked at it would hold up every client for 40 ms.
    gc.collect()
    gc.freeze()
    Server(app, on_ready, on_stop).run(sockets=[listener])


def check_uvicorn(version: str) -> None:
    """Raise `ConfigurationError` for a version of uvicorn that is too old; log a warning for one that is untested."""
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
    """The server of one application; where it runs in another thread than the main one, signals are not its own."""

    def __init__(self, app: ASGIApp, on_ready: Callable[[], object], on_stop: Callable[[], Awaitable[object]]) -> None:
        config = uvicorn.Config(
            app,
            http=partial(Connection, Admission(_max_connections())),  # type: ignore[arg-type]  # makes one, as its class would
            loop="auto",  # uvloop where there is one
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,  # no line of it would say more than the metrics do
            server_header=False,
            proxy_headers=False,  # whom to believe is `forwarded_hops` to say
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell so."""
        await super().startup(sockets=sockets)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: once in each, end the connections whose clients have taken too long."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                connection.check(now)  # type: ignore[union-attr]  # it is one of ours
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way."""
        await super().shutdown(sockets=sockets)
        await self._on_stop()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that end the service; uvicorn raises them again at the end, and so spoils the status."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = dict.fromkeys(_ENDING, self.handle_exit) | ignored_signals()
        before = {each: signal.signal(each, handler) for each, handler in handlers.items()}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def ignored_signals() -> dict[signal.Signals, signal.Handlers]:
    """Return the signals that a service must live through, each to be ignored."""
    return {signal.Signals[name]: signal.SIG_IGN for name in _IGNORED if name in signal.Signals.__members__}


def _max_connections() -> int:
    """Return how many connections this process may have from clients, after asking for as many as the host allows."""
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
