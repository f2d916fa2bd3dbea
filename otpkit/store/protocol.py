"""How a script is asked of Redis: one generator, which `sync` and `aio` drive.

`ask` yields steps. A driver performs each one and sends the result back, or throws the error in. The generator decides
what is asked of whom, how often, and whether a connection may be used again; the drivers decide nothing.

A connection is given back after `RELEASE`, and when the generator returns: then every reply on it was read whole. In
any other case, such as an interrupt at any line, the driver drops it: the next call would read this call's reply.
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
"""Has a cluster's node serve a slot that moves to it, for one command."""
_REDIRECTS: Final = 5  # A slot that moves is followed so often within one attempt.

Shape: TypeAlias = Literal["pool", "cluster", "client"]
"""What scripts go through: a pool's connections, those of a cluster's nodes, or a client that hides its own."""

Command: TypeAlias = tuple[bytes | str | int, ...]
"""A step: send this on the connection that is held, and return the reply. Where none is held, take one first: of the
node that `Locate` or `Find` named, or of the one server. Raises `Crowded`."""


class Crowded(Exception):
    """Other callers have all connections."""


class Packer(Protocol):
    """A connection of redis-py's, which packs what it sends."""

    def pack_command(self, *args: bytes | str | int) -> Sequence[bytes]:
        """Return a command as it goes on the wire."""


def pack_alone(command: Command) -> bytes:
    """Return a command as it goes on the wire; needs hiredis."""
    assert _pack is not None  # noqa: S101
    return _pack(command)


def pack(connection: Packer, command: Command) -> Sequence[bytes]:
    """Return a command as it goes on the wire; redis-py's own packing takes thrice as long as hiredis's."""
    return connection.pack_command(*command) if _pack is None else (_pack(command),)


# Steps are no dataclasses: those would take as long to import as all else here.
class Signal:
    """A step that says all by its name."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


RELEASE: Final = Signal("RELEASE")
"""Give the connection back, and let the next caller in."""
DISCARD: Final = Signal("DISCARD")
"""Drop the connection, and let the next caller in."""
REFRESH: Final = Signal("REFRESH")
"""Learn anew which node has which slot, of another one than was asked last. What can't be learnt now stays."""
OPEN: Final = Signal("OPEN")
"""Connect to the cluster, where that is still to be done."""


class Queue:
    """Wait for leave to take a connection, first come, first served; return False where that takes longer."""

    __slots__ = __match_args__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Locate:
    """Ask the node next that has the slot of a key, as far as this client knows."""

    __slots__ = __match_args__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


class Find:
    """Ask the node at an address next; return False where this client knows none there."""

    __slots__ = __match_args__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port


class Follow:
    """Note that a slot has moved."""

    __slots__ = __match_args__ = ("moved",)

    def __init__(self, moved: MovedError) -> None:
        self.moved = moved


class Retry:
    """Go on under the retries of the client that was passed in: perform what `attempt` yields, and return its result.

    `attempt` raises what the first attempt failed with when it is called first, as if it had failed only now. Where no
    connection could be had, raise that too: the client has tried again already.
    """

    __slots__ = __match_args__ = ("attempt", "failure")

    def __init__(self, attempt: Callable[[], Steps[object]], failure: Exception) -> None:
        self.attempt = attempt
        self.failure = failure


class Pause:
    """Wait, before another attempt."""

    __slots__ = __match_args__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Explain:
    """Return our error for one of Redis's. Sentinels that name no primary are asked why, unless they hang."""

    __slots__ = __match_args__ = ("failure", "script")

    def __init__(self, failure: Exception, script: str) -> None:
        self.failure = failure
        self.script = script


Step: TypeAlias = Command | Signal | Queue | Locate | Find | Follow | Retry | Pause | Explain
Steps: TypeAlias = Generator[Step, Any, T]
"""Steps that lead to a `T`. What is sent back is the step's own result."""


class Attempt(Protocol):
    """Asks a script once, wherever a cluster sends it."""

    def __call__(self, effect: RunScript[T]) -> Steps[T]:
        """Return the steps."""


class Store:
    """What the generator knows of a store, and both drivers have."""

    def __init__(self, shape: Shape, *, is_borrowed: bool) -> None:
        self.shape = shape
        self.is_borrowed = is_borrowed  # A client that was passed in has timeouts and retries of its own.
        self.attempt = _ATTEMPTS[shape, is_borrowed]
        self.is_closed = False  # redis-py raises anything where a connection is closed that is in use.
        self.answered = 0.0  # When the store last answered anybody, by the monotonic clock.

    @property
    def clustered(self) -> bool:
        """Whether keys lie on several nodes, so that a script reaches those of one slot alone."""
        return self.shape == "cluster"

    @property
    def confirms(self) -> bool:
        """Whether replicas can be waited for on the connection that wrote."""
        return self.shape != "client"


def ask(effect: RunScript[T], store: Store, budget: RetryBudget | None) -> Steps[T]:
    """Run a script and return its reply, within the budget of the whole call; a borrowed client has None.

    Raises `StoreUnavailableError`, `ConfigurationError`.
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
        except Exception as error:  # noqa: BLE001 - what is not Redis's is raised again
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
    """Return whether a connection may be used again after an error."""
    return RELEASE if is_answer(error) else DISCARD


def _failure(error: Exception, store: Store) -> Exception:
    """Return what Redis or its client failed with; raises what is neither's."""
    if isinstance(error, REDIS_ERRORS):
        return error
    if isinstance(error, UNREADABLE):
        return unreadable(error, is_closed=store.is_closed)
    raise error


def _on_slot(effect: RunScript[T]) -> Steps[T]:
    """Run a script on the node that has its keys, wherever their slot moves to."""
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
    """Wait for leave to take a connection, as long as the store answers somebody; return whether it came."""
    while budget is not None and (left := budget.queue_s(store.answered)) > 0:
        if (yield Queue(left)):
            budget.queue_s(store.answered)
            return True
    return False


def _exchange(effect: RunScript[T], *, is_importing: bool = False) -> Steps[T]:
    """Run a script by its SHA and, where the server does not know it, by its text."""
    keys = effect.keys
    try:
        if is_importing:
            yield ASKING
        reply = yield ("EVALSHA", effect.script.sha, len(keys), *keys, *effect.args)
    except NoScriptError:
        if is_importing:  # It holds for one command.
            yield ASKING
        reply = yield ("EVAL", effect.script.text, len(keys), *keys, *effect.args)
    try:
        result, is_known = effect.script.read(reply, effect.args), True
    except UNFIT:
        is_known = False
    if not is_known:  # Outside the except block: what was raised there holds the reply.
        raise UnknownReply
    if effect.replicas:
        # WAIT counts what this very connection wrote; on another one it would mean nothing.
        require_confirmed((yield ("WAIT", effect.replicas, WAIT_MS)), effect.replicas)
    return result


def _under_retries(attempt: Attempt) -> Attempt:
    """Return an attempt that goes on under the retries of the client that was passed in, where it fails at first."""

    def retried(effect: RunScript[T]) -> Steps[T]:
        try:
            return (yield from attempt(effect))
        except Exception as error:  # noqa: BLE001 - the client's retries decide
            failure = error
        result: T = yield Retry(_failed_once(attempt, effect, failure), failure)
        return result

    return retried


def _failed_once(attempt: Attempt, effect: RunScript[T], failure: Exception) -> Callable[[], Steps[T]]:
    """Return a function that raises `failure` when it is called first, and attempts anew after that."""
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
"""How a script is asked, by what it goes through and whether that was passed in, with retries of its own."""
