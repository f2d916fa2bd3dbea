"""A server that receives the receipts of a sandbox."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl


class Pushed(NamedTuple):
    """One push. A JSON body is decoded, and a form is a list of pairs."""

    path: str
    headers: dict[str, str]
    body: Any


class Receiver:
    """Receives pushes, and answers each with the next status of `answers`, or with 200."""

    def __init__(self) -> None:
        self.pushes: list[Pushed] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                is_json = self.headers["Content-Type"].startswith("application/json")
                body = json.loads(text) if is_json else parse_qsl(text, keep_blank_values=True)
                receiver.pushes.append(Pushed(self.path, dict(self.headers), body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.end_headers()
                self.wfile.write(b'{"code":0,"msg":"ok"}')

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.base_url}/hook/secret?via={{provider}}"

    def wait_for(self, number: int) -> list[Any]:
        """Wait for so many pushes, and return their receipts."""
        until = time.monotonic() + 10
        while len(self.pushes) < number and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.pushes) == number
        return [receipt for push in self.pushes for receipt in push.body]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Yield a receiver during the with block."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()
