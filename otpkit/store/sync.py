"""The sync driver: it performs what `protocol.ask` yields, by redis-py's sync clients."""

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

_REPLY_BYTES = 1024  # No script's reply is longer; the rest of one that is would be read after it.

_of_parent: list[object] = []  # A child keeps what it inherited: dropping it would wait for the parent's locks.


class SyncStore(Store):
    """Runs scripts on what a URL or a client leads to. It connects with the first script, not before."""

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
        if client is None or isinstance(client, redis.RedisCluster):
            super().__init__("cluster", is_borrowed=self._address is None)
        else:
            is_plain = type(client) is redis.Redis and client.connection is None
            super().__init__("pool" if is_plain else "client", is_borrowed=self._address is None)

    @property
    def client(self) -> RedisObject:
        """The redis-py client; that of a cluster's URL is connected first."""
        if self._client is None:
            self._in_background(self._connect_cluster)
        return self._client

    def run(self, effect: RunScript[T], budget: RetryBudget | None = None) -> T:
        """Run a script and return its reply; raises `StoreUnavailableError`, `ConfigurationError`.

        `budget` is the whole call's; a client that was passed in has timeouts of its own.
        """
        if self.is_borrowed:
            budget = None
        elif budget is None:
            budget = RetryBudget()
        lease = _Lease(self, budget)
        try:
            return self._drive(ask(effect, self, budget), lease)
        finally:
            BOUND.until = math.inf  # What else this thread asks of Redis has no bound of ours.
            if not lease.is_over:
                lease.drop()

    def close(self) -> None:
        """Close what was made from a URL; a client that was passed in stays open."""
        self.is_closed = True
        if self._address is not None and self._client is not None:
            self._client.close()
            if self._address.kind == "sentinel":
                for each in self._client.connection_pool.sentinel_manager.sentinels:
                    each.close()

    def after_fork(self) -> None:
        """Take over no lock and no thread of the parent's: they may be held, and stand still, for ever."""
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
                    # The usual steps come first, and without a frame between.
                    if type(step) is tuple:
                        result = lease.say(step)
                    elif type(step) is Locate:
                        result = lease.node = self._client.get_node_from_key(step.key)
                    elif step is OPEN and self._client is not None:
                        result = None
                    else:
                        result = self._perform(step, lease)
                except Exception as error:  # noqa: BLE001 - the generator decides what it means
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
        if self._client is None:  # A cluster's client connects when it is made: once is enough.
            address: RedisObject = self._address
            nodes = [_node(*node) for node in address.nodes]
            options = timeouts(_no_retries()) | address.options
            self._client = redis.RedisCluster(startup_nodes=nodes, max_connections=budgets.MAX_CONNECTIONS, **options)

    def _in_background(self, work: Callable[[], object]) -> None:
        """Do work that hung nodes may prolong: once for all callers, of whom none waits longer than for an answer."""
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
    """What one call holds: a connection of a pool, or a whole client, and the permit to use one."""

    # Defaults of the class, since setting nine attributes is felt in each call.
    is_over = True
    node: RedisObject = None
    connection: RedisObject = None
    _client: RedisObject = None
    _pool: RedisObject = None
    _owner: RedisObject = None  # the pool that the permit is of
    _semaphore: RedisObject = None
    _permit: Permit | None = None
    _is_lent = False  # by `take_idle`

    def __init__(self, store: SyncStore, budget: RetryBudget | None) -> None:
        self._store = store
        self._budget = budget

    def bound(self) -> None:
        """Have this thread wait no longer than the budget allows."""
        BOUND.until = math.inf if self._budget is None else self._budget.until

    def enter(self, seconds: float) -> bool:
        """Take a permit for the pool that had none; return whether one was free within so many seconds."""
        self.is_over = False
        self._semaphore = self._owner.semaphore
        try:
            self._permit = self._semaphore.acquire(timeout=seconds)
        except Empty:
            return False
        return True

    def take(self) -> RedisObject:
        """Take a connection and return it; None where the client hides them."""
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
                pool._checkpid()  # redis-py then has it reset.
            if self._permit is None or self._owner is not pool:
                self._exchange_permit(pool)
            self._pool = pool  # An interrupt may leave a connection in it that is half made.
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
        """Take a permit for a pool, in place of one for another node that had the slot; raises `Crowded`."""
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
        # Without what redis-py does for other commands: a tenth of a call's time.
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
        """Break the connection, which is made again when it is used."""
        if self.connection is not None:
            self.connection.disconnect()

    def release(self) -> None:
        """Give all back."""
        connection, self.connection, self._client = self.connection, None, None
        if connection is not None:
            give_back(self._pool, connection) if self._is_lent else self._pool.release(connection)
        self._pool = None
        permit, self._permit = self._permit, None
        if permit is not None:
            self._semaphore.release(permit)
        self.is_over = True

    def drop(self) -> None:
        """Break the connection, where one is held, and give all back: the next caller would read this call's reply."""
        connection, pool, client = self.connection, self._pool, self._client
        self.connection = self._pool = self._client = None
        if connection is not None:
            connection.disconnect()
            if isinstance(pool, Pool):  # What broke one may have broken all.
                pool.disconnect(inuse_connections=False)
            pool.release(connection)
        elif pool is not None:
            pool.disconnect(inuse_connections=False)  # redis-py keeps one whose handshake was interrupted.
        elif client is not None:  # It has given its connection back, maybe with a reply to come.
            own = client.connection
            own.disconnect() if own is not None else client.connection_pool.disconnect(inuse_connections=False)
        self.release()


def _whole(parser: RedisObject, reply: RedisObject) -> RedisObject:
    """Return the reply that a first look at what came has not found whole, or behind a push; raises its errors."""
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
    """Work on a thread of its own, which does not keep the process alive."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(name="otpkit-cluster", daemon=True)
        self._work = work
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - for those who wait
            self.failure = error


def _open(address: Address) -> RedisObject:
    if address.kind == "memory":
        fakeredis = embedded_library()
        return fakeredis.FakeRedis(server=fakeredis.FakeServer())
    options = timeouts(_no_retries())
    if address.kind == "sentinel":
        # They are asked one after the other: together they take no longer than one server.
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
    """Return our error for one of a sync client's. Sentinels that name no primary are asked why, unless they hang."""
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
