"""Same as `store_sync`, but by the clients of redis.asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio as redis
from redis.asyncio import sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterError, MovedError, NoScriptError, ReadOnlyError

from otpkit import store
from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError

_sentinel: Any = sentinel.Sentinel  # redis-py does not annotate it

_REDIRECTS = 5  # a slot that moves is followed so often within one attempt


class AsyncStore:
    """Same as `SyncStore`, but awaited."""

    def __init__(self, redis_: Any) -> None:
        self._address = store.read_url(redis_) if isinstance(redis_, str) else None
        self._client = _open(self._address) if self._address is not None else redis_
        if not isinstance(self._client, (redis.Redis, redis.RedisCluster)):
            raise ConfigurationError("redis must be a URL or a client of redis.asyncio; OTP takes the sync one.")

    @property
    def clustered(self) -> bool:
        """Whether keys lie on several nodes, so that a script reaches those of one slot alone."""
        return isinstance(self._client, redis.RedisCluster)

    async def run(self, effect: RunScript) -> Any:
        """Run a script and return its reply; raises `StoreUnavailableError`, `ConfigurationError`."""
        patience = store.Patience() if self._address is not None else None
        while True:
            try:
                return await self._attempt(effect)
            except store.REDIS_ERRORS as error:
                failure = error
            pause = None
            if patience is not None and isinstance(failure, store.RETRYABLE):
                pause = patience.pause(failure)
            if pause is None:
                raise store.store_error(failure) from failure
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close what was made from a URL; a client that was passed in stays open."""
        if self._address is not None:
            await self._client.aclose()

    async def _attempt(self, effect: RunScript) -> Any:
        client = self._client
        if isinstance(client, redis.RedisCluster):
            if self._address is not None:
                return await self._on_slot(client, effect)
            return await client.retry.call_with_retry(lambda: self._on_slot(client, effect), _ignore)
        if type(client) is not redis.Redis or client.single_connection_client:
            return await _execute(client, effect)
        pool: Any = client.connection_pool
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

    async def _on_slot(self, client: Any, effect: RunScript) -> Any:
        await client.initialize()
        node, asking = client.get_node_from_key(effect.keys[0]), False
        for _ in range(_REDIRECTS):
            try:
                return await _on_node(node, effect, asking=asking)
            except MovedError as moved:
                await client.nodes_manager.move_slot(moved)
                node, asking = client.get_node_from_key(effect.keys[0]), False
            except AskError as ask:
                node, asking = client.get_node(host=ask.host, port=ask.port), True
                if node is None:
                    raise ClusterError("an unknown node") from None
            except store.RETRYABLE:
                await client.nodes_manager.initialize(last_failed_node_name=node.name)
                raise
        raise ClusterError("too many redirections")


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


def _open(address: store.Address) -> Any:
    options = address.options | _timeouts()
    if address.kind == "memory":
        fakeredis = store.fakeredis()
        return fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    if address.kind == "sentinel":
        sentinels = _sentinel(address.nodes, sentinel_kwargs=_timeouts() | address.tls)
        return sentinels.master_for(address.master, **options)
    if address.kind == "cluster":
        return redis.RedisCluster(startup_nodes=[ClusterNode(*node) for node in address.nodes], **options)
    try:
        # A burst waits for a connection: redis-py's plain pool would fail every call beyond its hundredth.
        pool: Any = redis.BlockingConnectionPool.from_url(
            address.url, max_connections=store.CONNECTIONS, timeout=store.CONNECT_S, **_timeouts()
        )
        return redis.Redis.from_pool(pool)
    except (ValueError, TypeError) as error:
        problem = type(error).__name__
    # Raised outside the except block: the original holds the URL, and so the password.
    raise store.unreadable(problem)


def _timeouts() -> dict[str, Any]:
    # The store itself tries again, within a bound; redis-py's retries would multiply with its.
    return {
        "socket_connect_timeout": store.CONNECT_S,
        "socket_timeout": store.ANSWER_S,
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


async def _ignore(_error: Exception) -> None:
    """Do nothing between a borrowed client's attempts: what had to be done is done."""
