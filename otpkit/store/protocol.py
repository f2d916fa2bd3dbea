"""How a script is asked of Redis: one generator, which `sync` and `aio` drive.

`ask` yields steps. A driver performs each one and sends the result back, or throws the error in. The generator decides
what is asked of whom, how often, and whether a connection may be used again; the drivers decide nothing. A connection
is given back only by `RELEASE`: a driver drops what it still holds when the call ends, whatever has ended it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum
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

from otpkit.effects import RunScript
from otpkit.store.errors import (
    REDIS_ERRORS,
    RETRYABLE,
    STALE,
    UNREADABLE,
    UnknownReply,
    is_answer,
    require_confirmed,
    require_replicas,
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

_ASKING: Final = ("ASKING",)
_REDIRECTS: Final = 5  # A slot that moves is followed so often within one attempt.

Shape: TypeAlias = Literal["pool", "cluster", "client"]
"""What scripts go through: a pool's connections, those of a cluster's nodes, or a client that hides its own."""

Command: TypeAlias = tuple[bytes | str | int, ...]
"""A step: say this on the connection that is held; the result is the reply."""


class Node(Protocol):
    """A cluster's node, as redis-py has it."""

    name: str


class Packer(Protocol):
    """A connection of redis-py's, which packs what it sends."""

    def pack_command(self, *args: bytes | str | int) -> Sequence[bytes]:
        """Return a command as it goes on the wire."""


def pack(connection: Packer, command: Command) -> Sequence[bytes]:
    """Return a command as it goes on the wire; redis-py's own packing takes thrice as long as hiredis's."""
    return connection.pack_command(*command) if _pack is None else (_pack(command),)


@dataclass(slots=True)
class Acquire:
    """Take a connection of the node, or of the one server; the result is False where too many callers have one."""

    node: Node | None = None


@dataclass(slots=True)
class Queue:
    """Wait to be let in, first come, first served; the result is False where that takes longer."""

    seconds: float


class Signal(Enum):
    """Steps that say all by their name."""

    RELEASE = "Give the connection back, and let the next caller in: every reply on it was read whole."
    DISCARD = "Drop the connection, and let the next caller in: the next reply on it would be read by another call."
    OPEN = "Connect to the cluster, where that is still to be done."


@dataclass(slots=True)
class Locate:
    """Return the node that has the slot of a key, as far as this client knows."""

    key: str


@dataclass(slots=True)
class Find:
    """Return the node at an address, or None where this client knows none."""

    host: str
    port: int


@dataclass(slots=True)
class Follow:
    """Note that a slot has moved."""

    moved: MovedError


@dataclass(slots=True)
class Refresh:
    """Learn anew which node has which slot, from another one than one that failed. What can't be learnt now stays."""

    failed: str | None


@dataclass(slots=True)
class Retried:
    """Perform all that `attempt` yields, under the retries of the client that was passed in; return its result."""

    attempt: Callable[[], Steps[object]]


@dataclass(slots=True)
class Pause:
    """Wait, before another attempt."""

    seconds: float


@dataclass(slots=True)
class Explain:
    """Return our error for one of Redis's. Sentinels that name no primary are asked why, unless they hang."""

    failure: Exception
    script: str


Step: TypeAlias = Command | Acquire | Queue | Signal | Locate | Find | Follow | Refresh | Retried | Pause | Explain
Steps: TypeAlias = Generator[Step, Any, T]
"""Steps that lead to a `T`. What is sent back is the step's own result."""


class Store:
    """What the generator knows of a store, and both drivers have."""

    def __init__(self, shape: Shape, *, is_borrowed: bool) -> None:
        self.shape = shape
        self.is_borrowed = is_borrowed  # A client that was passed in has timeouts and retries of its own.
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


def ask(effect: RunScript, store: Store, budget: RetryBudget | None) -> Steps[Any]:
    """Run a script and return its reply, within the budget of the whole call; a borrowed client has None.

    Raises `StoreUnavailableError`, `ConfigurationError`.
    """
    if effect.replicas:
        require_replicas(effect.replicas, store.confirms)
    if budget is not None and not budget.begin():
        raise store_error(TimeoutError())
    attempt = _on_cluster if store.shape == "cluster" else _on_connection
    while True:
        try:
            reply = yield from attempt(effect, store, budget)
        except REDIS_ERRORS as error:
            failure: Exception = error
        except UNREADABLE as error:
            failure = unreadable(error, is_closed=store.is_closed)
        else:
            now = time.monotonic()
            if budget is not None:
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


def _on_cluster(effect: RunScript, store: Store, budget: RetryBudget | None) -> Steps[Any]:
    if store.is_borrowed:
        return (yield Retried(lambda: _on_slot(effect, store, budget)))
    return (yield from _on_slot(effect, store, budget))


def _on_slot(effect: RunScript, store: Store, budget: RetryBudget | None) -> Steps[Any]:
    """Run a script on the node that has its keys, wherever their slot moves to."""
    yield Signal.OPEN
    node: Node | None = None
    importing: Node | None = None
    for _ in range(_REDIRECTS):
        try:
            node = importing or (yield Locate(effect.keys[0]))
            return (yield from _on_connection(effect, store, budget, node, is_importing=importing is not None))
        except MovedError as moved:
            yield Follow(moved)
            importing = None
        except AskError as moving:
            importing = yield Find(moving.host, moving.port)
            if importing is None:
                yield Refresh(None)
                raise ClusterDownError("a slot moves to an unknown node") from None
        except MaxConnectionsError:
            raise
        except STALE:
            yield Refresh(node.name if node else None)
            raise
    raise TryAgainError("too many redirections")


def _on_connection(
    effect: RunScript, store: Store, budget: RetryBudget | None, node: Node | None = None, *, is_importing: bool = False
) -> Steps[Any]:
    """Run a script on one connection, and say whether the next call may use it."""
    try:
        while not (yield Acquire(node)):
            yield from _queue(store, budget)
        if store.is_borrowed and store.shape == "pool":
            reply = yield Retried(lambda: _exchange(effect, is_importing))
        else:
            reply = yield from _exchange(effect, is_importing)
    except Exception as error:
        yield Signal.RELEASE if is_answer(error) else Signal.DISCARD
        raise
    yield Signal.RELEASE
    return reply


def _queue(store: Store, budget: RetryBudget | None) -> Steps[None]:
    """Wait for a connection, as long as the store answers somebody."""
    while budget is not None and (left := budget.queue_s(store.answered)) > 0:
        if (yield Queue(left)):
            budget.queue_s(store.answered)
            return
    raise MaxConnectionsError("all connections are in use")


def _exchange(effect: RunScript, is_importing: bool) -> Steps[Any]:
    """Run a script by its SHA and, where the server does not know it, by its text."""
    keys = effect.keys
    try:
        if is_importing:
            yield _ASKING
        reply = yield ("EVALSHA", effect.script.sha, len(keys), *keys, *effect.args)
    except NoScriptError:
        if is_importing:  # A node forgets it with each command.
            yield _ASKING
        reply = yield ("EVAL", effect.script.text, len(keys), *keys, *effect.args)
    result = _read(effect, reply)
    if effect.replicas:
        # WAIT counts what this very connection wrote; on another one it would mean nothing.
        require_confirmed((yield ("WAIT", effect.replicas, WAIT_MS)), effect.replicas)
    return result


def _read(effect: RunScript, reply: Any) -> Any:
    """Return what a script replied; raises `UnknownReply` where it can't have replied this."""
    if not effect.script.fits(reply, effect.args):
        raise UnknownReply
    return reply
