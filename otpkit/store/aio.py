"""Same as `store_sync`, but by the clients of redis.asyncio."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import redis.asyncio as redis
from redis.asyncio import sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004
    MaxConnectionsError,
    MovedError,
    NoScriptError,
    ResponseError,
    TryAgainError,
)

from otpkit.core.config import NO_REPLICAS
from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError, OTPError
from otpkit.store import errors as store
from otpkit.store import url as store_url
from otpkit.store.loops import (
    Binding,
    abandon,
    abandon_all,
    abandon_foreign,
    abandon_idle,
    foreign_client,
    is_foreign,
    leave_to_parent,
)

_sentinel: Any = sentinel.Sentinel  # redis-py does not annotate it

_CONNECTIONS: dict[str, Any] = {"max_connections": store.CONNECTIONS}
_REDIRECTS = 5  # a slot that moves is followed so often within one attempt


class AsyncStore:
    """Same as `SyncStore`, but awaited."""

    def __init__(self, redis_: Any) -> None:
        self._address = store_url.read_url(redis_) if isinstance(redis_, str) else None
        self._embedded = store.fakeredis().FakeServer() if self._address == store_url.Address("memory") else None
        self._client = self._open() if self._address is not None else redis_
        self._is_closed = False  # redis-py raises anything where a connection is closed that is in use
        self._answered = 0.0  # when the store last did, by the monotonic clock
        self._lock = threading.Lock()
        self._bindings: dict[asyncio.AbstractEventLoop, Binding] = {}
        self._latest: Binding | None = None
        if not isinstance(self._client, (redis.Redis, redis.RedisCluster)):
            raise ConfigurationError(
                "redis must be a URL or a client of redis.asyncio.", "Pass one of these; OTP takes the sync client."
            )

    @property
    def clustered(self) -> bool:
        """Whether keys lie on several nodes, so that a script reaches those of one slot alone."""
        return isinstance(self._client, redis.RedisCluster)

    @property
    def confirms(self) -> bool:
        """Whether replicas can be waited for on the connection that wrote."""
        client = self._client
        return self.clustered or (type(client) is redis.Redis and not client.single_connection_client)

    async def run(self, effect: RunScript[object], patience: store.Patience | None = None) -> Any:
        """Run a script and return its reply; raises `StoreUnavailableError`, `ConfigurationError`.

        `patience` is the whole call's; a client that was passed in has timeouts of its own.
        """
        binding = self._latest
        if binding is None or binding.loop is not asyncio.get_running_loop():
            binding = await self._bind()
        if self._address is None:
            patience = None
        elif patience is None:
            patience = store.Patience()
        if patience is not None and not patience.begin():
            raise store.store_error(TimeoutError())
        while True:
            try:
                reply = await self._attempt(binding, effect, patience)
            except store.REDIS_ERRORS as error:
                failure: Exception = error
            except store.UNREADABLE as error:
                failure = store.unreadable(error, is_closed=self._is_closed)
            else:
                now = time.monotonic()
                if patience is not None:
                    patience.end(now, self._answered)
                self._answered = now
                return reply
            pause = None
            if patience is not None and isinstance(failure, store.RETRYABLE):
                pause = patience.pause_s(failure, self._answered)
            if pause is None:
                if patience is not None:
                    patience.end(time.monotonic(), self._answered)
                raise await self._error(binding, failure, effect, patience) from failure
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close what was made from a URL, in whatever loop; a client that was passed in stays open."""
        self._is_closed = True
        if self._address is None:
            return
        with self._lock:
            bindings = list(self._bindings.values())
        for binding in bindings:
            await binding.close()

    async def _bind(self) -> Binding:
        """Return what this store has in the running loop; connections of other loops are not used in it."""
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
            abandon_all(self._bindings.pop(loop).client)

    async def _error(
        self, binding: Binding, failure: Exception, effect: RunScript[object], patience: store.Patience | None
    ) -> OTPError:
        """Return our error for one of Redis's. Sentinels that name no primary are asked why, unless they hang."""
        if not isinstance(failure, sentinel.MasterNotFoundError) or "Timeout" in str(failure):
            return store.store_error(failure, effect.script.text)
        pool: Any = binding.client.connection_pool
        answers: list[Any] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(None if patience is None else patience.until - time.monotonic()):
                for each in pool.sentinel_manager.sentinels:
                    try:
                        answers.append(pool.service_name in (await each.sentinel_masters()))
                    except store.REDIS_ERRORS as error:
                        answers.append(error)
        return store.unnamed_primary(failure, answers)

    def after_fork(self) -> None:
        """Take over no task, no lock and no connection of the parent's."""
        leave_to_parent(self._client, self._bindings)
        self._lock, self._bindings, self._latest = threading.Lock(), {}, None
        self._client = self._client if self._address is None else self._open()

    async def _attempt(self, binding: Binding, effect: RunScript[object], patience: store.Patience | None) -> Any:
        client = binding.client
        if isinstance(client, redis.RedisCluster):
            if patience is None:
                return await client.retry.call_with_retry(
                    lambda: self._on_slot(binding, effect, binding.loop, math.inf), _ignore
                )
            if binding.is_open and patience.until - time.monotonic() >= store.ANSWER_S * 2:
                return await self._on_slot(binding, effect, None, patience.until)
            async with asyncio.timeout(patience.until - time.monotonic()):
                return await self._on_slot(binding, effect, None, patience.until)
        if type(client) is not redis.Redis or client.single_connection_client:
            return await _execute(client, effect, binding.loop)
        if patience is None:
            return await _in_pool(client.connection_pool, effect, binding.loop)
        await self._take_turn(binding.turns, patience)
        try:
            pool: Any = client.connection_pool
            idle = pool._available_connections
            if idle and idle[-1].is_connected and patience.until - time.monotonic() >= store.ANSWER_S * 2:
                return await _in_pool(pool, effect, None)  # redis-py's own timeouts do, and cost less.
            async with asyncio.timeout(patience.until - time.monotonic()):
                return await _in_pool(pool, effect, None)
        finally:
            binding.turns.release()

    async def _take_turn(self, turns: asyncio.Semaphore, patience: store.Patience) -> None:
        """Same as `SyncStore._take_turn`: first come, first served, which redis-py's pools are not."""
        if not turns.locked():
            await turns.acquire()
            return
        while (left := patience.turn_s(self._answered)) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await turns.acquire()
                patience.turn_s(self._answered)
                return
        raise MaxConnectionsError("all connections are in use")

    async def _on_slot(
        self, binding: Binding, effect: RunScript[object], loop: asyncio.AbstractEventLoop | None, until: float
    ) -> Any:
        client: Any = binding.client
        if not binding.is_open:
            await _once(binding, client.initialize)
            binding.is_open = True
        node: Any = None
        asked: Any = None
        for _ in range(_REDIRECTS):
            try:
                node = asked or client.get_node_from_key(effect.keys[0])
                return await _on_node(node, effect, loop, until, asking=node is asked)
            except MovedError as moved:
                await client.nodes_manager.move_slot(moved)
                asked = None
            except AskError as ask:
                asked = client.get_node(host=ask.host, port=ask.port)
                if asked is None:
                    await _refresh(binding)
                    raise ClusterDownError("a slot moves to an unknown node") from None
            except MaxConnectionsError:
                raise
            except store.STALE:
                await _refresh(binding, node and node.name)
                raise
        raise TryAgainError("too many redirections")

    def _open(self) -> Any:
        address: Any = self._address
        if address.kind == "memory":
            return store.fakeredis().FakeAsyncRedis(server=self._embedded)
        return _open(address)


