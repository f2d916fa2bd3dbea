"""A server that is stopped, killed and started again, with the same address and the same files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any, Self

import redis
from support.servers import START_SECONDS, Server, ping, start


class Mortal:
    """A server of a test's own. What is done to it is undone when the block ends."""

    def __init__(self, binary: str, *options: str) -> None:
        self._server: Server = start(binary, *options)
        self._process = self._server.process
        self.url = self._server.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._server.stop()

    def hang(self) -> None:
        """Let it answer nothing from here on; its socket takes connections and requests all the same."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run whatever has reached it meanwhile."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a lost machine does."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start it again on the files that it left, and wait until it answers."""
        self._process = subprocess.Popen(self._process.args, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not ping(self._server.socket_path):
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server is silent"
            time.sleep(0.005)

    def client(self) -> redis.Redis:
        """Return a client, for a look past the library."""
        return redis.Redis.from_url(self.url)

    def dump(self) -> dict[bytes, Any]:
        """Return all that it keeps: each key's value, and its life in milliseconds since the epoch."""
        with self.client() as client:
            return {
                key: (client.dump(key), client.execute_command("PEXPIRETIME", key)) for key in client.scan_iter("*")
            }
