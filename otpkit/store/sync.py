"""The sync driver: perform the steps of `protocol.ask` with redis-py's sync clients."""

from __future__ import annotations

import builtins
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import TypeVar

import redis
from redis import cluster, retry, sentinel
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis._parsers.hiredis import _HiredisParser as HiredisParser
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError,  # noqa: A004
    ResponseError,
    TimeoutError,  # noqa: A004
)

from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError, OTPError
from otpkit.store import retry as budgets
from otpkit.store.errors import REDIS_ERRORS, store_error, unnamed_primary
from otpkit.store.library import RedisObject, embedded_library
from otpkit.store.pool import (
    BOUND,
    PLAIN,
    NodePool,
    Permit,
    Pool,
    SentinelPool,
    adopt,
    bounded,
    give_back,
    take_idle,
)
from otpkit.store.protocol import (
    DISCARD,
    OPEN,
    REFRESH,
    RELEASE,
    Command,
    Crowded,
    Explain,
    Find,
    Follow,
    Locate,
    Pause,
    Queue,
    Retry,
    Signal,
    Step,
    Steps,
    Store,
    ask,
    pack,
)
from otpkit.store.retry import RetryBudget, timeouts
from otpkit.store.url import Address, read_url

T = TypeVar("T")

# redis-py does not annotate these.
_node: RedisObject = cluster.ClusterNode
_sentinel: RedisObject = sentinel.Sentinel

_REPLY_BYTES = 1024  # No script's reply is longer. If a reply is, the rest is read afterwards.

_of_parent: list[object] = []  # Keep what a forked child inherited: dropping it would wait for the parent's locks.


class SyncStore(Store):
    """A store of sync calls, from a URL or a client. It connects when the first script runs, not before."""

    def __init__(self, redis_: RedisObject) -> None:
        self._address = read_url(redis_) if isinstance(redis_, str) else None
        self._lock = threading.Lock()
        self._background: BackgroundTask | None = None
        self._client = redis_
        if self._address is not None:
            self._client = None if self._address.kind == "cluster" else _open(self._address)
        elif not isinstance(redis_, (redis.Redis, redis.RedisCluster)):
            raise ConfigurationError(
                "redis must be a URL or a sync redis-py client.",
                "Pass one of these; AsyncOTP takes the client of redis.asyncio.",
            )
        client: RedisObject = self._client
        server = None if self._address is None else self._address.server
        if client is None or isinstance(client, redis.RedisCluster):
            super().__init__("cluster", is_borrowed=self._address is None, server=server)
        else:
            is_plain = type(client) is redis.Redis and client.connection is None
            super().__init__("pool" if is_plain else "client", is_borrowed=self._address is None, server=server)

    @property
    def client(self) -> RedisObject:
        """The redis-py client. The client of a cluster's URL connects on first access."""
        if self._client is None:
            self._in_background(self._connect_cluster)
        return self._client

    def run(self, effect: RunScript[T], budget: RetryBudget | None = None) -> T:
        """Run a script and return its parsed reply.

        Args:
            effect: the script with its keys and arguments.
            budget: the time budget of the whole call; None makes a new one. A borrowed client has its own timeouts.

        Raises:
            StoreUnavailableError: Redis did not answer, or refused for now.
            ConfigurationError: Redis refused for a reason that a retry can't remove.
        """
        if self.is_borrowed:
            budget = None
        elif budget is None:
            budget = RetryBudget()
        lease = _Lease(self, budget)
        try:
            return self._drive(ask(effect, self, budget), lease)
        finally:
            BOUND.until = math.inf  # Other Redis calls of this thread are not bound by the budget.
            if not lease.is_over:
                lease.drop()

    def close(self) -> None:
        """Close the client that was made from a URL. A client that was passed in stays open."""
        self.is_closed = True
        if self._address is not None and self._client is not None:
            self._client.close()
            if self._address.kind == "sentinel":
                for each in self._client.connection_pool.sentinel_manager.sentinels:
                    each.close()

    def after_fork(self) -> None:
        """Replace the locks and threads inherited from the parent: a held lock would never be released."""
        self._lock = threading.Lock()
        self._background = None
        if self._address is not None and self._address.kind == "cluster":
            _of_parent.append(self._client)
            self._client = None

    def _drive(self, steps: Steps[T], lease: _Lease) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    # Handle the most frequent steps first, without another function call.
                    if type(step) is tuple:
                        result = lease.say(step)
                    elif type(step) is Locate:
                        result = lease.node = self._client.get_node_from_key(step.key)
                    elif step is OPEN and self._client is not None:
                        result = None
                    else:
                        result = self._perform(step, lease)
                except Exception as error:  # noqa: BLE001 - The generator decides what the error means.
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            lease.release()
            value: T = stop.value
            return value

    def _perform(self, step: Step, lease: _Lease) -> object:
        client = self._client
        match step:
            case Signal():
                self._signal(step, lease)
            case Queue(seconds):
                return lease.enter(seconds)
            case Pause(seconds):
                time.sleep(seconds)
            case Find(host, port):
                lease.node = client.get_node(host=host, port=port)
                return lease.node is not None
            case Follow(moved):
                client.nodes_manager.move_slot(moved)
            case Retry(attempt, failure):
                retries = client if self.shape == "cluster" else lease.connection
                if retries is None:
                    raise failure
                return retries.retry.call_with_retry(lambda: self._drive(attempt(), lease), lambda _: lease.reconnect())
            case Explain(failure, script):
                return error_of(client, failure, script)
        return None

    def _signal(self, signal: Signal, lease: _Lease) -> None:
        if signal is RELEASE:
            lease.release()
        elif signal is DISCARD:
            lease.drop()
        else:
            lease.bound()
            client, failed = self.client, lease.node and lease.node.name
            if signal is REFRESH:
                with suppress(*REDIS_ERRORS):
                    self._in_background(lambda: client.nodes_manager.initialize(last_failed_node_name=failed))

    def _connect_cluster(self) -> None:
        if self._client is None:  # A cluster client connects when it is made. Make it only once.
            address: RedisObject = self._address
            nodes = [_node(*node) for node in address.nodes]
            options = timeouts(_no_retries()) | address.options
            self._client = redis.RedisCluster(startup_nodes=nodes, max_connections=budgets.MAX_CONNECTIONS, **options)

    def _in_background(self, work: Callable[[], object]) -> None:
        """Do work that hanging nodes may prolong: once for all callers. None waits longer than `ANSWER_S`."""
        with self._lock:
            task = self._background
            if task is None or not task.is_alive():
                task = self._background = BackgroundTask(work)
                task.start()
        task.join(max(0.0, min(budgets.ANSWER_S, BOUND.until - time.monotonic())))
        if task.is_alive():
            raise ConnectionError("The cluster's nodes did not answer in time.")
        if task.failure is not None:
            raise task.failure


