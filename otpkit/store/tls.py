"""TLS connections of redis.asyncio that close at once.

asyncio keeps a closed TLS connection until the server confirms the end, for up to 30 seconds. A server that hangs would
then hold a socket for each call that gave up on it, delay each `close`, and leave sockets open when the event loop ends
first. Closing without confirmation loses nothing: every reply was either read or is no longer needed. redis-py's sync
connections do not wait for a confirmation either.
"""

from __future__ import annotations

from functools import cache

import redis.asyncio as redis

from otpkit.store.library import Options, RedisObject

# asyncio itself closes a connection whose opening was cancelled just after the handshake.
_CONFIRM_S = 0.05


class _ClosedAtOnce:
    """A mixin for every kind of TLS connection, which closes it without waiting."""

    _writer: RedisObject

    async def disconnect(self, *args: object, **options: object) -> None:
        """Close the connection at once. Its next use opens it again."""
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(*args, **options)  # type: ignore[misc]

    def _connection_arguments(self) -> Options:
        options: Options = super()._connection_arguments()  # type: ignore[misc]
        return options | {"ssl_shutdown_timeout": _CONFIRM_S}


@cache
def closed_at_once(kind: type) -> type:
    """Return a subclass of a TLS connection class that closes at once; return other classes unchanged."""
    return type(f"Abrupt{kind.__name__}", (_ClosedAtOnce, kind), {}) if issubclass(kind, redis.SSLConnection) else kind


def close_at_once(client: RedisObject) -> RedisObject:
    """Make a client's new TLS connections, also to Sentinels or nodes, close at once; return the client."""
    if isinstance(client, redis.RedisCluster):
        manager: RedisObject = client.nodes_manager
        for node in manager.startup_nodes.values():
            node.connection_class = closed_at_once(node.connection_class)
            manager.connection_kwargs["connection_class"] = node.connection_class
        return client
    pool: RedisObject = client.connection_pool
    manager = getattr(pool, "sentinel_manager", None)
    for each in (pool, *(sentinel.connection_pool for sentinel in getattr(manager, "sentinels", ()))):
        each.connection_class = closed_at_once(each.connection_class)
    return client
