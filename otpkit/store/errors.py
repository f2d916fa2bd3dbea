"""Translate Redis errors into otpkit's: which may be retried, and what an operator should do about the others."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ChildDeadlockedError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004
    InvalidResponse,
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

from otpkit.effects import SeveralSlots, Unconfirmed
from otpkit.errors import ConfigurationError, OTPError, StoreUnavailableError
from otpkit.store.retry import WAIT_MS

_Texts: TypeAlias = tuple[str, str]  # A problem and its remedy.

_REFUSED = (
    "Redis rejected the credentials.",
    "Check the user name and the password in the URL, for Sentinels sentinel_username and sentinel_password.",
)
_NO_KEYS = "The Redis user may not access otpkit's keys.", "Allow the namespace's keys (ACL SETUSER … ~namespace:*)."
_NOT_ALLOWED = "The Redis user may not run {command}.", "Allow {command} in the user's ACL; otpkit needs it."
_NO_COMMAND = (
    "This server lacks {command}, which otpkit needs.",
    "Check the address and the scheme of the URL. Do not rename or disable commands.",
)
_NO_PRIMARY = "No Sentinel knows a primary of this name.", "Check the name after the hosts in the URL."
_NO_DATABASE = "Redis has no such database, or is not a cluster.", "Check the number and the scheme of the URL."
_NODES = "; or connect to the cluster's nodes directly, by redis+cluster://."
_ONE_SLOT = "must be in same slot"
_HOPELESS: dict[str, _Texts] = {
    # Proxies of managed clusters refuse these by rules of their own. The messages are Alibaba Cloud's.
    "bad lua script for redis cluster": (
        "This managed Redis checks scripts, and refuses otpkit's scripts.",
        f"Set its parameter script_check_enable to 0{_NODES}",
    ),
    _ONE_SLOT: (
        "This managed Redis is a cluster behind a proxy, which rejects scripts with keys of several slots.",
        f"Leave out ip, region_sends and total_sends{_NODES}",
    ),
    "not support for normal user": (
        "This managed Redis allows no scripts.",
        f"Upgrade its version{_NODES}",
    ),
    "access a key": _NO_KEYS,
    "access one of the keys": _NO_KEYS,
    "can't access at least one of the keys": _NO_KEYS,
    "user executing the script can't": _NOT_ALLOWED,
    "ACL failure in script": _NOT_ALLOWED,
    "NOPERM": _NOT_ALLOWED,
    "no permissions to run": _NOT_ALLOWED,
    "DB index": _NO_DATABASE,
    "Unknown Redis command": _NO_COMMAND,
    "Unknown command": _NO_COMMAND,
    "unknown command": _NO_COMMAND,
    "cluster support disabled": _NO_DATABASE,
    "SELECT is not allowed in cluster mode": _NO_DATABASE,
}
_NAMED = re.compile(r"(?:no permissions to run the|unknown command) ['`]([^'`]{1,40})")
_CONNECTING = re.compile(r"Error (-?\d+) connecting to (\S+?)\.(?:\s|$)")
_LINE = re.compile(r"user_script:\s*([0-9]+)")
_CALLED = re.compile(r"redis\.p?call\(\s*['\"]([A-Za-z]+)")
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
"""Errors that a redis-py client raises when it can't reach the server, or when the server refuses."""

RETRYABLE = (
    ConnectionError,
    TimeoutError,
    ReadOnlyError,
    ClusterDownError,
    TryAgainError,
    RedisClusterException,
    InvalidResponse,
    OSError,
)
"""The subset of `REDIS_ERRORS` after which another attempt, under the same operation id, may succeed."""

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""Other errors that a redis-py client raises when it can't parse a reply, or is closed during a call."""

UNFIT = (AttributeError, LookupError, TypeError, ValueError)
"""Errors that `RunScript.read` raises for a reply that the script can't have returned."""

STALE = (ClusterDownError, ConnectionError, TimeoutError, RedisClusterException, OSError)
"""The errors after which a cluster client should refresh its map of slots to nodes."""


class UnknownReply(InvalidResponse):
    """A reply that the script can't have returned: it comes from another server, a proxy or another request."""


def is_answer(error: BaseException) -> bool:
    """Check whether an error is a complete reply of the server, so that the connection may be reused.

    READONLY and similar errors do not count: reconnecting may reach the new primary.
    """
    return isinstance(error, TryAgainError) or (isinstance(error, ResponseError) and not isinstance(error, RETRYABLE))


def require_confirmed(confirmed: object, replicas: int) -> None:
    """Raise `Unconfirmed` if fewer than `replicas` replicas confirmed what a script wrote."""
    if type(confirmed) is not int:
        raise UnknownReply
    if confirmed < replicas:
        raise Unconfirmed(
            f"Only {confirmed} of {replicas} replicas confirmed within {WAIT_MS} ms. Nothing was granted.",
            "An operator should look at Redis's replication; the same call may succeed then.",
        )