class _Lease:
    """The resources that one call holds: a connection of a pool, or a whole client, and the permit to use it."""

    # Defaults of the class: setting nine attributes would slow down each call measurably.
    is_over = True
    node: RedisObject = None
    connection: RedisObject = None
    _client: RedisObject = None
    _pool: RedisObject = None
    _owner: RedisObject = None  # The pool of the permit.
    _semaphore: RedisObject = None
    _permit: Permit | None = None
    _is_lent = False  # True if `take_idle` returned the connection.

    def __init__(self, store: SyncStore, budget: RetryBudget | None) -> None:
        self._store = store
        self._budget = budget

    def bound(self) -> None:
        """Limit this thread's waits to the deadline of the budget."""
        BOUND.until = math.inf if self._budget is None else self._budget.until

    def enter(self, seconds: float) -> bool:
        """Take a permit for the pool that had none; return whether one came free within `seconds`."""
        self.is_over = False
        self._semaphore = self._owner.semaphore
        try:
            self._permit = self._semaphore.acquire(timeout=seconds)
        except Empty:
            return False
        return True

    def take(self) -> RedisObject:
        """Take a connection and return it, or None if the client hides its connections."""
        store = self._store
        client = store._client
        self.is_over = False
        if self._budget is not None:
            BOUND.until = self._budget.until
        if store.shape == "pool":
            pool = client.connection_pool
        elif store.shape == "cluster":
            pool = (self.node.redis_connection or client.get_redis_connection(self.node)).connection_pool
            if not store.is_borrowed and type(pool) is not NodePool:
                adopt(pool)
        else:
            self._client = client
            return None
        if store.is_borrowed:
            self._pool = pool
            self.connection = take_idle(pool)
            self._is_lent = self.connection is not None
            if self._is_lent:
                return self.connection
        else:
            if pool.pid != os.getpid():
                pool._checkpid()  # redis-py then resets the pool.
            if self._permit is None or self._owner is not pool:
                self._exchange_permit(pool)
            self._pool = pool  # After an interrupt, the pool may hold a connection that is half open.
            if isinstance(pool, Pool):
                self.connection = pool.take()
                return self.connection
        try:
            self.connection = pool.get_connection()
        except REDIS_ERRORS:
            self._pool = None
            raise
        return self.connection

    def _exchange_permit(self, pool: RedisObject) -> None:
        """Take a permit for a pool, and return the permit for another node that had the slot. Raises `Crowded`."""
        permit, self._permit = self._permit, None
        if permit is not None:
            self._semaphore.release(permit)
        self._owner, self._semaphore = pool, pool.semaphore
        try:
            self._permit = self._semaphore.acquire_at_once()
        except Empty:
            raise Crowded from None

    def say(self, command: Command) -> RedisObject:
        """Send a command and return the reply."""
        connection = self.connection
        if connection is None:
            connection = self.take()
        if connection is None:
            return self._client.execute_command(*command)
        packed = pack(connection, command)
        if type(connection) not in PLAIN or connection._sock is None or connection.health_check_interval:
            connection.send_packed_command(packed)
            return connection.read_response()
        # Skip what redis-py does for other commands: it takes a tenth of a call's time.
        try:
            socket, parser = connection._sock, connection._parser
            for part in packed:
                socket.sendall(part)
            if type(parser) is HiredisParser:
                reader = parser._reader
                reader.feed(socket.recv(_REPLY_BYTES))
                reply = reader.gets()
                if type(reply) is list:
                    return reply
                reply = _whole(parser, reply)
            else:
                reply = parser.read_response()
        except OSError as error:
            failure = TimeoutError if isinstance(error, builtins.TimeoutError) else ConnectionError
            raise failure(str(error)) from error
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    def reconnect(self) -> None:
        """Close the connection. The next use opens it again."""
        if self.connection is not None:
            self.connection.disconnect()

    def release(self) -> None:
        """Return the connection to its pool, and the permit."""
        connection, self.connection, self._client = self.connection, None, None
        if connection is not None:
            give_back(self._pool, connection) if self._is_lent else self._pool.release(connection)
        self._pool = None
        permit, self._permit = self._permit, None
        if permit is not None:
            self._semaphore.release(permit)
        self.is_over = True

    def drop(self) -> None:
        """Close the connection, if one is held, and release: the next caller would read this call's reply."""
        connection, pool, client = self.connection, self._pool, self._client
        self.connection = self._pool = self._client = None
        if connection is not None:
            connection.disconnect()
            if isinstance(pool, Pool):  # The same cause may have broken all connections.
                pool.disconnect(inuse_connections=False)
            pool.release(connection)
        elif pool is not None:
            pool.disconnect(inuse_connections=False)  # redis-py keeps one whose handshake was interrupted.
        elif client is not None:  # The client has already returned its connection, which may have an unread reply.
            own = client.connection
            own.disconnect() if own is not None else client.connection_pool.disconnect(inuse_connections=False)
        self.release()