async def _refresh(binding: Binding, failed: str | None = None) -> None:
    """Learn anew who serves which slot, from another node than one that failed; what can't be learnt now stays."""
    with suppress(*store.REDIS_ERRORS):
        await _once(binding, lambda: binding.client.nodes_manager.initialize(last_failed_node_name=failed))


async def _once(binding: Binding, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Do work that hung nodes may prolong: once for all callers, of whom none waits longer than for an answer."""
    errand = binding.errand
    if errand is None or errand.done():
        errand = binding.errand = asyncio.create_task(work())
    done, _ = await asyncio.wait({errand}, timeout=store.ANSWER_S)
    if not done:
        raise ConnectionError("The cluster's nodes did not answer in time.")
    errand.result()


async def _in_pool(pool: Any, effect: RunScript[object], loop: asyncio.AbstractEventLoop | None) -> Any:
    """Run a script on a connection of a pool. `loop` is set where the pool may hold connections of other loops."""
    connection: Any = None
    is_clean = False
    try:
        if loop is None:  # Made from a URL, without redis-py's retries.
            connection = await pool.get_connection()
            reply = await _ask(connection, effect)
        else:
            connection = await _of_loop(pool, loop)
            reply = await connection.retry.call_with_retry(
                lambda: _ask(connection, effect), lambda error: connection.disconnect()
            )
        is_clean = True
        return reply
    except store.REDIS_ERRORS as error:
        is_clean = connection is None or store.is_answer(error)
        raise
    finally:
        if connection is None:
            if not is_clean:
                abandon_idle(pool)  # redis-py keeps one whose handshake was interrupted.
        else:
            if not is_clean:
                abandon(connection)  # The next caller would read this one's reply.
            await pool.release(connection)


async def _of_loop(pool: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """Return a connection of this loop; raises `ConfigurationError` where the pool can't give one."""
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


async def _on_node(
    node: Any, effect: RunScript[object], loop: asyncio.AbstractEventLoop | None, until: float, *, asking: bool
) -> Any:
    connection = node.acquire_connection()
    is_clean = False
    try:
        if loop is not None and is_foreign(connection, loop):
            abandon(connection)
        await node.disconnect_if_needed(connection)
        if not connection.is_connected and until != math.inf:
            async with asyncio.timeout(until - time.monotonic()):
                await connection.connect()
        if asking:
            await connection.send_command("ASKING")
            await connection.read_response()
        reply = await _ask(connection, effect)
        is_clean = True
        return reply
    except store.REDIS_ERRORS as error:
        is_clean = store.is_answer(error)
        raise
    finally:
        if not is_clean:
            abandon(connection)
        node.release(connection)


def _open(address: store_url.Address) -> Any:
    options = _timeouts() | address.options
    if address.kind == "sentinel":
        # They are asked one after the other: together they take no longer than one server.
        bounds = _timeouts(share=len(address.nodes)) | address.sentinel_options
        sentinels = _sentinel(address.nodes, sentinel_kwargs=bounds)
        return sentinels.master_for(address.master, **options, **_CONNECTIONS)
    if address.kind == "cluster":
        nodes = [ClusterNode(*node) for node in address.nodes]
        return redis.RedisCluster(startup_nodes=nodes, **options, **_CONNECTIONS)
    pool: Any = redis.ConnectionPool(**(_timeouts() | address.connection(redis)), **_CONNECTIONS)
    return redis.Redis.from_pool(pool)


def _timeouts(share: int = 1) -> dict[str, Any]:
    # The store itself tries again, within a bound; redis-py's retries would multiply with its.
    return {
        "socket_connect_timeout": store.CONNECT_S / share,
        "socket_timeout": store.ANSWER_S / share,
        "retry": Retry(NoBackoff(), 0),
    }


async def _ask(connection: Any, effect: RunScript[object]) -> Any:
    """Run a script on one connection, by its SHA and, where the server does not know it, by its text."""
    script, keys, args = effect.script, effect.keys, effect.args
    try:
        await connection.send_packed_command(store.packed(connection, effect))
        reply = await connection.read_response()
    except NoScriptError:
        await connection.send_command("EVAL", script.text, len(keys), *keys, *args)
        reply = await connection.read_response()
    try:
        value, is_known = effect.read(reply), True
    except store.UNFIT:
        is_known = False
    if not is_known:  # Raised outside the except block: the reply stands in the context of what was raised there.
        raise store.UnknownReply
    if effect.replicas:
        # WAIT counts what this very connection wrote; on another one it would mean nothing.
        await connection.send_command("WAIT", effect.replicas, store.WAIT_MS)
        store.require_confirmed(await connection.read_response(), effect.replicas)
    return value


async def _execute(client: Any, effect: RunScript[object], loop: asyncio.AbstractEventLoop) -> Any:
    """Run a script on a client that is not redis-py's own plain one: an embedded store, a subclass."""
    script, keys, args = effect.script, effect.keys, effect.args
    if client.connection is not None and is_foreign(client.connection, loop):
        abandon(client.connection)
    abandon_foreign(client.connection_pool, loop)
    is_clean = False
    try:
        try:
            reply = await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:
            reply = await client.execute_command("EVAL", script.text, len(keys), *keys, *args)
        with suppress(*store.UNFIT):
            value, is_clean = effect.read(reply), True
    except ResponseError:
        is_clean = True
        raise
    finally:
        if not is_clean:  # The client has given its connection back, maybe with a reply to come.
            abandon(client.connection) if client.connection is not None else abandon_idle(client.connection_pool)
    if not is_clean:
        raise store.UnknownReply
    if effect.replicas:
        raise ConfigurationError(*NO_REPLICAS)
    return value


async def _ignore(_error: Exception) -> None:
    """Do nothing between a borrowed client's attempts: what had to be done is done."""
