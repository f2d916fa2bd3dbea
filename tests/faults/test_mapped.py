"""Every error of redis-py becomes one of otpkit: unavailable, or misconfigured if a retry can't help."""

from __future__ import annotations

import builtins
import inspect

import pytest
from redis import exceptions

from otpkit import ConfigurationError, StoreUnavailableError
from otpkit.store.errors import REDIS_ERRORS, store_error

UNAVAILABLE: dict[str, list[Exception]] = {
    "did not answer": [
        exceptions.ConnectionError("Connection refused"),
        exceptions.TimeoutError("Timeout reading from socket"),
        exceptions.InvalidResponse("Protocol Error"),
        exceptions.RedisClusterException("Redis Cluster cannot be connected."),
        exceptions.SlotNotCoveredError("Slot 1 is not covered"),
        exceptions.ClusterError("TTL exhausted."),
        exceptions.ChildDeadlockedError(),
        builtins.ConnectionResetError(104, "reset by peer"),
        builtins.TimeoutError(),
    ],
    "is full": [
        exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        exceptions.ResponseError("Error running script: -OOM command not allowed when used memory > 'maxmemory'."),
    ],
    "is a replica": [
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.ResponseError("Error running script: -READONLY You can't write against a read only replica."),
        exceptions.MasterDownError("Link with MASTER is down"),
    ],
    "is loading": [exceptions.BusyLoadingError("Redis is loading the dataset in memory")],
    "without a primary": [exceptions.ClusterDownError("CLUSTERDOWN The cluster is down")],
    "connections in use": [
        exceptions.MaxConnectionsError("Too many connections"),
        exceptions.ConnectionError("No connection available."),
    ],
    "maxclients": [exceptions.ConnectionError("max number of clients reached")],
    "min-replicas": [exceptions.ResponseError("NOREPLICAS Not enough good replicas to write.")],
    "disk": [exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots, but it can't persist.")],
    "busy with a script": [exceptions.ResponseError("BUSY Redis is busy running a script.")],
    "refused": [exceptions.ResponseError("wrong number of arguments"), exceptions.TryAgainError("Multiple keys")],
}
SCRIPT = "local key = KEYS[1]\nredis.call('HSET', key, 'a', 'b')\n"
AT = "on @user_script:2."
MISCONFIGURED: dict[str, list[Exception]] = {
    "credentials": [
        exceptions.AuthenticationError("Authentication required."),
        exceptions.AuthorizationError("no"),
    ],
    "may not run EVALSHA": [
        exceptions.NoPermissionError("this user has no permissions to run the 'evalsha' command"),
        exceptions.NoPermissionError("User bob has no permissions to run the 'evalsha' command"),
    ],
    "may not run SENTINEL MASTERS": [
        exceptions.NoPermissionError("User bob has no permissions to run the 'sentinel|masters' command"),
    ],
    "may not run HSET": [
        exceptions.ResponseError(
            f"The user executing the script can't run this command or subcommand script: 5c, {AT}"
        ),
        exceptions.ResponseError(
            "Error running script (call to f_5c): @user_script:2: @user_script: 2: The user "
            "executing the script can't run this command or subcommand"
        ),
        exceptions.ResponseError(f"ACL failure in script: User bob has no permissions to run the 'hset' command {AT}"),
    ],
    "may not access otpkit's keys": [
        exceptions.NoPermissionError("this user has no permissions to access one of the keys used as arguments"),
        exceptions.NoPermissionError("No permissions to access a key"),
        exceptions.ResponseError(f"ACL failure in script: No permissions to access a key script: 5c, {AT}"),
        exceptions.ResponseError(
            "The user executing the script can't access at least one of the keys mentioned in the command arguments "
            f"script: 5c, {AT}"
        ),
    ],
    "node of a cluster": [
        exceptions.MovedError("1 127.0.0.1:7001"),
        exceptions.ClusterCrossSlotError("Keys in request"),
    ],
    "not a cluster": [exceptions.RedisClusterException("Cluster mode is not enabled on this node")],
    "database": [
        exceptions.ResponseError("DB index is out of range"),
        exceptions.ResponseError("SELECT is not allowed in cluster mode"),
        exceptions.ResponseError("This instance has cluster support disabled"),
    ],
    "lacks SENTINEL": [exceptions.ResponseError("unknown command 'SENTINEL', with args beginning with: ")],
    "lacks EVALSHA": [exceptions.ResponseError("unknown command `EVALSHA`, with args beginning with: `5c`, `1`, ")],
    "lacks HSET": [
        exceptions.ResponseError(f"Unknown Redis command called from script script: 5c, {AT}"),
        exceptions.ResponseError(f"Unknown command called from script script: {AT}"),
    ],
    "lacks a command": [exceptions.ResponseError("Unknown command called from script")],
}


def pairs(table: dict[str, list[Exception]]) -> list[tuple[str, Exception]]:
    """Return each error with the words that its text must contain."""
    return [(words, error) for words, errors in table.items() for error in errors]


@pytest.mark.parametrize(("words", "error"), pairs(UNAVAILABLE))
def test_what_may_pass_is_unavailable(words: str, error: Exception) -> None:
    """The text names the cause, and states that nothing was granted."""
    ours = store_error(error)
    assert isinstance(ours, StoreUnavailableError)
    assert words in str(ours)
    assert "Nothing was granted" in ours.remedy


@pytest.mark.parametrize(
    ("words", "error"), [(words, error) for words, all_ in MISCONFIGURED.items() for error in all_]
)
def test_what_will_not_pass_is_misconfigured(words: str, error: Exception) -> None:
    """The text names the remedy, also when redis.asyncio wraps the error."""
    wrapped = exceptions.ConnectionError("Error connecting")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        ours = store_error(each, SCRIPT)
        assert isinstance(ours, ConfigurationError)
        assert words in str(ours)


def test_no_error_of_redis_py_gets_past() -> None:
    """The exception is an error about cache policies, which otpkit does not use."""
    classes = [each for _, each in inspect.getmembers(exceptions, inspect.isclass) if issubclass(each, Exception)]
    past = {each.__name__ for each in classes if not issubclass(each, REDIS_ERRORS)}
    assert past <= {"IncorrectPolicyType"}
