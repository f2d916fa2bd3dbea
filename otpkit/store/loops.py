"""Close connections of other event loops. A redis-py connection belongs to the loop that made it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from otpkit.errors import ConfigurationError
from otpkit.store.library import RedisObject

# Keep what a forked child inherited: closing a socket would remove it from the parent's event loop, which is shared.
_of_parent: list[object] = []


def foreign_client() -> ConfigurationError:
    """Return the error for a client that can't serve this loop."""
    return ConfigurationError(
        "The redis.asyncio client that was passed in belongs to another event loop. Nothing was sent to Redis.",
        "Pass a URL, which serves any number of loops, or build an AsyncOTP and a client in each loop.",
    )


def is_foreign(connection: RedisObject, loop: asyncio.AbstractEventLoop) -> bool:
    """Check whether a connection was made in another loop. A connection that is not open belongs to none."""
    reader = connection._reader
    return reader is not None and getattr(reader, "_loop", loop) is not loop


def abandon(connection: RedisObject) -> None:
    """Close a connection at once, from any loop, even if its own loop is closed. Its next use opens it again."""
    reader, writer = connection._reader, connection._writer
    connection._reader = connection._writer = None
    connection._parser.on_disconnect()
    loop, transport = getattr(reader, "_loop", None), getattr(writer, "transport", None)
    if loop is None or transport is None:
        return
    if not loop.is_closed():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_abort, writer)
            return
    close_without_loop(transport)


def close_without_loop(transport: RedisObject) -> None:
    """Close the socket of a transport whose loop is closed. One that was aborted before is still open then."""
    with suppress(RuntimeError):  # asyncio can't abort without the loop; the socket is closed below.
        transport.abort()
    while (tls := getattr(transport, "_ssl_protocol", None)) is not None:
        transport = tls._transport
    if (socket := getattr(transport, "_sock", None)) is not None:
        socket.close()
        transport._sock = None


def _abort(writer: RedisObject) -> None:
    writer.transport.abort()


def abandon_idle(pool: RedisObject, but: asyncio.AbstractEventLoop | None = None) -> None:
    """Close the idle connections of a pool at once, except those of the loop `but`."""
    for connection in list(getattr(pool, "_available_connections", ())):
        _abandon(connection, but)


def abandon_foreign(pool: RedisObject, loop: asyncio.AbstractEventLoop) -> None:
    """Close the connection that a pool would return next, if it belongs to another loop."""
    idle = getattr(pool, "_available_connections", None)
    if idle and is_foreign(idle[-1], loop):
        abandon(idle[-1])


def abandon_all(client: RedisObject, but: asyncio.AbstractEventLoop | None = None) -> None:
    """Close all idle connections of a client at once, except those of the loop `but`."""
    if hasattr(client, "nodes_manager"):
        for node in _nodes(client):
            for connection in list(node._free):
                _abandon(connection, but)
        return
    if client.connection is not None:
        _abandon(client.connection, but)
    abandon_idle(client.connection_pool, but)
    for each in sentinels(client):
        abandon_idle(each.connection_pool, but)


def leave_to_parent(client: RedisObject, *more: object) -> None:
    """Make a client reconnect in a forked child, and send nothing on the parent's connections."""
    _of_parent.append((client, more))
    if hasattr(client, "nodes_manager"):
        for node in _nodes(client):
            _of_parent.append((node._connections, list(node._free)))
            node._connections = []
            node._free.clear()
        return
    _of_parent.append(client.connection)
    client.connection = None
    for pool in (client.connection_pool, *(each.connection_pool for each in sentinels(client))):
        _of_parent.append((pool._available_connections, list(pool._in_use_connections)))
        pool.reset()


def _abandon(connection: RedisObject, but: asyncio.AbstractEventLoop | None) -> None:
    if but is None or getattr(connection._reader, "_loop", None) is not but:
        abandon(connection)


def _nodes(client: RedisObject) -> list[RedisObject]:
    """Return a cluster client's current and startup nodes: they are equal, but have connections of their own."""
    return [*client.nodes_manager.nodes_cache.values(), *client.nodes_manager.startup_nodes.values()]


def sentinels(client: RedisObject) -> Iterator[RedisObject]:
    """Return the clients of the Sentinels that a client asks for its primary."""
    pool = getattr(client, "connection_pool", None)
    return iter(getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()))
