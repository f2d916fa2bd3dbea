"""The async driver: perform the steps of `protocol.ask` with the clients of redis.asyncio."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

import redis.asyncio as redis
from redis.asyncio import retry, sentinel
from redis.asyncio.cluster import ClusterNode
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError  # noqa: A004

from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError, OTPError
from otpkit.store import retry as budgets
from otpkit.store.binding import Binding
from otpkit.store.endpoint import SharedLease
from otpkit.store.errors import REDIS_ERRORS, store_error, unnamed_primary
from otpkit.store.library import Options, RedisObject, embedded_library
from otpkit.store.loops import (
    abandon,
    abandon_all,
    abandon_foreign,
    abandon_idle,
    foreign_client,
    is_foreign,
    leave_to_parent,
)
from otpkit.store.multiplexed import IS_POSSIBLE
from otpkit.store.protocol import (
    DISCARD,
    OPEN,
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
from otpkit.store.tls import close_at_once
from otpkit.store.url import Address, read_url

T = TypeVar("T")

_sentinel: RedisObject = sentinel.Sentinel  # redis-py does not annotate it.


class AsyncStore(Store):
    """A store of async calls, with one client for each event loop."""

    def __init__(self, redis_: RedisObject) -> None:
        self._address = read_url(redis_) if isinstance(redis_, str) else None
        self._embedded = embedded_library().FakeServer() if self._address == Address("memory") else None
        self._client = self._open() if self._address is not None else redis_
        self._lock = threading.Lock()
        self._bindings: dict[asyncio.AbstractEventLoop, Binding] = {}
        self._latest: Binding | None = None
        self._shares = self._address is not None and self._embedded is None and IS_POSSIBLE
        client: RedisObject = self._client
        if not isinstance(client, (redis.Redis, redis.RedisCluster)):
            raise ConfigurationError(
                "redis must be a URL or a client of redis.asyncio.", "Pass one of these; OTP takes the sync client."
            )
        server = None if self._address is None else self._address.server
        if isinstance(client, redis.RedisCluster):
            super().__init__("cluster", is_borrowed=self._address is None, server=server)
        else:
            is_plain = type(client) is redis.Redis and not client.single_connection_client
            super().__init__("pool" if is_plain else "client", is_borrowed=self._address is None, server=server)

    @property
    def client(self) -> RedisObject:
        """The redis-py client of the event loop that last used this store."""
        return self._client

    async def run(self, effect: RunScript[T], budget: RetryBudget | None = None) -> T:
        """Run a script and return its parsed reply.

        Args:
            effect: the script with its keys and arguments.
            budget: the time budget of the whole call; None makes a new one. A borrowed client has its own timeouts.

        Raises:
            StoreUnavailableError: Redis did not answer, or refused for now.
            ConfigurationError: Redis refused for a reason that a retry can't remove.
        """
        binding = self._latest
        if binding is None or binding.loop is not asyncio.get_running_loop():
            binding = await self._bind()
        if self.is_borrowed:
            budget = None
        elif budget is None:
            budget = RetryBudget()
        lease: _Lease | SharedLease
        if self._shares and budget is not None and not effect.replicas:  # WAIT would block the other callers.
            lease = SharedLease(binding.endpoint, budget)
        else:
            lease = _Lease(self, binding, budget)
        try:
            return await self._drive(ask(effect, self, budget), binding, lease)
        finally:
            if not lease.is_over:
                await lease.drop()

    async def close(self) -> None:
        """Close the clients that were made from a URL, in every loop. A client that was passed in stays open."""
        self.is_closed = True
        if self._address is None:
            return
        with self._lock:
            bindings = list(self._bindings.values())
        for binding in bindings:
            await binding.close()

    def share_memory(self, earlier: AsyncStore) -> None:
        """Use the data of an earlier store, if both are `memory://`. No call may have been made yet."""
        if self._embedded is not None and earlier._embedded is not None:
            self._embedded = earlier._embedded
            self._client = self._open()

    def after_fork(self) -> None:
        """Replace the tasks, locks and connections inherited from the parent."""
        leave_to_parent(self._client, self._bindings)
        self._lock, self._bindings, self._latest = threading.Lock(), {}, None
        self._client = self._client if self._address is None else self._open()

    async def _bind(self) -> Binding:
        """Return the binding of the running loop. Connections of other loops are not used in it."""
        loop = asyncio.get_running_loop()
        with self._lock:
            binding = self._bindings.get(loop)
            if self._address is None:
                latest = self._latest
                if latest is not None and latest.loop is not loop and not latest.loop.is_closed():
                    raise foreign_client()
                abandon_all(self._client, but=loop)
                self._bindings.clear()
                binding = self._bindings[loop] = Binding(loop, self._client)
            elif binding is None:
                self._forget_closed()
                if self._latest is not None:
                    self._client = self._open()
                binding = self._bindings[loop] = Binding(loop, self._client)
            self._latest, self._client = binding, binding.client
        if self._address is not None and binding.keeper is None:
            await binding.keep()
        return binding

    def _forget_closed(self) -> None:
        for loop in [loop for loop in self._bindings if loop.is_closed()]:
            self._bindings.pop(loop).abandon()

    def _open(self) -> RedisObject:
        address: RedisObject = self._address
        if address.kind == "memory":
            return embedded_library().FakeAsyncRedis(server=self._embedded)
        return close_at_once(_open(address))

    async def _drive(self, steps: Steps[T], binding: Binding, lease: _Lease | SharedLease) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    result = await (lease.say(step) if type(step) is tuple else self._perform(step, binding, lease))
                except Exception as error:  # noqa: BLE001 - The generator decides what the error means.
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            if not lease.is_over:
                await lease.release()
            value: T = stop.value
            return value

    async def _perform(self, step: Step, binding: Binding, lease: _Lease | SharedLease) -> object:
        client = binding.client
        match step:
            case Signal():
                await self._signal(step, binding, lease)
            case Queue(seconds):
                return await lease.enter(seconds)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Locate(key):
                lease.node = client.get_node_from_key(key)
            case Find(host, port):
                lease.node = client.get_node(host=host, port=port)
                return lease.node is not None
            case Follow(moved):
                await client.nodes_manager.move_slot(moved)
            case Retry(attempt, failure):
                retries = client if self.shape == "cluster" else lease.connection
                if retries is None or isinstance(lease, SharedLease):
                    raise failure
                return await retries.retry.call_with_retry(
                    lambda: self._drive(attempt(), binding, lease), lambda _: lease.reconnect()
                )
            case Explain(failure, script):
                return await _error_of(client, failure, script, lease.until)
        return None

    async def _signal(self, signal: Signal, binding: Binding, lease: _Lease | SharedLease) -> None:
        client, failed = binding.client, lease.node and lease.node.name
        if signal is RELEASE:
            await lease.release()
        elif signal is DISCARD:
            await lease.drop()
        elif signal is OPEN:
            if not binding.is_open:
                await _in_background(binding, client.initialize)
                binding.is_open = True
        else:
            with suppress(*REDIS_ERRORS):
                await _in_background(binding, lambda: client.nodes_manager.initialize(last_failed_node_name=failed))


async def _in_background(binding: Binding, work: Callable[[], Coroutine[None, None, object]]) -> None:
    """Do work that hanging nodes may prolong: once for all callers. None waits longer than `ANSWER_S`."""
    task = binding.background
    if task is None or task.done():
        task = binding.background = asyncio.create_task(work())
    done, _ = await asyncio.wait({task}, timeout=budgets.ANSWER_S)
    if not done:
        raise ConnectionError("The cluster's nodes did not answer in time.")
    task.result()


class _Lease:
    """The resources of one call: a connection of a pool or node, or a whole client, and the permit to use it."""

    __slots__ = (
        "_budget",
        "_client",
        "_has_permit",
        "_owner",
        "_pool",
        "_store",
        "binding",
        "connection",
        "is_over",
        "node",
    )

    def __init__(self, store: Store, binding: Binding, budget: RetryBudget | None) -> None:
        self._store = store
        self.binding = binding
        self._budget = budget
        self.is_over = True
        self.node: RedisObject = None
        self._client: RedisObject = None
        self._pool: RedisObject = None
        self._owner: RedisObject = None
        self.connection: RedisObject = None
        self._has_permit = False

    @property
    def until(self) -> float:
        """The deadline of the current script, by the monotonic clock."""
        return math.inf if self._budget is None else self._budget.until

    async def enter(self, seconds: float) -> bool:
        """Take a permit; return whether one came free within `seconds`."""
        self.is_over = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                self._has_permit = await self.binding.connections.acquire()
        return self._has_permit

    async def take(self) -> RedisObject:
        """Take a connection and return it, or None if the client hides its connections."""
        self.is_over = False
        store, client = self._store, self.binding.client
        if store.shape == "cluster":
            await self._take_of_node(self.node)
        elif store.shape == "client":
            self._client = client
            if client.connection is not None and is_foreign(client.connection, self.binding.loop):
                abandon(client.connection)
            abandon_foreign(client.connection_pool, self.binding.loop)
        elif store.is_borrowed:
            await self._take_of_pool(_of_loop(client.connection_pool, self.binding.loop))
        else:
            if not self._has_permit:
                if self.binding.connections.locked():
                    raise Crowded
                self._has_permit = await self.binding.connections.acquire()
            pool = client.connection_pool
            idle = pool._available_connections
            is_quick = bool(idle) and idle[-1].is_connected
            await self._within(self._take_of_pool(pool.get_connection()), is_quick=is_quick)
        return self.connection

    async def _take_of_pool(self, connection: Awaitable[RedisObject]) -> None:
        self._pool = self.binding.client.connection_pool
        try:
            self.connection = await connection
        except REDIS_ERRORS:
            self._pool = None
            raise

    async def _take_of_node(self, node: RedisObject) -> None:
        self._owner, self.connection = node, node.acquire_connection()
        if self._store.is_borrowed and is_foreign(self.connection, self.binding.loop):
            abandon(self.connection)
        await node.disconnect_if_needed(self.connection)
        if not self._store.is_borrowed and not self.connection.is_connected:
            await self._within(self.connection.connect(), is_quick=False)

    async def say(self, command: Command) -> RedisObject:
        """Send a command and return the reply."""
        connection = self.connection
        if connection is None:
            connection = await self.take()
        if connection is None:
            return await self._client.execute_command(*command)
        return await self._within(_exchange(connection, command))

    async def reconnect(self) -> None:
        """Close the connection. The next use opens it again."""
        if self.connection is not None:
            await self.connection.disconnect()

    async def release(self) -> None:
        """Return the connection to its pool or node, and the permit."""
        connection, pool, owner = self.connection, self._pool, self._owner
        self.connection = self._pool = self._owner = self._client = None
        try:
            if connection is not None:
                await pool.release(connection) if owner is None else owner.release(connection)
        finally:
            if self._has_permit:
                self._has_permit = False
                self.binding.connections.release()
            self.is_over = True

    async def drop(self) -> None:
        """Close the connection, if one is held, and release: the next caller would read this call's reply."""
        client = self._client
        if self.connection is not None:
            abandon(self.connection)
        elif self._pool is not None:
            abandon_idle(self._pool)  # redis-py keeps one whose handshake was interrupted.
        elif client is not None:  # The client has already returned its connection, which may have an unread reply.
            abandon(client.connection) if client.connection is not None else abandon_idle(client.connection_pool)
        await self.release()

    async def _within(self, work: Awaitable[T], *, is_quick: bool = True) -> T:
        """Await work within the budget. Quick work gets no timer: redis-py's own timeouts suffice and cost less."""
        left = self.until - time.monotonic()
        if left == math.inf or (is_quick and left >= budgets.ANSWER_S * 2):
            return await work
        async with asyncio.timeout(left):
            return await work


