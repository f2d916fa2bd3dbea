"""Connections of the sync client, by a URL: which may be used again, and how long they are waited for."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from time import monotonic

import redis
from redis import sentinel

from otpkit.store import retry
from otpkit.store.library import RedisObject


class _Bound(threading.local):
    """Until when a thread waits for Redis, by the monotonic clock."""

    until = math.inf


BOUND = _Bound()


class BoundedSocket:
    """A socket that reads until `BOUND.until` at most. Its own timeout is for each single read."""

    __slots__ = ("_is_short", "_recv", "_recv_into", "_socket", "_timeout", "sendall")

    def __init__(self, socket: RedisObject) -> None:
        self._socket = socket
        self._timeout: float = socket.gettimeout() or math.inf
        self._is_short = False
        self.sendall, self._recv, self._recv_into = socket.sendall, socket.recv, socket.recv_into

    def __getattr__(self, name: str) -> RedisObject:
        return getattr(self._socket, name)

    def recv(self, *args: object) -> RedisObject:
        """Same as `socket.recv`."""
        left = BOUND.until - monotonic()
        if self._is_short or left < self._timeout:
            self._bound(left)
        return self._recv(*args)

    def recv_into(self, *args: object) -> RedisObject:
        """Same as `socket.recv_into`."""
        left = BOUND.until - monotonic()
        if self._is_short or left < self._timeout:
            self._bound(left)
        return self._recv_into(*args)

    def _bound(self, left: float) -> None:
        if left <= 0:
            raise TimeoutError
        least = min(left, self._timeout)
        self._socket.settimeout(None if least == math.inf else least)
        self._is_short = least < self._timeout


class _Bounds:
    """What the connections of every kind have here in common."""

    socket_connect_timeout: float | None
    disconnect: Callable[[], None]

    def _connect(self) -> RedisObject:
        usual, left = self.socket_connect_timeout, BOUND.until - monotonic()
        if left <= 0:
            raise TimeoutError
        if left < (usual or math.inf) and left != math.inf:
            self.socket_connect_timeout = left
        try:
            return BoundedSocket(super()._connect())  # type: ignore[misc]
        finally:
            self.socket_connect_timeout = usual

    def connect_check_health(self, *args: object, **options: RedisObject) -> None:
        """Connect, or leave nothing: redis-py would keep a connection whose handshake was interrupted."""
        is_whole = False
        try:
            super().connect_check_health(*args, **options)  # type: ignore[misc]
            is_whole = True
        finally:
            if not is_whole:
                self.disconnect()


PLAIN: set[type] = {redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection}
"""Connections whose socket and parser are redis-py's own; an instrumented or embedded one may do more."""


@cache
def bounded(kind: type) -> type:
    """Return redis-py's class of connections, made to keep to `BOUND`."""
    made = type(f"Bounded{kind.__name__}", (_Bounds, kind), {})
    if kind in PLAIN:
        PLAIN.add(made)
    return made


