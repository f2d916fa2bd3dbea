"""A real HTTP server that receives the events of a `WebhookListener`, and verifies them by `standardwebhooks`."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Self

from standardwebhooks import Webhook


def make_secret(seed: int = 1) -> str:
    """Return a signing secret of 32 random bytes, the same for the same seed."""
    return f"whsec_{b64encode(Random(seed).randbytes(32)).decode()}"


SECRET = make_secret()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until a condition is true, and fail if it does not become true."""
    ends_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_s, "this did not happen in time"
        time.sleep(0.01)


@dataclass
class Posted:
    """A request: its header, its body, and what the server answered."""

    headers: dict[str, str]
    body: bytes
    status: int

    def event(self, secret: str = SECRET) -> Any:
        """Return the CloudEvent, after its signature was verified."""
        return Webhook(secret).verify(self.body, self.headers)

    @property
    def its_id(self) -> str:
        """The header `webhook-id`."""
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """A server on loopback. It answers each request with the next of `answers`, or 204 when there are no more."""

    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """The header of every answer."""
    posted: list[Posted] = field(default_factory=list)
    requests: int = 0
    hangs: bool = False
    """True lets every request wait until the server is closed or `released`."""
    released: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    """The port to listen on; 0 picks a free one."""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The URL to post to. Its path and query look like secrets that must not be logged."""
        return f"http://127.0.0.1:{self._server.server_port}/hush-path?key=hush-query"

    @property
    def events(self) -> list[Any]:
        """The CloudEvents of all accepted requests."""
        return [each.event() for each in self.posted if 200 <= each.status < 300]

    def names(self) -> list[str]:
        """Return the types of `events`, without their prefix."""
        return [each["type"].removeprefix("otpkit.") for each in self.events]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests += 1
                if receiver.hangs:
                    receiver.released.wait()
                status = receiver.answers.pop(0) if receiver.answers else 204
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posted.append(Posted(headers, body, status))
                self.send_response(status)
                for name, value in {**receiver.headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def parsed(text: str) -> Any:
    """Return the JSON object of a log line."""
    return json.loads(text)