def unreadable(error: Exception, *, is_closed: bool) -> RedisError:
    """Return the Redis error that stands for an error of the client that is not one of redis-py's own."""
    problem = type(error).__name__
    return ConnectionError(f"closed under a call ({problem})") if is_closed else UnknownReply(problem)


def store_error(error: BaseException, script: str = "") -> OTPError:
    """Return otpkit's error for a Redis error: `ConfigurationError` if waiting can't help.

    `script` is the text of the failed script. Redis reports the line, and the line names the command.
    """
    for cause in _causes(error):
        if texts := _misconfigured(cause):
            command = _command(str(cause), script)
            kind = SeveralSlots if _has_several_slots(cause) else ConfigurationError
            return kind(*(text.format(command=command) for text in texts))
    place = _unreached(error)
    problem = f"Redis {_why(error)} ({type(error).__name__}){f': {place}' if place else ''}."
    return StoreUnavailableError(problem, f"{_advice(error)} Nothing was granted.")


def _command(text: str, script: str) -> str:
    """Return the command that Redis refused: by its name, or by the line of the script that calls it."""
    if named := _NAMED.search(text):
        return named[1].upper().replace("|", " ")
    line = _LINE.search(text)
    lines = script.splitlines()
    calls = _CALLED.findall(lines[int(line[1]) - 1]) if line and 0 < int(line[1]) <= len(lines) else []
    return " or ".join(dict.fromkeys(calls)).upper() or "a command"


def unnamed_primary(failure: BaseException, answers: Sequence[bool | BaseException]) -> OTPError:
    """Return otpkit's error if the Sentinels name no primary.

    `answers` holds, for each Sentinel, whether it knows the name, or the error that it failed with.
    """
    if True in answers:  # The primary is down, and a failover may be under way.
        return store_error(failure)
    for answer in answers:
        if isinstance(answer, BaseException) and isinstance(error := store_error(answer), ConfigurationError):
            return error
    if False in answers:
        return ConfigurationError(*_NO_PRIMARY)
    unreached = (answer for answer in answers if isinstance(answer, BaseException) and _unreached(answer))
    return store_error(next(unreached, failure))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes: redis-py wraps the error with which a new connection is refused."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _misconfigured(error: BaseException) -> _Texts | None:
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        return _REFUSED
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "Redis's certificate is not trusted.",
            "Check the host in the URL, or add ?ssl_ca_certs=/path/to/ca.pem.",
        )
    if isinstance(error, (AskError, ClusterCrossSlotError)):  # MovedError is an AskError.
        return "This Redis is a node of a cluster.", "Use redis+cluster://, or a RedisCluster client."
    text = str(error)
    if isinstance(error, RedisClusterException):
        is_single = "Cluster mode is not enabled" in text
        return ("This Redis is not a cluster.", "Use redis://.") if is_single else None
    if isinstance(error, ResponseError):
        found = next((texts for words, texts in _HOPELESS.items() if words in text), None)
        return found or (_NOT_ALLOWED if isinstance(error, NoPermissionError) else None)
    return None


def _has_several_slots(error: BaseException) -> bool:
    return isinstance(error, ClusterCrossSlotError) or _ONE_SLOT in str(error)


def _why(error: BaseException) -> str:
    for kind, why in (
        (OutOfMemoryError, "is full"),
        ((ReadOnlyError, MasterDownError), "is a replica, or a failover is under way"),
        (BusyLoadingError, "is loading its data"),
        (ClusterDownError, "has slots without a primary"),
        (MaxConnectionsError, "has all of this client's connections in use"),
        (UnknownReply, "returned a reply that no script of otpkit returns"),
    ):
        if isinstance(error, kind):
            return why
    # redis-py has no class for some of these. Before Redis 7, scripts wrap them in a text of their own.
    text = str(error)
    for words, why in _REASONS.items():
        if words in text:
            return why
    return "refused" if isinstance(error, ResponseError) else "did not answer"


def _unreached(error: BaseException) -> str:
    """Return which address could not be reached, and why; "" if the error holds no address."""
    for cause in _causes(error):
        if found := _CONNECTING.search(str(cause)):
            number, place = int(found[1]), found[2]
            if number < 0 or any(isinstance(each, socket.gaierror) for each in _causes(error)):
                return f"the host of {place} can't be resolved (DNS)"
            return f"{place} refuses connections" if number == errno.ECONNREFUSED else f"{place} can't be reached"
    return ""


def _advice(error: BaseException) -> str:
    if isinstance(error, OutOfMemoryError):
        return "An operator should raise maxmemory; keep maxmemory-policy noeviction."
    if isinstance(error, UnknownReply):
        return "An operator should check that the address is Redis itself, with no proxy that changes replies."
    return "An operator should look at the server; the same call may succeed later."
