"""The resources of a store in one event loop: a client, and connections that all tasks of the loop share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

from redis.asyncio import retry
from redis.backoff import NoBackoff

from otpkit.store import retry as budgets
from otpkit.store.endpoint import Endpoint
from otpkit.store.library import RedisObject
from otpkit.store.loops import abandon_all, sentinels


class Binding:
    """The client and the shared connections of a store in one event loop."""

    __slots__ = ("_endpoints", "background", "client", "connections", "is_open", "keeper", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, client: RedisObject) -> None:
        self.loop = loop
        self.client = client
        self.connections = asyncio.Semaphore(budgets.MAX_CONNECTIONS)
        self._endpoints: dict[str, Endpoint] = {}
        self.background: asyncio.Task[object] | None = None
        self.is_open = False  # True once the cluster's nodes are known.
        self.keeper: AsyncGenerator[None, None] | None = None

    def endpoint(self, node: RedisObject) -> Endpoint:
        """Return the shared connection to a cluster node, or to the single server if `node` is None."""
        name = "" if node is None else node.name
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            if node is not None:
                self._forget_nodes()
            endpoint = self._endpoints[name] = Endpoint(self.loop, partial(_unopened, self.client, node))
        return endpoint

    def _forget_nodes(self) -> None:
        """Close idle connections to nodes that have left the cluster."""
        for name in self._endpoints.keys() - self.client.nodes_manager.nodes_cache.keys():
            if self._endpoints[name].is_idle:
                self._endpoints.pop(name).abandon()

    async def keep(self) -> None:
        """Arrange that the client closes with the loop: `asyncio.run` first ends all async generators."""
        self.keeper = _keeper(self)
        await anext(self.keeper)

    async def close(self) -> None:
        """Close the client and all connections in their own loop.

        If that loop runs in another thread, the close is scheduled there. If it is stopped but not closed, nothing is
        done now: the loop closes them when it ends its async generators.
        """
        if self.loop is not asyncio.get_running_loop():
            if self.loop.is_closed():
                self.abandon()
            elif self.loop.is_running():
                asyncio.run_coroutine_threadsafe(self.close(), self.loop)
            return
        if self.background is not None:
            self.background.cancel()
            await asyncio.wait({self.background})
        for endpoint in list(self._endpoints.values()):
            await endpoint.close()
        await self.client.aclose()
        for each in sentinels(self.client):
            await each.aclose()
        # A transport is aborted in the loop's next iteration, and closes its socket in the one after.
        for _ in range(2):
            await asyncio.sleep(0)

    def abandon(self) -> None:
        """Close all connections at once, after the loop was closed."""
        for endpoint in self._endpoints.values():
            endpoint.abandon()
        abandon_all(self.client)


def _unopened(client: RedisObject, node: RedisObject) -> RedisObject:
    """Return an unopened connection to a cluster node, or to the single server if `node` is None."""
    if node is None:
        return client.connection_pool.make_connection()
    options = node.connection_kwargs | {"retry": retry.Retry(NoBackoff(), 0)}
    return node.connection_class(**options)


async def _keeper(binding: Binding) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await binding.close()
