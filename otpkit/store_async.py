"""Same as `store_sync`, but by the clients of redis.asyncio."""

from __future__ import annotations

import asyncio
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
    ReadOnlyError,
    TryAgainError,
)

from otpkit import store, store_url
from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError, OTPError

_sentinel: Any = sentinel.Sentinel  # redis-py does not annotate it

_CONNECTIONS: dict[str, Any] = {"max_connections": store.CONNECTIONS}
# A child keeps what it inherited: closing a socket would take it from the parent's event loop, which they share.
_of_parent: list[Any] = []
_REDIRECTS = 5  # a slot that moves is followed so often within one attempt


class AsyncStore:
    """Same as `SyncStore`, but awaited."""

    def __init__(self, redis_: Any) -> None:
        self._address = store_url.read_url(redis_) if isinstance(redis_, str) else None
        self._client = _open(self._address) if self._address is not None else redis_
        self._is_closed = False  # redis-py raises anything where a connection is closed that is in use
        self._answered = 0.0  # when the store last did, by the monotonic clock
        self._turns = asyncio.Semaphore(store.CONNECTIONS)
        self._errand: asyncio.Task[Any] | None = None
        self._is_open = False  # a cluster's nodes are known
        if not isinstance(self._client, (redis.Redis, redis.RedisCluster)):
            raise ConfigurationError("redis must be a URL or a client of redis.asyncio; OTP takes the sync one.")

    @property
    def clustered(self) -> bool:
        """Whether keys lie on several nodes, so that a script reaches those of one slot alone."""
        return isinstance(self._client, redis.RedisCluster)

    @property
    def confirms(self) -> bool:
        """Whether replicas can be waited for on the connection that wrote."""
        client = self._client
        return self.clustered or (type(client) is redis.Redis and not client.single_connection_client)

    async def run(self, effect: RunScript) -> Any:
        """Run a script and return its reply; raises `StoreUnavailableError`, `ConfigurationError`."""
        patience = store.Patience() if self._address is not None else None
        while True:
            try:
                reply = await self._attempt(effect, patience)
            except store.REDIS_ERRORS as error:
                failure = error
            except (AttributeError, TypeError, ValueError) as error:
                if not self._is_closed:
                    raise
                failure = ConnectionError(f"closed under a call ({type(error).__name__})")
            else:
                self._answered = time.monotonic()
                return reply
            pause = None
            if patience is not None and isinstance(failure, store.RETRYABLE):
                pause = patience.pause_s(failure, self._answered)
            if pause is None:
                raise await self._error(failure, effect) from failure
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close what was made from a URL; a client that was passed in stays open."""
        self._is_closed = True
        if self._errand is not None:
            self._errand.cancel()
            await asyncio.wait({self._errand})
        if self._address is not None:
            await self._client.aclose()
            if self._address.kind == "sentinel":
                for each in self._client.connection_pool.sentinel_manager.sentinels:
                    await each.aclose()

    async def _error(self, failure: Exception, effect: RunScript) -> OTPError:
        """Return our error for one of Redis's. Sentinels that name no primary are asked why, unless they hang."""
        if not isinstance(failure, sentinel.MasterNotFoundError) or "Timeout" in str(failure):
            return store.store_error(failure, effect.script.text)
        pool: Any = self._client.connection_pool
        answers: list[Any] = []
        for each in pool.sentinel_manager.sentinels:
            try:
                answers.append(pool.service_name in (await each.sentinel_masters()))
            except store.REDIS_ERRORS as error:
                answers.append(error)
        return store.unnamed_primary(failure, answers)

    def after_fork(self) -> None:
        """Take over no task and no connection of the parent's."""
        _of_parent.append((self._client, self._errand))
        self._turns, self._errand, self._is_open = asyncio.Semaphore(store.CONNECTIONS), None, False
        if self._address is None:
            _forget_connections(self._client)
        elif self._address.kind != "memory":
            self._client = _open(self._address)

    async def _attempt(self, effect: RunScript, patience: store.Patience | None) -> Any:
        client = self._client
        if isinstance(client, redis.RedisCluster):
            if self._address is not None:
                return await self._on_slot(client, effect)
            return await client.retry.call_with_retry(lambda: self._on_slot(client, effect), _ignore)
        if type(client) is not redis.Redis or client.single_connection_client:
            return await _execute(client, effect)
        if patience is None:
            return await _in_pool(client.connection_pool, effect)
        await self._take_turn(patience)
        try:
            return await _in_pool(client.connection_pool, effect)
        finally:
            self._turns.release()

    async def _take_turn(self, patience: store.Patience) -> None:
        """Same as `SyncStore._take_turn`: first come, first served, which redis-py's pools are not."""
        if not self._turns.locked():
            await self._turns.acquire()
            return
        while (left := patience.turn_s(self._answered)) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._turns.acquire()
                patience.turn_s(self._answered)
                return
        raise MaxConnectionsError("all connections are in use")

    async def _on_slot(self, client: Any, effect: RunScript) -> Any:
        if not self._is_open:
            await self._once(client.initialize)
            self._is_open = True
        node = asked = None
        for _ in range(_REDIRECTS):
            try:
                node = asked or client.get_node_from_key(effect.keys[0])
                return await _on_node(node, effect, asking=node is asked)
            except MovedError as moved:
                await client.nodes_manager.move_slot(moved)
                asked = None
            except AskError as ask:
                asked = client.get_node(host=ask.host, port=ask.port)
                if asked is None:
                    await self._refresh(client)
                    raise ClusterDownError("a slot moves to an unknown node") from None
            except MaxConnectionsError:
                raise
            except store.STALE:
                await self._refresh(client, node and node.name)
                raise
        raise TryAgainError("too many redirections")

    async def _refresh(self, client: Any, failed: str | None = None) -> None:
        """Learn anew who serves which slot, from another node than one that failed; what can't be learnt now stays."""
        with suppress(*store.REDIS_ERRORS):
            await self._once(lambda: client.nodes_manager.initialize(last_failed_node_name=failed))

    async def _once(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Do work that hung nodes may prolong: once for all callers, of whom none waits longer than for an answer."""
        errand = self._errand
        if errand is None or errand.done():
            errand = self._errand = asyncio.create_task(work())
        done, _ = await asyncio.wait({errand}, timeout=store.ANSWER_S)
        if not done:
            raise ConnectionError("The cluster's nodes did not answer in time.")
        errand.result()


async def _in_pool(pool: Any, effect: RunScript) -> Any:
    connection: Any = await pool.get_connection()
    try:
        return await connection.retry.call_with_retry(
            lambda: _ask(connection, effect), lambda error: connection.disconnect()
        )
    except ReadOnlyError:
        await connection.disconnect()  # the primary may be found under the same name
        raise
    finally:
        await pool.release(connection)


async def _on_node(node: Any, effect: RunScript, *, asking: bool) -> Any:
    connection = node.acquire_connection()
    try:
        await node.disconnect_if_needed(connection)
        if asking:
            await connection.send_command("ASKING")
            await connection.read_response()
        return await _ask(connection, effect)
    except store.RETRYABLE:
        await connection.disconnect()
        raise
    finally:
        node.release(connection)


def _open(address: store_url.Address) -> Any:
    options = _timeouts() | address.options
    if address.kind == "memory":
        fakeredis = store.fakeredis()
        return fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
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


async def _ask(connection: Any, effect: RunScript) -> Any:
    """Run a script on one connection, by its SHA and, where the server does not know it, by its text."""
    script, keys, args = effect.script, effect.keys, effect.args
    try:
        await connection.send_command("EVALSHA", script.sha, len(keys), *keys, *args)
        reply = await connection.read_response()
    except NoScriptError:
        await connection.send_command("EVAL", script.text, len(keys), *keys, *args)
        reply = await connection.read_response()
    if effect.replicas:
        # WAIT counts what this very connection wrote; on another one it would mean nothing.
        await connection.send_command("WAIT", effect.replicas, store.WAIT_MS)
        store.require_confirmed(await connection.read_response(), effect.replicas)
    return reply


async def _execute(client: Any, effect: RunScript) -> Any:
    """Run a script on a client that is not redis-py's own plain one: an embedded store, a subclass."""
    script, keys, args = effect.script, effect.keys, effect.args
    try:
        reply = await client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
    except NoScriptError:
        reply = await client.execute_command("EVAL", script.text, len(keys), *keys, *args)
    if effect.replicas:
        raise ConfigurationError(store.NO_REPLICAS)
    return reply


def _forget_connections(client: Any) -> None:
    """Have a client that was passed in connect anew."""
    if isinstance(client, redis.RedisCluster):
        for node in {*client.nodes_manager.nodes_cache.values(), *client.nodes_manager.startup_nodes.values()}:
            _of_parent.append((node._connections, list(node._free)))
            node._connections = []
            node._free.clear()
        return
    pool = client.connection_pool
    _of_parent.append((pool._available_connections, list(pool._in_use_connections)))
    pool.reset()


async def _ignore(_error: Exception) -> None:
    """Do nothing between a borrowed client's attempts: what had to be done is done."""