async def _exchange(connection: RedisObject, command: Command) -> RedisObject:
    await connection.send_packed_command(pack(connection, command))
    return await connection.read_response()


async def _of_loop(pool: RedisObject, loop: asyncio.AbstractEventLoop) -> RedisObject:
    """Return a connection of this loop; raise `ConfigurationError` if the pool can't provide one."""
    abandon_foreign(pool, loop)
    is_refused = False
    try:
        connection = await pool.get_connection()
    except RuntimeError:
        is_refused = True
    if is_refused:
        raise foreign_client()
    if is_foreign(connection, loop):
        abandon(connection)
        await connection.connect()
    return connection


def _open(address: Address) -> RedisObject:
    options: Options = timeouts(_no_retries()) | {"max_connections": budgets.MAX_CONNECTIONS}
    if address.kind == "sentinel":
        # The Sentinels are asked one after the other: together they may take no longer than one server.
        bounds = timeouts(_no_retries(), share=len(address.nodes)) | address.sentinel_options
        return _sentinel(address.nodes, sentinel_kwargs=bounds).master_for(address.master, **options | address.options)
    if address.kind == "cluster":
        nodes = [ClusterNode(*node) for node in address.nodes]
        return redis.RedisCluster(startup_nodes=nodes, **options | address.options)
    return redis.Redis.from_pool(redis.ConnectionPool(**options | address.connection(redis)))


def _no_retries() -> retry.Retry:
    return retry.Retry(NoBackoff(), 0)


async def _error_of(client: RedisObject, failure: Exception, script: str, until: float) -> OTPError:
    """Return otpkit's error for a Redis error. If Sentinels name no primary, ask them why, unless they time out."""
    if not isinstance(failure, sentinel.MasterNotFoundError) or "Timeout" in str(failure):
        return store_error(failure, script)
    pool: RedisObject = client.connection_pool
    answers: list[bool | BaseException] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(None if until == math.inf else until - time.monotonic()):
            for each in pool.sentinel_manager.sentinels:
                try:
                    answers.append(pool.service_name in (await each.sentinel_masters()))
                except REDIS_ERRORS as error:
                    answers.append(error)
    return unnamed_primary(failure, answers)