def _whole(parser: RedisObject, reply: RedisObject) -> RedisObject:
    """Return a reply whose first bytes were incomplete or followed a push message; raise a connection error."""
    push = getattr(parser, "_hiredis_PushNotificationType", None)
    if reply is NOT_ENOUGH_DATA:
        return parser.read_response()
    if push is not None and isinstance(reply, push):
        parser.handle_push_response(reply)
        return parser.read_response()
    if isinstance(reply, ConnectionError):
        raise reply
    return reply


class BackgroundTask(threading.Thread):
    """Work in a daemon thread, which does not keep the process alive."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(name="otpkit-cluster", daemon=True)
        self._work = work
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - The waiting callers raise it.
            self.failure = error


def _open(address: Address) -> RedisObject:
    if address.kind == "memory":
        fakeredis = embedded_library()
        return fakeredis.FakeRedis(server=fakeredis.FakeServer())
    options = timeouts(_no_retries())
    if address.kind == "sentinel":
        # The Sentinels are asked one after the other: together they may take no longer than one server.
        bounds = timeouts(_no_retries(), share=len(address.nodes)) | address.sentinel_options
        sentinels = _sentinel(address.nodes, sentinel_kwargs=bounds)
        for each in sentinels.sentinels:
            each.connection_pool.connection_class = bounded(each.connection_pool.connection_class)
        options |= address.options | {"max_connections": budgets.MAX_CONNECTIONS}
        return sentinels.master_for(address.master, connection_pool_class=SentinelPool, **options)
    return redis.Redis.from_pool(Pool(**(options | address.connection(redis))))


def _no_retries() -> retry.Retry:
    return retry.Retry(NoBackoff(), 0)


def error_of(client: RedisObject, failure: Exception, script: str = "") -> OTPError:
    """Return otpkit's error for a client's error. If Sentinels name no primary, ask them why, unless they time out."""
    if not isinstance(failure, sentinel.MasterNotFoundError) or "Timeout" in str(failure):
        return store_error(failure, script)
    pool: RedisObject = client.connection_pool
    answers: list[bool | BaseException] = []
    for each in pool.sentinel_manager.sentinels:
        try:
            answers.append(pool.service_name in each.sentinel_masters())
        except REDIS_ERRORS as error:
            answers.append(error)
    return unnamed_primary(failure, answers)
