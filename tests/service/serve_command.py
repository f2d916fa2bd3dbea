"""`otpkit serve` as a process, with a webhook that receives its messages."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.service import KEY, SECRET

SECONDS = 20


class Slow(ThreadingHTTPServer):
    """A webhook that answers when the test allows it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SlowHandler)
        self.asked, self.answer = threading.Event(), threading.Event()
        self.codes: list[str] = []
        self.traceparents: list[str | None] = []


class SlowHandler(BaseHTTPRequestHandler):
    server: Slow

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.codes.append(told["code"])
        self.server.traceparents.append(self.headers["traceparent"])
        self.server.asked.set()
        self.server.answer.wait(SECONDS)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def config(path: Path, redis_url: str, webhook: Slow, namespace: str = "process") -> Path:
    """Write a settings file."""
    file = path / "otpkit.toml"
    file.write_text(
        f"""
redis_url = "{redis_url}"
secret = "{SECRET}"
namespace = "{namespace}"
gateway = "webhook"

[webhook]
url = "http://127.0.0.1:{webhook.server_address[1]}/sms"
secret = "{SECRET}"

[templates.signup]
code = "SMS_1"
sign_name = "阿里大鱼"

[keys.shop]
key = "{KEY}"
purposes = ["signup"]

[service]
port = 0
""",
        encoding="utf-8",
    )
    return file


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OTPKIT_", "PORT"))}
    return own | {"PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"} | dict(given or {})


@contextlib.contextmanager
def serving(
    file: Path, *args: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command, and yield the process and its URL."""
    command = [sys.executable, "-m", "otpkit", "serve", "--config", str(file), *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(env)
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Listening on http://127.0.0.1:"), (line, process.communicate(timeout=SECONDS))
            yield process, line.removeprefix("Listening on ").strip()
        finally:
            process.kill()
