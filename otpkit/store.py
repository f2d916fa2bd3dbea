"""Where Redis is reached: clients from a URL, and Redis's errors turned into ours. For the shells alone."""

from __future__ import annotations

import importlib
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, NoScriptError, RedisError
from redis.retry import Retry

from otpkit.effects import Script
from otpkit.errors import ConfigurationError, OTPError, StoreUnavailableError

MEMORY_URL = "memory://"
_CONNECT_S, _ANSWER_S, _RETRIES = 1.0, 1.0, 2
_CONNECTIONS, _FREE_CONNECTION_S = 100, 1.0
_SCHEMES = ("redis://", "rediss://", "unix://")
_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)
_REMEDY = 'pass a URL such as "redis://localhost:6379/0", "memory://", or a redis-py client'


def open_sync(url: str) -> Any:
    """Return a client for a URL: bounded timeouts, retries within a bound. It does not connect yet."""
    _check_url(url)
    if url == MEMORY_URL:
        return _fakeredis().FakeRedis(server=_fakeredis().FakeServer())
    return _from_url(redis.Redis, redis.BlockingConnectionPool, Retry, url)


def open_async(url: str) -> Any:
    """Same as `open_sync`, but for asyncio."""
    _check_url(url)
    if url == MEMORY_URL:
        return _fakeredis().FakeAsyncRedis(server=_fakeredis().FakeServer())
    return _from_url(redis.asyncio.Redis, redis.asyncio.BlockingConnectionPool, AsyncRetry, url)


def is_clustered(client: Any) -> bool:
    """Whether keys of a client lie on several nodes, so that a script reaches those of one slot alone."""
    return isinstance(client, (redis.RedisCluster, redis.asyncio.RedisCluster))


def is_async(client: Any) -> bool:
    """Whether a client is to be awaited."""
    return isinstance(client, (redis.asyncio.Redis, redis.asyncio.RedisCluster))


def is_client(client: Any) -> bool:
    """Whether this is a redis-py client at all."""
    return isinstance(client, (redis.Redis, redis.RedisCluster)) or is_async(client)


def store_error(error: BaseException) -> OTPError:
    """Return our error for one of Redis's."""
    # redis.asyncio wraps what a new connection is refused with.
    if isinstance(error, _REFUSALS) or isinstance(error.__cause__, _REFUSALS):
        return ConfigurationError(
            "Redis refused the credentials: mend the user, the password or its permissions in the URL."
        )
    return StoreUnavailableError(
        f"Redis did not answer ({type(error).__name__}): nothing was granted. An operator should look at the server."
    )


def evaluate(client: Any, script: Script, keys: tuple[str, ...], args: tuple[bytes | str | int, ...]) -> Any:
    """Run a script, by its SHA and, where the server does not know it, by its text."""
    try:
        return _execute(client, "EVALSHA", script.sha, len(keys), *keys, *args)
    except NoScriptError:
        return _execute(client, "EVAL", script.text, len(keys), *keys, *args)


async def evaluate_async(
    client: Any, script: Script, keys: tuple[str, ...], args: tuple[bytes | str | int, ...]
) -> Any:
    """Same as `evaluate`, but for asyncio."""
    try:
        return await _execute_async(client, "EVALSHA", script.sha, len(keys), *keys, *args)
    except NoScriptError:
        return await _execute_async(client, "EVAL", script.text, len(keys), *keys, *args)


def _execute(client: Any, *command: Any) -> Any:
    if type(client) is not redis.Redis or client.connection is not None:
        return client.execute_command(*command)
    # The same as execute_command does, less what only other commands need: a sixth of a call's time.
    pool: Any = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        return connection.retry.call_with_retry(
            lambda: _ask(connection, command), lambda error: connection.disconnect()
        )
    finally:
        pool.release(connection)


def _ask(connection: Any, command: tuple[Any, ...]) -> Any:
    connection.send_command(*command)
    return connection.read_response()


async def _execute_async(client: Any, *command: Any) -> Any:
    if type(client) is not redis.asyncio.Redis or client.single_connection_client:
        return await client.execute_command(*command)
    pool: Any = client.connection_pool
    connection: Any = await pool.get_connection()
    try:
        return await connection.retry.call_with_retry(
            lambda: _ask_async(connection, command), lambda error: connection.disconnect()
        )
    finally:
        await pool.release(connection)


async def _ask_async(connection: Any, command: tuple[Any, ...]) -> Any:
    await connection.send_command(*command)
    return await connection.read_response()


REDIS_ERRORS = (RedisError, OSError)
"""What a redis-py client raises where the server could not be asked."""


def _check_url(url: str) -> None:
    if url != MEMORY_URL and not url.startswith(_SCHEMES):
        raise ConfigurationError(f"redis names no store that otpkit knows; {_REMEDY}.")


def _from_url(client: Any, pool: Any, retry: Any, url: str) -> Any:
    problem = None
    try:
        # A burst waits for a connection: redis-py's plain pool would fail every call beyond its hundredth.
        connections = pool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_FREE_CONNECTION_S,
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
            retry=retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), _RETRIES),
        )
        return client.from_pool(connections)
    except (ValueError, TypeError) as error:
        problem = type(error).__name__
    # Raised outside the except block: the original holds the URL, and so the password.
    raise ConfigurationError(f"redis is not a URL that redis-py can read ({problem}); {_REMEDY}.")


def _fakeredis() -> Any:
    try:
        importlib.import_module("lupa")  # the Lua that the scripts need
        return importlib.import_module("fakeredis")
    except ImportError:
        pass
    raise ConfigurationError("memory:// needs the embedded store: pip install 'otpkit[embedded]'.")
