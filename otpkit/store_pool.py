"""Connections of the sync client to one server."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import Any

import redis


class Pool(redis.ConnectionPool):
    """Connections to one server, the last used first; how many there are is for the store to say, which gives turns.

    redis-py's own pools ask the kernel before each use whether a connection still stands, and count it for metrics: a
    third of a call's time. Here a call that finds its connection broken is made again, which its operation id allows.
    """

    def reset(self) -> None:
        """Start anew, as a forked child must, which may not speak on its parent's sockets."""
        # First: redis-py sets the pid last, from when on other threads take what is idle.
        self._idle: deque[Any] = deque()
        super().reset()

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Take a connection that is idle, or a new one."""
        if self.pid != os.getpid():
            self.reset()
        try:
            return self._idle.pop()
        except IndexError:
            return self.connection_class(**self.connection_kwargs)

    def release(self, connection: Any) -> None:
        """Give a connection back."""
        if connection.pid == self.pid:
            self._idle.append(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections; each is made again when it is used."""
        for _ in range(len(self._idle)):
            with suppress(IndexError):
                connection = self._idle.popleft()
                connection.disconnect()
                self._idle.append(connection)
