"""One Redis process on its own TCP port. It can be killed, frozen and restarted with its data."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from support.servers import _DIE_WITH_PARENT, START_SECONDS, STOP_SECONDS, find_redis, unavailable

_BUS = 10_000  # A cluster's node connects to the others on its port plus this.
_PORTS = range(12_000, 22_000)  # These ports and those of the bus are below the ones that systems assign to clients.

Condition = Callable[[], object]


class Node:
    """A Redis process of the tests. `arguments` is its command line after the binary."""

    def __init__(self, directory: Path, port: int, arguments: list[str]) -> None:
        self.directory, self.port, self._arguments = directory, port, arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start or restart it, and wait until it answers. Call this only from the main thread."""
        wrapper = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
        self.process = subprocess.Popen([*wrapper, *self._arguments], cwd=self.directory, stdin=subprocess.DEVNULL)
        wait_until(self.answers, f"port {self.port} answers")

    def answers(self) -> bool:
        """Return whether it answers. Raise RuntimeError if it has ended."""
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"port {self.port} ended: {(self.directory / 'log').read_text()[-1000:]}")
        try:
            self.ask("PING")
        except redis.ConnectionError:
            return False
        except redis.RedisError:
            pass  # The server is loading its data.
        return True

    def ask(self, *command: Any) -> Any:
        """Return its reply to a command, as text."""
        with redis.Redis(port=self.port, socket_timeout=5, decode_responses=True, protocol=2) as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of its INFO."""
        answer: dict[str, Any] = self.ask("INFO", section)
        return answer

    @property
    def is_master(self) -> bool:
        """Whether it reports to be a primary."""
        return bool(self.ask("ROLE")[0] == "master")

    def kill(self) -> None:
        """Kill it, which is like a power cut."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def pause(self) -> None:
        """Freeze it: its connections stay open, and it answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume it. It then runs the requests that arrived in the meantime."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @property
    def runs(self) -> bool:
        """Whether the process exists."""
        return self.process is not None and self.process.poll() is None

    def discard(self) -> None:
        """Stop it and remove its files."""
        with contextlib.suppress(OSError):
            if self.runs:
                self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def binary() -> str:
    """Return the path of redis-server. Without one, skip the test, or fail it in CI."""
    return find_redis() or unavailable("no redis-server on the PATH; install it")


def free_port() -> int:
    """Return a free port whose cluster bus port is free too."""
    while True:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + _BUS))
            return port


def server_node(directory: Path, *options: str, program: str | None = None) -> Node:
    """Return a server that is not started yet and saves nothing to disk."""
    port = free_port()
    place = directory / str(port)
    place.mkdir(parents=True)
    files = ["--save", "", "--appendonly", "no", "--logfile", "log", "--dir", str(place)]
    network = ["--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
    return Node(place, port, [program or binary(), *network, *files, *options])


def wait_until(condition: Condition, what: str, seconds: float = START_SECONDS) -> None:
    """Wait until a condition holds. After so many seconds, raise RuntimeError with `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"in {seconds} s not so: {what}")
        time.sleep(0.02)
