"""A server that a test stops, kills and restarts. Its address and its files stay the same."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any, Self

import redis
from support.servers import START_SECONDS, Server, ping, start


class Mortal:
    """A server of a test's own. It is killed and removed when the block ends, in any state."""

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
        """Stop its process: connections and requests are still accepted, but not answered."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue its process. It then runs the requests that arrived in the meantime."""
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, which is like the loss of its machine."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start it again with its former files, and wait until it answers."""
        self._process = subprocess.Popen(self._process.args, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not ping(self._server.socket_path):
            assert self._process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.005)

    def client(self) -> redis.Redis:
        """Return a client that bypasses the library."""
        return redis.Redis.from_url(self.url)

    def dump(self) -> dict[bytes, Any]:
        """Return each key's value and expiry (milliseconds since the epoch)."""
        with self.client() as client:
            return {
                key: (client.dump(key), client.execute_command("PEXPIRETIME", key)) for key in client.scan_iter("*")
            }
