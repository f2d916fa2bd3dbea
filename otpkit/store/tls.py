"""TLS connections of redis.asyncio, closed at once.

asyncio closes a TLS connection when the server has confirmed the end, or after 30 seconds. A server that hangs would
hold a socket for each call that gave up on it, delay each `close`, and leave sockets open where the event loop ends
before. Nothing is lost without a confirmation: every reply was read or is of no use, and redis-py's sync connections
do not ask for one.
"""

from __future__ import annotations

from functools import cache

import redis.asyncio as redis

from otpkit.store.library import Options, RedisObject

# asyncio itself closes a connection whose opening was cancelled just as the handshake had ended.
_CONFIRM_S = 0.05


class _ClosedAtOnce:
    """What TLS connections of every kind have here in common."""

    _writer: RedisObject

    async def disconnect(self, *args: object, **options: object) -> None:
        """Close the connection; it is made again when it is used."""
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(*args, **options)  # type: ignore[misc]

    def _connection_arguments(self) -> Options:
        options: Options = super()._connection_arguments()  # type: ignore[misc]
        return options | {"ssl_shutdown_timeout": _CONFIRM_S}


@cache
def closed_at_once(kind: type) -> type:
    """Return redis-py's class of connections, made to close at once where it speaks TLS."""
    return type(f"Abrupt{kind.__name__}", (_ClosedAtOnce, kind), {}) if issubclass(kind, redis.SSLConnection) else kind


def close_at_once(client: RedisObject) -> RedisObject:
    """Return a client whose new TLS connections close at once, those to its Sentinels or nodes included."""
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
