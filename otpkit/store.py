"""Where codes are kept: what a URL says, how long Redis is waited for, and Redis's errors turned into ours."""

from __future__ import annotations

import importlib
import random
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)

from otpkit.errors import ConfigurationError, OTPError, StoreUnavailableError

CONNECT_S, ANSWER_S = 1.0, 1.0
TOTAL_S = 3.0  # all attempts of a call, before it is given up
_RETRIES = 2  # where a failure comes at once
CONNECTIONS = 100  # a client keeps at most; further callers wait their turn
ASYNC_CONNECTIONS = 32  # one event loop fills no more, and making more at once would starve it
WAIT_MS = 500  # how long replicas may take to confirm; less than ANSWER_S
MEMORY_URL = "memory://"

_REMEDY = (
    "pass a URL such as redis://localhost:6379/0 (or rediss://, unix://, redis+cluster://host:port,host:port, "
    "redis+sentinel://host:port/master-name/db, memory://), or a redis-py client"
)
NO_REPLICAS = "Policy.replicas needs a Redis server with replicas, by a URL or redis-py's own client."
_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)

REDIS_ERRORS = (RedisError, RedisClusterException, OSError)
"""What a redis-py client raises where the server could not be asked, or refused."""

RETRYABLE = (ConnectionError, TimeoutError, ClusterDownError, TryAgainError, RedisClusterException, OSError)
"""Those of them after which another attempt may succeed, under the same operation id."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says. `options` are redis-py's; `url` is set for a single server, which redis-py reads by itself."""

    kind: Literal["memory", "single", "cluster", "sentinel"]
    url: str = field(default="", repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    master: str = ""
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def tls(self) -> dict[str, Any]:
        """The options that concern TLS alone, which Sentinels share with their primary."""
        return {name: value for name, value in self.options.items() if name == "ssl"}


def read_url(url: str) -> Address:
    """Read a store's URL; raises `ConfigurationError`, without the URL, which may hold a password."""
    scheme = url.partition("://")[0]
    if url == MEMORY_URL:
        return Address("memory")
    if scheme in {"redis", "rediss", "unix"}:
        return Address("single", url)
    try:
        if scheme.removeprefix("rediss").removeprefix("redis") == "+cluster":
            return Address("cluster", nodes=_nodes(url, 6379), options=_options(url))
        if scheme.removeprefix("rediss").removeprefix("redis") == "+sentinel":
            master, _, db = urlsplit(url).path.strip("/").partition("/")
            if not master:
                raise ValueError
            return Address("sentinel", "", _nodes(url, 26379), master, _options(url) | {"db": int(db or 0)})
    except ValueError:
        pass
    raise ConfigurationError(f"redis names no store that otpkit can read; {_REMEDY}.")


def _nodes(url: str, default_port: int) -> tuple[tuple[str, int], ...]:
    nodes = []
    for part in urlsplit(url).netloc.rpartition("@")[2].split(","):
        split = urlsplit(f"//{part}")
        if not split.hostname or split.username is not None:
            raise ValueError
        nodes.append((split.hostname, split.port or default_port))
    return tuple(nodes)


def _options(url: str) -> dict[str, Any]:
    split = urlsplit(url)
    if split.query or split.fragment:
        raise ValueError
    user, _, password = split.netloc.rpartition("@")[0].partition(":")
    options: dict[str, Any] = {"ssl": True} if split.scheme.startswith("rediss") else {}
    if user:
        options["username"] = unquote(user)
    if password:
        options["password"] = unquote(password)
    return options


class Patience:
    """How long a call goes on trying: `TOTAL_S` in all, also where the server hangs rather than refuses."""

    __slots__ = ("_attempts", "_started")

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._attempts = 0

    def pause(self, error: BaseException) -> float | None:
        """Return seconds to wait before another attempt, or None where one could exceed the whole time."""
        self._attempts += 1
        elapsed = time.monotonic() - self._started
        if isinstance(error, MaxConnectionsError):  # all connections are busy: whoever waits for one waits its turn
            return 0.01 if elapsed < TOTAL_S else None
        if self._attempts > _RETRIES or elapsed + CONNECT_S + ANSWER_S > TOTAL_S:
            return None
        longest_pause = min(0.2, 0.01 * 2.0**self._attempts)
        return random.uniform(0.5, 1.0) * longest_pause  # noqa: S311 - nothing secret


def require_confirmed(confirmed: int, replicas: int) -> None:
    """Raise `StoreUnavailableError` where fewer replicas than asked confirmed what a script wrote."""
    if confirmed < replicas:
        raise StoreUnavailableError(
            f"Only {confirmed} of {replicas} replicas confirmed within {WAIT_MS} ms: nothing was granted. An operator "
            "should look at Redis's replication; the same call may succeed then."
        )


def store_error(error: BaseException) -> OTPError:
    """Return our error for one of Redis's: `ConfigurationError` where no waiting will help."""
    # redis.asyncio wraps what a new connection is refused with.
    for cause in (error, error.__cause__):
        if isinstance(cause, _REFUSALS):
            return ConfigurationError(
                "Redis refused the credentials: mend the user, the password or its permissions in the URL."
            )
    if isinstance(error, AskError):  # and MovedError
        return ConfigurationError("This Redis is a cluster's node: use redis+cluster://, or a RedisCluster client.")
    text = str(error)
    if isinstance(error, ResponseError) and ("DB index" in text or "cluster support disabled" in text):
        return ConfigurationError(
            "Redis has no such database, or is no cluster: mend the number or the scheme of the URL."
        )
    if isinstance(error, RedisClusterException) and "Cluster mode is not enabled" in text:
        return ConfigurationError("This Redis is no cluster: use redis://.")
    return StoreUnavailableError(f"Redis {_why(error)} ({type(error).__name__}): nothing was granted. {_who(error)}")


def _why(error: BaseException) -> str:
    for kind, why in (
        (OutOfMemoryError, "is full"),
        (ReadOnlyError, "is a replica, or a failover is under way"),
        (BusyLoadingError, "is loading its data"),
        (ClusterDownError, "has slots without a primary"),
        (MaxConnectionsError, "has all of this client's connections in use"),
    ):
        if isinstance(error, kind):
            return why
    return "did not answer"


def _who(error: BaseException) -> str:
    if isinstance(error, OutOfMemoryError):
        return "An operator should raise maxmemory; keep maxmemory-policy noeviction."
    return "An operator should look at the server; the same call may succeed later."


def fakeredis() -> Any:
    """Return the embedded store's library; raises `ConfigurationError` that names the extra where it is missing."""
    try:
        importlib.import_module("lupa")  # the Lua that the scripts need
        return importlib.import_module("fakeredis")
    except ImportError:
        pass
    raise ConfigurationError("memory:// needs the embedded store: pip install 'otpkit[embedded]'.")


def unreadable(problem: str) -> ConfigurationError:
    """Return the error of a URL that redis-py can't read."""
    return ConfigurationError(f"redis is not a URL that redis-py can read ({problem}); {_REMEDY}.")
