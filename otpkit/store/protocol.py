"""Run a script on Redis: one generator, which the drivers `sync` and `aio` share.

`ask` yields steps. A driver performs each step and sends the result back, or throws the error in. The generator decides
which node to ask, how often to retry, and whether a connection may be reused. The drivers decide nothing.

A driver returns a connection to the pool after `RELEASE`, and when the generator returns: every reply on it was then
read completely. In all other cases, such as an interrupt at any line, the driver drops the connection: the next call
would read this call's reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar, cast

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MaxConnectionsError,
    MovedError,
    NoScriptError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)

from otpkit.core.config import NO_REPLICAS
from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError
from otpkit.store.errors import (
    REDIS_ERRORS,
    RETRYABLE,
    STALE,
    UNFIT,
    UNREADABLE,
    UnknownReply,
    is_answer,
    require_confirmed,
    store_error,
    unreadable,
)
from otpkit.store.retry import WAIT_MS, RetryBudget

try:
    import hiredis
except ImportError:
    _pack: Callable[[Command], bytes] | None = None
else:
    _pack = cast("Callable[[Command], bytes]", hiredis.pack_command)

T = TypeVar("T")

ASKING: Final = ("ASKING",)
"""The command that makes a cluster node serve a slot that it is importing, for one command."""
_REDIRECTS: Final = 5  # The most redirections that one attempt follows while a slot moves.

Shape: TypeAlias = Literal["pool", "cluster", "client"]
"""The way of scripts to Redis: a pool's connections, those of a cluster's nodes, or a client that hides its own."""

Command: TypeAlias = tuple[bytes | str | int, ...]
"""A step: send this command on the held connection and return the reply. If none is held, take one first: to the node
of the last `Locate` or `Find`, or to the single server. Raises `Crowded`."""


class Crowded(Exception):
    """All connections are in use by other callers."""


class Packer(Protocol):
    """A connection of redis-py's, which encodes the commands that it sends."""

    def pack_command(self, *args: bytes | str | int) -> Sequence[bytes]:
        """Return a command in wire format."""


def pack_alone(command: Command) -> bytes:
    """Return a command in wire format; needs hiredis."""
    assert _pack is not None  # noqa: S101
    return _pack(command)


def pack(connection: Packer, command: Command) -> Sequence[bytes]:
    """Return a command in wire format. redis-py's own encoder takes three times as long as hiredis's."""
    return connection.pack_command(*command) if _pack is None else (_pack(command),)


# Steps are not dataclasses: those would take as long to import as all the rest of this module.
class Signal:
    """A step without arguments."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


RELEASE: Final = Signal("RELEASE")
"""Return the connection to the pool, and let the next caller in."""
DISCARD: Final = Signal("DISCARD")
"""Drop the connection, and let the next caller in."""
REFRESH: Final = Signal("REFRESH")
"""Ask a node, but not the one asked last, which node has which slot. If no node answers, keep the current map."""
OPEN: Final = Signal("OPEN")
"""Connect to the cluster, if that is not done yet."""


class Queue:
    """A step: wait for a permit, first come, first served; return False if none comes within `seconds`."""

    __slots__ = __match_args__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Locate:
    """A step: next, ask the node that has the slot of `key`, according to this client's map."""

    __slots__ = __match_args__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


class Find:
    """A step: next, ask the node at an address; return False if this client knows no node there."""

    __slots__ = __match_args__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port


class Follow:
    """A step: record that a slot has moved."""

    __slots__ = __match_args__ = ("moved",)

    def __init__(self, moved: MovedError) -> None:
        self.moved = moved


class Retry:
    """A step: perform the steps of `attempt` under the retries of the client that was passed in; return their result.

    On its first call, `attempt` raises the failure of the first attempt, as if it had failed only now. If there is no
    connection, raise `failure`: the client has already retried.
    """

    __slots__ = __match_args__ = ("attempt", "failure")

    def __init__(self, attempt: Callable[[], Steps[object]], failure: Exception) -> None:
        self.attempt = attempt
        self.failure = failure


class Pause:
    """A step: wait `seconds` before the next attempt."""

    __slots__ = __match_args__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Explain:
    """A step: return otpkit's error for a Redis error. If Sentinels name no primary, ask why, unless they time out."""

    __slots__ = __match_args__ = ("failure", "script")

    def __init__(self, failure: Exception, script: str) -> None:
        self.failure = failure
        self.script = script


Step: TypeAlias = Command | Signal | Queue | Locate | Find | Follow | Retry | Pause | Explain
Steps: TypeAlias = Generator[Step, Any, T]
"""Steps that lead to a `T`. The driver sends each step's own result back."""


class Attempt(Protocol):
    """A function that runs a script once, on the nodes that a cluster redirects it to."""

    def __call__(self, effect: RunScript[T]) -> Steps[T]:
        """Return the steps of one attempt."""


class Store:
    """The state of a store that the generator reads, and both drivers have."""

    def __init__(self, shape: Shape, *, is_borrowed: bool, server: tuple[str, int, int] | None = None) -> None:
        self.shape = shape
        self.server = server  # The host, port and database that a URL names; None for several servers.
        self.is_borrowed = is_borrowed  # A client that was passed in has timeouts and retries of its own.
        self.attempt = _ATTEMPTS[shape, is_borrowed]
        self.is_closed = False  # redis-py raises all kinds of errors if a connection in use is closed.
        self.answered = 0.0  # Time of the store's last reply to any caller, by the monotonic clock.

    @property
    def clustered(self) -> bool:
        """True if keys lie on several nodes: a script can then use keys of one slot only."""
        return self.shape == "cluster"

    @property
    def confirms(self) -> bool:
        """True if WAIT can run on the connection that wrote."""
        return self.shape != "client"


