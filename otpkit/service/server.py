"""Put the service on a socket, until it is told to stop; requests under way are then finished."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from otpkit.service._web import ASGIApp, HttpToolsProtocol, uvicorn
from otpkit.service.reading import MAX_HEAD, head_too_long_answer, malformed_answer

# s that requests under way have left at the end: a gateway takes up to 26, to send and to be asked; Kubernetes kills
# after 30.
GRACE: Final = 27
# Longer than the proxies in front keep theirs (nginx 60 s): a connection that this side closes first costs a request.
KEEP_ALIVE: Final = 75  # s
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    on_ready: Callable[[], object],
    on_stop: Callable[[], Awaitable[object]],
) -> None:
    """Serve until SIGTERM or Ctrl-C, then return. Both calls are made in the server's event loop.

    Nothing of a request is logged, faults by their place alone.
    """
    logging.basicConfig(level=logging.WARNING, format="otpkit: %(message)s")
    # A malformed request is its sender's mistake; uvicorn warns of each, and anybody could fill the disk with them.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    Server(app, on_ready, on_stop).run(sockets=[listener])


class _Protocol(HttpToolsProtocol):
    """Answers what is no HTTP by a problem document too, and reads no head without end."""

    _extra = 0  # bytes of the message that are not of its body, since the read that began it
    _of_body = 0  # bytes of the body, in the latest read

    def data_received(self, data: bytes) -> None:
        before, self._of_body = self.scope, 0
        super().data_received(data)
        self._extra = self._extra + len(data) - self._of_body if self.scope is before else 0
        if self._extra > MAX_HEAD:  # chunks' extensions and trailers count too
            self._end(head_too_long_answer())

    def on_body(self, body: bytes) -> None:
        self._of_body += len(body)
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        self._end(malformed_answer())

    def _end(self, answer: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            if not self.cycle.more_body:  # whole, and under way: `answer` would be taken for its own
                self.cycle.keep_alive = False
                return
            self.cycle.disconnected = True
        self.transport.write(answer)
        self.transport.close()


class Server(uvicorn.Server):
    """The server of one application; where it runs in another thread than the main one, signals are not its own."""

    def __init__(self, app: ASGIApp, on_ready: Callable[[], object], on_stop: Callable[[], Awaitable[object]]) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
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
        before = {each: signal.signal(each, self.handle_exit) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
