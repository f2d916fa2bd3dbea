"""A reader of a page, who runs its blocks in order, in one folder, with the shell's earlier exports."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from page_blocks import ROOT, Block
from support.servers import unavailable

from otpkit.sandbox import Sandbox, running

BIN = Path(sys.executable).parent
# The last line of a block that serves until Ctrl-C.
SERVES = re.compile(
    r"otpkit (sandbox|demo|serve|console)\b|flask --app|uvicorn|python manage\.py runserver|python with_\w+\.py$"
)
_SECONDS_LEFT = re.compile(r'"(expires_in|resend_in)":[0-9]+')
STARTS_IN = 60.0  # Seconds.
RUNS_IN = 120.0


@dataclass
class Reader:
    """The state of a reader: `folder` for their files, `env` of their shell, `inbox` as the URL of the local gateway.

    Like a reader, it replaces the addresses of servers and the placeholders of keys.
    """

    folder: Path
    env: dict[str, str]
    inbox: str
    redis_url: str
    port: int = 0
    server: subprocess.Popen[str] | None = field(default=None, repr=False)

    def run(self, block: Block) -> None:
        """Run one block, or save it if it is a file."""
        text = self.replaced(block.text)
        if block.file:
            self._save(block, text)
        elif block.language == "python":
            self._expect(block, [sys.executable, "-c", text])
        elif block.language == "sh":
            self._shell(block, text)
        elif block.language == "toml":
            tomllib.loads(text)
        elif block.language == "json":
            json.loads(text)
        else:
            raise AssertionError(f"{block}: nothing runs a block of {block.language!r}; give a reason in NOT_RUN.")

    def replaced(self, text: str) -> str:
        """Return a text with the addresses of this machine's servers and the local gateway's keys."""
        changes = {
            "redis://localhost:6379/0": self.redis_url,
            "http://127.0.0.1:8025": self.inbox,
            "manage.py runserver": f"manage.py runserver --noreload {self.port}",
            "/path/to/otpkit": str(ROOT),
            "your-app-key": "sandbox",
            "your-app-secret": "sandbox-secret",
            "your-access-key-id": "sandbox",
            "your-access-key-secret": "sandbox-secret",
            "your-secret-id": "sandbox",
            "your-secret-key": "sandbox-secret",
        }
        for old in ("127.0.0.1:5000", "127.0.0.1:8000", "localhost:8000", "localhost:8001"):
            changes[old] = f"127.0.0.1:{self.port}"
        for old, new in changes.items():
            text = text.replace(old, new)
        return text

    def code(self, phone: str = "13800138000") -> str:
        """Return the code of the newest message to a phone."""
        messages = requests.get(f"{self.inbox}/api/messages", {"phone": phone}, timeout=20).json()
        return str(messages[0]["code"])

    @property
    def url(self) -> str:
        """The address of the page's server."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Stop the page's server and all its children."""
        if self.server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGTERM)  # A test that runs in the background may ignore SIGINT.
        try:
            print(self.server.communicate(timeout=20)[0])  # Pytest shows it if the test fails.
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None

    def _save(self, block: Block, text: str) -> None:
        file = self.folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        if block.language == "python":
            compile(text, str(block), "exec", dont_inherit=True)
        elif block.language == "toml":
            tomllib.loads(text)
        if block.is_added:
            text = f"{file.read_text(encoding='utf-8')}\n{text}"
        file.write_text(text, encoding="utf-8")

    def _shell(self, block: Block, text: str) -> None:
        if "curl " in text and shutil.which("curl") is None:
            unavailable("no curl on the PATH")
        last = text.strip().rpartition("\n")[2]
        if not last.endswith("&") and SERVES.match(last):
            self._serve(block)
            return
        exported = self.folder / ".exported"
        self._expect(block, ["bash", "-euc", f"trap 'env -0 > {exported}' EXIT\n{text}"])
        pairs = [line.partition("=") for line in exported.read_text(encoding="utf-8").split("\0") if line]
        self.env |= {name: value for name, _, value in pairs if name.startswith(("OTPKIT_", "KEY", "DJANGO_"))}

    def _serve(self, block: Block) -> None:
        self.stop()
        self.port = free_port()
        script = self.replaced(block.text)
        self.server = subprocess.Popen(
            ["bash", "-euc", script],
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + STARTS_IN
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self.server.poll() is not None or time.monotonic() > deadline:
                self.server.kill()
                raise AssertionError(f"{block} does not serve:\n{self.server.communicate()[0]}")
            time.sleep(0.05)

    def _expect(self, block: Block, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUNS_IN,
            check=False,
        )
        assert done.returncode == 0, f"{block} exits with {done.returncode}:\n{done.stdout}{done.stderr}"
        if block.output is not None:
            wanted = ".*?".join(map(re.escape, stripped(self.replaced(block.output)).split("…")))
            said = stripped(done.stdout)
            assert re.fullmatch(wanted, said, re.DOTALL), f"{block} prints:\n{said}\ninstead of:\n{block.output}"

    def _environment(self) -> dict[str, str]:
        ports = dict.fromkeys(("PORT", "FLASK_RUN_PORT", "UVICORN_PORT", "LITESTAR_PORT"), str(self.port))
        return self.env | ports


@contextlib.contextmanager
def reading(folder: Path, redis_url: str, namespace: str) -> Iterator[Reader]:
    """Yield a reader in a folder, with a local gateway and a namespace on a real server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTPKIT_", "DJANGO_"))}
    with running(Sandbox(receipt_after=0)) as local:
        env: dict[str, Any] = {
            **kept,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "error::DeprecationWarning:__main__",
            "COLUMNS": "100",
            "OTPKIT_NAMESPACE": namespace,
            "OTPKIT_ALIDAYU_BASE_URL": local.gateway_url,
            "OTPKIT_ALIYUN_BASE_URL": local.base_url,
            "OTPKIT_TENCENT_BASE_URL": local.base_url,
        }
        reader = Reader(folder, env, local.base_url, redis_url, port=free_port())
        try:
            yield reader
        finally:
            reader.stop()


def stripped(text: str) -> str:
    """Return a text without spaces at the ends of its lines. Seconds that count down become 0."""
    return _SECONDS_LEFT.sub(r'"\1":0', "\n".join(map(str.rstrip, text.strip().splitlines())))


def free_port() -> int:
    """Return a port that no process listens on.

    It is below the ports that systems assign to connections. Otherwise a client that waits for the server
    could connect to itself.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
