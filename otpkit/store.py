"""Where codes are kept: what a URL says, how long Redis is waited for, and Redis's errors turned into ours."""

from __future__ import annotations

import importlib
import random
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ChildDeadlockedError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004
    MasterDownError,
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

from otpkit.effects import Unconfirmed
from otpkit.errors import ConfigurationError, OTPError, StoreUnavailableError

CONNECT_S, ANSWER_S = 1.0, 1.0
TOTAL_S = 3.0  # all attempts of a call, before it is given up
_SLACK_S = 0.1  # or the first answer that is waited for in vain would leave no time for another attempt
_TURN_PAUSE_S = 0.01
_RETRIES = 2  # where a failure comes at once
CONNECTIONS = 100  # a client keeps at most; further callers wait their turn
THREADS = 32  # of a server's callers at once: more would only delay each other, most of all while they connect
WAIT_MS = 500  # how long replicas may take to confirm; less than ANSWER_S
MEMORY_URL = "memory://"

_REMEDY = (
    "pass a URL such as redis://localhost:6379/0 (or rediss://, unix://, redis+cluster://host:port,host:port, "
    "redis+sentinel://host:port/master-name/db, memory://), or a redis-py client"
)
NO_REPLICAS = "Policy.replicas needs a Redis server with replicas, by a URL or redis-py's own client."
_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)
_REFUSED = "Redis refused the credentials: mend the user, the password or its permissions in the URL."
_NO_DATABASE = "Redis has no such database, or is no cluster: mend the number or the scheme of the URL."
_NODES = "; or connect to the cluster's nodes themselves, by redis+cluster://."
_HOPELESS = {
    # What proxies of managed clusters refuse by rules of their own; the words are Alibaba Cloud's.
    "bad lua script for redis cluster": "This managed Redis checks scripts, and refuses otpkit's. Set its parameter "
    "script_check_enable to 0" + _NODES,
    "must be in same slot": "This managed Redis is a cluster behind a proxy, which takes no script with keys of "
    "several slots. Leave out ip, region_sends and total_sends" + _NODES,
    "not support for normal user": "This managed Redis allows no scripts. Upgrade its version" + _NODES,
    "user executing the script can't": _REFUSED,
    "ACL failure in script": _REFUSED,
    "NOPERM": _REFUSED,
    "DB index": _NO_DATABASE,
    "cluster support disabled": _NO_DATABASE,
    "SELECT is not allowed in cluster mode": _NO_DATABASE,
    "unknown command": "This server lacks a command that otpkit needs: mend the address or the scheme of the URL, and "
    "rename or disable no commands.",
}
_REASONS = {
    "OOM command not allowed": "is full",
    "READONLY": "is a replica, or a failover is under way",
    "NOREPLICAS": "has fewer replicas than its min-replicas-to-write",
    "MISCONF": "can't write to its disk",
    "BUSY": "is busy with a script",
    "max number of clients": "has as many clients as its maxclients",
    "No connection available": "has all of this client's connections in use",
}

REDIS_ERRORS = (RedisError, RedisClusterException, ChildDeadlockedError, OSError)
"""What a redis-py client raises where the server could not be asked, or refused."""

RETRYABLE = (
    ConnectionError,
    TimeoutError,
    ReadOnlyError,
    ClusterDownError,
    TryAgainError,
    RedisClusterException,
    OSError,
)
"""Those of them after which another attempt may succeed, under the same operation id."""

STALE = (ClusterDownError, ConnectionError, TimeoutError, RedisClusterException, OSError)
"""Those after which a cluster's client should learn anew which node serves what."""


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
    """How long a call goes on trying: `TOTAL_S` in all, also where the server hangs rather than refuses.

    In a crowd that is being served everybody waits his turn, however long: what counts then is the time since the store
    last answered anybody. `answered` is when that was, by the monotonic clock.
    """

    __slots__ = ("_attempts", "_began", "_since")

    def __init__(self) -> None:
        self._since = self._began = time.monotonic()
        self._attempts = 0

    def turn_s(self, answered: float) -> float:
        """Return seconds that a turn may still be waited for; what was waited while others were served is forgotten."""
        self._began = time.monotonic()
        self._since = max(self._since, answered)
        return self._since + TOTAL_S - ANSWER_S - self._began

    def pause_s(self, error: BaseException, answered: float) -> float | None:
        """Return seconds to wait before another attempt, or None where one could exceed the whole time."""
        if isinstance(error, MaxConnectionsError):
            return _TURN_PAUSE_S if self.turn_s(answered) > 0 else None
        now = time.monotonic()
        # Where a server hangs, another attempt lasts as long as this one did.
        left = self._since + TOTAL_S + _SLACK_S - now - max(ANSWER_S, now - self._began)
        if isinstance(error, TryAgainError):  # a cluster's slot is on its way: told at once, as long as it moves
            return _TURN_PAUSE_S if left > 0 else None
        self._attempts += 1
        if self._attempts > _RETRIES or left < 0:
            return None
        longest_pause = min(0.2, 0.01 * 2.0**self._attempts)
        pause = random.uniform(0.5, 1.0) * longest_pause  # noqa: S311 - nothing secret
        self._began = now + pause
        return pause


def require_confirmed(confirmed: int, replicas: int) -> None:
    """Raise `Unconfirmed` where fewer replicas than asked confirmed what a script wrote."""
    if confirmed < replicas:
        raise Unconfirmed(
            f"Only {confirmed} of {replicas} replicas confirmed within {WAIT_MS} ms: nothing was granted. An operator "
            "should look at Redis's replication; the same call may succeed then."
        )


def store_error(error: BaseException) -> OTPError:
    """Return our error for one of Redis's: `ConfigurationError` where no waiting will help."""
    for cause in _causes(error):
        if problem := _misconfigured(cause):
            return ConfigurationError(problem)
    return StoreUnavailableError(f"Redis {_why(error)} ({type(error).__name__}): nothing was granted. {_who(error)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it began with: redis-py wraps what a new connection is refused with."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _misconfigured(error: BaseException) -> str:
    if isinstance(error, _REFUSALS):
        return _REFUSED
    if isinstance(error, ssl.SSLCertVerificationError):
        return "Redis's certificate is not trusted: mend the host in the URL, or add ?ssl_ca_certs=/path/to/ca.pem."
    if isinstance(error, (AskError, ClusterCrossSlotError)):  # and MovedError
        return "This Redis is a cluster's node: use redis+cluster://, or a RedisCluster client."
    text = str(error)
    if isinstance(error, RedisClusterException):
        return "This Redis is no cluster: use redis://." if "Cluster mode is not enabled" in text else ""
    if isinstance(error, ResponseError):
        return next((problem for words, problem in _HOPELESS.items() if words in text), "")
    return ""


def _why(error: BaseException) -> str:
    for kind, why in (
        (OutOfMemoryError, "is full"),
        ((ReadOnlyError, MasterDownError), "is a replica, or a failover is under way"),
        (BusyLoadingError, "is loading its data"),
        (ClusterDownError, "has slots without a primary"),
        (MaxConnectionsError, "has all of this client's connections in use"),
    ):
        if isinstance(error, kind):
            return why
    # redis-py has no class for these, or not always; scripts wrap them in a text of their own before Redis 7.
    text = str(error)
    for words, why in _REASONS.items():
        if words in text:
            return why
    return "refused" if isinstance(error, ResponseError) else "did not answer"


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
