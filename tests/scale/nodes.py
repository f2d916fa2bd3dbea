"""One Redis process on a TCP port of its own: it can be killed, frozen and started again with what it knew."""

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

_BUS = 10_000  # a cluster's node talks to the others on its port plus this
_PORTS = range(12_000, 22_000)  # with the bus's, below those that systems give to clients

Condition = Callable[[], object]


class Node:
    """A Redis process of the tests; `arguments` come after the binary."""

    def __init__(self, directory: Path, port: int, arguments: list[str]) -> None:
        self.directory, self.port, self._arguments = directory, port, arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again, and wait until it answers; only from the main thread."""
        wrapper = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
        self.process = subprocess.Popen([*wrapper, *self._arguments], cwd=self.directory, stdin=subprocess.DEVNULL)
        wait_until(self.answers, f"port {self.port} answers")

    def answers(self) -> bool:
        """Tell whether it answers; raises RuntimeError where it has ended."""
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"port {self.port} ended: {(self.directory / 'log').read_text()[-1000:]}")
        try:
            self.ask("PING")
        except redis.ConnectionError:
            return False
        except redis.RedisError:
            pass  # it is loading
        return True

    def ask(self, *command: Any) -> Any:
        """Return its answer to a command, as text."""
        with redis.Redis(port=self.port, socket_timeout=5, decode_responses=True, protocol=2) as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of its INFO."""
        answer: dict[str, Any] = self.ask("INFO", section)
        return answer

    @property
    def is_master(self) -> bool:
        """Whether it takes writes, as far as it knows."""
        return bool(self.ask("ROLE")[0] == "master")

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def pause(self) -> None:
        """Freeze it: it keeps its connections and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on; what was sent to it meanwhile still runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def discard(self) -> None:
        """End it and remove what it kept."""
        with contextlib.suppress(OSError):
            if self.runs:
                self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def binary() -> str:
    """Return the path of redis-server; skip the test, or under CI fail it, where there is none."""
    return find_redis() or unavailable("no redis-server on the PATH; install it")


def free_port() -> int:
    """Return a port that is free, and whose cluster bus port is."""
    while True:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + _BUS))
            return port


def server_node(directory: Path, *options: str, program: str | None = None) -> Node:
    """Return a server that is not yet started, with nothing saved to disk."""
    port = free_port()
    place = directory / str(port)
    place.mkdir(parents=True)
    files = ["--save", "", "--appendonly", "no", "--logfile", "log", "--dir", str(place)]
    network = ["--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
    return Node(place, port, [program or binary(), *network, *files, *options])


def wait_until(condition: Condition, what: str, seconds: float = START_SECONDS) -> None:
    """Wait until a condition holds; raises RuntimeError, saying `what`, when it doesn't within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"in {seconds} s not so: {what}")
        time.sleep(0.02)
