"""Connection pools of the sync client: which connections may be reused, and how long a call waits for a reply."""

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
    """The deadline of a thread's wait for Redis, by the monotonic clock."""

    until = math.inf


BOUND = _Bound()


class BoundedSocket:
    """A socket that reads until `BOUND.until` at most. Its own timeout applies to each single read."""

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
    """A mixin for every kind of connection, which connects within `BOUND`."""

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
        """Connect, or close the connection: redis-py would keep one whose handshake was interrupted."""
        is_whole = False
        try:
            super().connect_check_health(*args, **options)  # type: ignore[misc]
            is_whole = True
        finally:
            if not is_whole:
                self.disconnect()


PLAIN: set[type] = {redis.Connection, redis.SSLConnection, redis.UnixDomainSocketConnection}
"""Connections with redis-py's own socket and parser. Instrumented or embedded connections may do more."""


@cache
def bounded(kind: type) -> type:
    """Return a subclass of a redis-py connection class that respects `BOUND`."""
    made = type(f"Bounded{kind.__name__}", (_Bounds, kind), {})
    if kind in PLAIN:
        PLAIN.add(made)
    return made


class Pool(redis.ConnectionPool):
    """Connections to one server, last used first. `semaphore` limits how many are used at once.

    Before each use, redis-py's own pools ask the kernel whether the connection is still open, and update metrics. That
    takes a third of a call's time. This pool skips both. A call that meets a broken connection is retried, which is
    safe because of its operation id.
    """

    def __init__(self, connection_class: RedisObject = redis.Connection, **options: RedisObject) -> None:
        super().__init__(connection_class=bounded(connection_class), **options)

    def reset(self) -> None:
        """Start with no connections. A forked child must: it may not write to its parent's sockets."""
        # Do this first: redis-py sets the pid last, and from then on other threads use the idle connections.
        self._idle: deque[RedisObject] = deque()
        self.semaphore = ConnectionSemaphore()  # The parent's threads never return the permits that they hold.
        super().reset()

    def take(self) -> RedisObject:
        """Return an idle connection, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return self.connection_class(**self.connection_kwargs)

    def get_connection(self, command_name: object = None, *keys: object, **options: RedisObject) -> RedisObject:
        """Same as `take`, as redis-py calls it."""
        self._checkpid()
        return self.take()

    def release(self, connection: RedisObject) -> None:
        """Return a connection to the pool. Drop it if it is another process's, or was made before `adopt`."""
        if connection.pid == self.pid and type(connection) is self.connection_class:
            self._idle.append(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections. The next use opens each again."""
        for _ in range(len(self._idle)):
            with suppress(IndexError):
                connection = self._idle.popleft()
                connection.disconnect()
                self._idle.append(connection)


class NodePool(Pool):
    """The connections to a node of a cluster. redis-py uses them too, to learn which node has which slot."""

    def get_connection(self, command_name: object = None, *keys: object, **options: RedisObject) -> RedisObject:
        """Return a connection that is open, as redis-py's pool does."""
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
    """Turn the pool that redis-py made for a cluster node into a `NodePool`. Idle connections are closed."""
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
    """redis-py's own pool, except that a lost connection does not count towards the limit."""

    def __init__(self, connection_class: RedisObject = redis.Connection, **options: RedisObject) -> None:
        super().__init__(connection_class=bounded(connection_class), **options)

    def reset(self) -> None:
        """Start with no connections, as a forked child must."""
        self.semaphore = ConnectionSemaphore()
        super().reset()
        self._in_use_connections: RedisObject = weakref.WeakSet()  # An interrupted caller never returns its connection.

    def make_connection(self) -> RedisObject:
        """Return a new connection if the limit allows one more."""
        self._created_connections = len(self._available_connections) + len(self._in_use_connections)
        return super().make_connection()


class SentinelPool(sentinel.SentinelConnectionPool, _CountedPool):
    """A counted pool of connections to the primary that Sentinels name."""


def take_idle(pool: RedisObject) -> RedisObject:
    """Return an idle connection of a borrowed client's pool, or None if `pool.get_connection` must provide it.

    `get_connection` updates metrics and builds an error message even without an error, which takes a quarter of a call.
    Only redis-py's plain pool qualifies: other classes may do more, and so may a pool with a cache or with credentials
    that are renewed.
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
        pass  # `get_connection` reconnects it.
    finally:
        if not is_ready:
            give_back(pool, connection)
    return connection if is_ready else None


def give_back(pool: RedisObject, connection: RedisObject) -> None:
    """Return a connection of `take_idle` to its pool. Close it first if the server is moving and asked for that."""
    if getattr(connection, "should_reconnect", _never)():
        connection.disconnect()
    with pool._lock:
        if connection in pool._in_use_connections:
            pool._in_use_connections.remove(connection)
            pool._available_connections.append(connection)


def _never() -> bool:
    return False


def _is_simple(connection: RedisObject) -> bool:
    """Check whether a connection is plain and connected, and needs no work between two calls."""
    return (
        type(connection) in PLAIN
        and connection._sock is not None
        and connection.credential_provider is None
        and not connection.health_check_interval
    )


class ConnectionSemaphore:
    """A limit on the threads of one process that use a pool's connections at once, first come, first served.

    `acquire` waits for a `Permit`; `acquire_at_once` does not wait. Both raise `queue.Empty` if none is free. `release`
    returns a permit. The three are methods of a `SimpleQueue`, which adds no overhead. The permit of an interrupted
    thread comes back when Python drops the object.
    """

    def __init__(self) -> None:
        free: SimpleQueue[Permit] = SimpleQueue()
        self.acquire, self.acquire_at_once, self.release = free.get, free.get_nowait, free.put
        _SEMAPHORES[id(self)] = self
        for _ in range(retry.MAX_THREADS):
            self.release(Permit(id(self)))


class Permit:
    """The right to use a connection. Each permit is one object, so an interrupt can neither lose nor double it."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: int) -> None:
        self._semaphore = semaphore

    def __del__(self) -> None:
        # The module's names are None while the interpreter exits.
        semaphore = None if _SEMAPHORES is None else _SEMAPHORES.get(self._semaphore)
        if semaphore is not None:
            semaphore.release(Permit(self._semaphore))


# A permit finds its semaphore here, by id: a weak reference of its own could be cleared before `__del__` runs.
_SEMAPHORES: weakref.WeakValueDictionary[int, ConnectionSemaphore] = weakref.WeakValueDictionary()