class Pool(redis.ConnectionPool):
    """Connections to one server, the last used first; how many there are is for `semaphore` to say.

    redis-py's own pools ask the kernel before each use whether a connection still stands, and count it for metrics: a
    third of a call's time. Here a call that finds its connection broken is made again, which its operation id allows.
    """

    def __init__(self, connection_class: RedisObject = redis.Connection, **options: RedisObject) -> None:
        super().__init__(connection_class=bounded(connection_class), **options)

    def reset(self) -> None:
        """Start anew, as a forked child must, which may not speak on its parent's sockets."""
        # First: redis-py sets the pid last, from when on other threads take what is idle.
        self._idle: deque[RedisObject] = deque()
        self.semaphore = ConnectionSemaphore()  # Threads of the parent hold permits for ever.
        super().reset()

    def take(self) -> RedisObject:
        """Take a connection that is idle, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.connection_class(**self.connection_kwargs)

    def get_connection(self, command_name: object = None, *keys: object, **options: RedisObject) -> RedisObject:
        """Same as `take`, as redis-py calls it."""
        self._checkpid()
        return self.take()

    def release(self, connection: RedisObject) -> None:
        """Give a connection back; another process's is dropped, and one made before `adopt`."""
        if connection.pid == self.pid and type(connection) is self.connection_class:
            self._idle.append(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections; each is made again when it is used."""
        for _ in range(len(self._idle)):
            with suppress(IndexError):
                connection = self._idle.popleft()
                connection.disconnect()
                self._idle.append(connection)


class NodePool(Pool):
    """The connections to a node of a cluster. redis-py uses them as well, to learn which node has which slot."""

    def get_connection(self, command_name: object = None, *keys: object, **options: RedisObject) -> RedisObject:
        """Take a connection that stands, as redis-py's pool gives it."""
        self._checkpid()
        connection = self.take()
        is_whole = False
        try:
            connection.connect()
            if connection.can_read():
                connection.disconnect()
                connection.connect()
            is_whole = True
        finally:
            if not is_whole:
                connection.disconnect()
                self.release(connection)
        return connection


def adopt(pool: RedisObject) -> None:
    """Turn a pool that redis-py made for a cluster's node into a `NodePool`; its idle connections are made anew."""
    with pool._lock:
        if type(pool) is NodePool:
            return
        pool.connection_class = bounded(pool.connection_class)
        pool.semaphore = ConnectionSemaphore()
        pool._idle = deque[RedisObject]()
        while pool._available_connections:
            pool._available_connections.pop().disconnect()
        pool.__class__ = NodePool


class _CountedPool(redis.ConnectionPool):
    """redis-py's own pool; a lost connection takes up no place."""

    def __init__(self, connection_class: RedisObject = redis.Connection, **options: RedisObject) -> None:
        super().__init__(connection_class=bounded(connection_class), **options)

    def reset(self) -> None:
        """Start anew, as a forked child must."""
        self.semaphore = ConnectionSemaphore()
        super().reset()
        self._in_use_connections: RedisObject = weakref.WeakSet()  # An interrupted caller gives none back.

    def make_connection(self) -> RedisObject:
        """Return a new connection, where there are fewer than allowed."""
        self._created_connections = len(self._available_connections) + len(self._in_use_connections)
        return super().make_connection()


class SentinelPool(sentinel.SentinelConnectionPool, _CountedPool):
    """Same, but of the primary that Sentinels name."""


def take_idle(pool: RedisObject) -> RedisObject:
    """Take an idle connection of a client's own pool, where redis-py would give it as it is; else return None.

    redis-py counts it for metrics and writes an error message that nobody reads, which takes a quarter of a call. Only
    redis-py's plain pool is known well enough: one of another class may do more, and so may one that has a cache or
    renews its credentials.
    """
    if type(pool) is not redis.ConnectionPool or pool.pid != os.getpid() or getattr(pool, "cache", None) is not None:
        return None
    with pool._lock:
        if not pool._available_connections:
            return None
        connection = pool._available_connections.pop()
        pool._in_use_connections.add(connection)
    is_ready = False
    try:
        is_ready = _is_simple(connection) and not connection._parser.can_read(0)
    except (OSError, redis.RedisError):
        pass  # It is made anew by `get_connection`.
    finally:
        if not is_ready:
            give_back(pool, connection)
    return connection if is_ready else None


def give_back(pool: RedisObject, connection: RedisObject) -> None:
    """Give back what `take_idle` took; a server that moves has asked for new connections."""
    if getattr(connection, "should_reconnect", _never)():
        connection.disconnect()
    with pool._lock:
        if connection in pool._in_use_connections:
            pool._in_use_connections.remove(connection)
            pool._available_connections.append(connection)


def _never() -> bool:
    return False


def _is_simple(connection: RedisObject) -> bool:
    """Whether a connection is plain and connected, and nothing is to be done with it between two calls."""
    return (
        type(connection) in PLAIN
        and connection._sock is not None
        and connection.credential_provider is None
        and not connection.health_check_interval
    )


class ConnectionSemaphore:
    """Limits the threads of one process that use a pool's connections at once, first come, first served.

    `acquire` waits for a `Permit`, `acquire_at_once` does not, and both raise `queue.Empty` where none is free;
    `release` gives one back. They are a queue's own methods, which take no time. The permit of a thread that was
    interrupted comes back when Python drops it.
    """

    def __init__(self) -> None:
        free: SimpleQueue[Permit] = SimpleQueue()
        self.acquire, self.acquire_at_once, self.release = free.get, free.get_nowait, free.put
        _SEMAPHORES[id(self)] = self
        for _ in range(retry.MAX_THREADS):
            self.release(Permit(id(self)))


class Permit:
    """Leave to use a connection. One object each, so that it is there once, whenever its holder is interrupted."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: int) -> None:
        self._semaphore = semaphore

    def __del__(self) -> None:
        semaphore = None if _SEMAPHORES is None else _SEMAPHORES.get(self._semaphore)  # None as the interpreter ends.
        if semaphore is not None:
            semaphore.release(Permit(self._semaphore))


# Not a reference of the permit's own: Python clears those of what it drops before `__del__` runs.
_SEMAPHORES: weakref.WeakValueDictionary[int, ConnectionSemaphore] = weakref.WeakValueDictionary()