def ask(effect: RunScript[T], store: Store, budget: RetryBudget | None) -> Steps[T]:
    """Run a script and return its parsed reply. `budget` is the whole call's; it is None for a borrowed client.

    Raises:
        StoreUnavailableError: Redis did not answer, or refused for now.
        ConfigurationError: Redis refused for a reason that a retry can't remove.
    """
    if effect.replicas and not store.confirms:
        raise ConfigurationError(*NO_REPLICAS)
    if budget is not None and not budget.begin():
        raise store_error(TimeoutError())
    attempt = store.attempt
    while True:
        try:
            reply = yield from attempt(effect)
        except Crowded:
            if (yield from _queue(store, budget)):
                continue
            failure: Exception = MaxConnectionsError("all connections are in use")
        except Exception as error:  # noqa: BLE001 - Errors of other origin are raised again.
            yield _verdict(error)
            failure = _failure(error, store)
        else:
            now = time.monotonic()
            if budget is not None and now > budget.slow_from:
                budget.end(now, store.answered)
            store.answered = now
            return reply
        pause = None
        if budget is not None and isinstance(failure, RETRYABLE):
            pause = budget.pause_s(failure, store.answered)
        if pause is None:
            if budget is not None:
                budget.end(time.monotonic(), store.answered)
            raise (yield Explain(failure, effect.script.text)) from failure
        yield Pause(pause)


def _verdict(error: Exception) -> Signal:
    """Return the signal for the connection after an error: reuse it or drop it."""
    return RELEASE if is_answer(error) else DISCARD


def _failure(error: Exception, store: Store) -> Exception:
    """Return the failure of Redis or its client; raise the error again if it is neither's."""
    if isinstance(error, REDIS_ERRORS):
        return error
    if isinstance(error, UNREADABLE):
        return unreadable(error, is_closed=store.is_closed)
    raise error


def _on_slot(effect: RunScript[T]) -> Steps[T]:
    """Run a script on the node that has its keys, and follow their slot if it moves."""
    yield OPEN
    is_importing = False
    for _ in range(_REDIRECTS):
        try:
            if not is_importing:
                yield Locate(effect.keys[0])
            return (yield from _exchange(effect, is_importing=is_importing))
        except MovedError as moved:
            yield _verdict(moved)
            yield Follow(moved)
            is_importing = False
        except AskError as moving:
            yield _verdict(moving)
            is_importing = yield Find(moving.host, moving.port)
            if not is_importing:
                yield REFRESH
                raise ClusterDownError("a slot moves to an unknown node") from None
        except MaxConnectionsError:
            raise
        except STALE as stale:
            yield _verdict(stale)
            yield REFRESH
            raise
    raise TryAgainError("too many redirections")


def _queue(store: Store, budget: RetryBudget | None) -> Steps[bool]:
    """Wait for a permit as long as the store answers other callers; return whether one came."""
    while budget is not None and (left := budget.queue_s(store.answered)) > 0:
        if (yield Queue(left)):
            budget.queue_s(store.answered)
            return True
    return False


def _exchange(effect: RunScript[T], *, is_importing: bool = False) -> Steps[T]:
    """Run a script by its SHA or, if the server does not know it, by its text."""
    keys = effect.keys
    try:
        if is_importing:
            yield ASKING
        reply = yield ("EVALSHA", effect.script.sha, len(keys), *keys, *effect.args)
    except NoScriptError:
        if is_importing:  # ASKING applies to one command.
            yield ASKING
        reply = yield ("EVAL", effect.script.text, len(keys), *keys, *effect.args)
    try:
        result, is_known = effect.script.read(reply, effect.args), True
    except UNFIT:
        is_known = False
    if not is_known:  # Raise outside the except block: the parser's error holds the reply.
        raise UnknownReply
    if effect.replicas:
        # WAIT counts what this connection wrote; on another connection its result would mean nothing.
        require_confirmed((yield ("WAIT", effect.replicas, WAIT_MS)), effect.replicas)
    return result


def _under_retries(attempt: Attempt) -> Attempt:
    """Return an attempt that, if it fails, continues under the retries of the client that was passed in."""

    def retried(effect: RunScript[T]) -> Steps[T]:
        try:
            return (yield from attempt(effect))
        except Exception as error:  # noqa: BLE001 - The client's retries decide.
            failure = error
        result: T = yield Retry(_failed_once(attempt, effect, failure), failure)
        return result

    return retried


def _failed_once(attempt: Attempt, effect: RunScript[T], failure: Exception) -> Callable[[], Steps[T]]:
    """Return a function that raises `failure` on its first call, and makes a new attempt on each later call."""
    failures = [failure]

    def again() -> Steps[T]:
        if failures:
            raise failures.pop()
        return attempt(effect)

    return again


_ATTEMPTS: Final[Mapping[tuple[Shape, bool], Attempt]] = {
    ("pool", False): _exchange,
    ("pool", True): _under_retries(_exchange),
    ("cluster", False): _on_slot,
    ("cluster", True): _under_retries(_on_slot),
    ("client", False): _exchange,
    ("client", True): _exchange,  # It retries within `execute_command`.
}
"""The attempt for each shape, by whether the client was passed in and so has retries of its own."""
