"""The positions of calls. A flow's next step depends on what it has got so far alone, so positions form a tree.

A generator can't be copied. To take another branch, a new one gets again what the first one got; its random bits are
drawn from its name, so that it does the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias
from unittest import mock

from providers import ACCEPTED, JUDGE, UNCERTAIN, Provided
from snapshots import Command, Snapshots, thawed

from otpkit import OTPError
from otpkit.core import crypto
from otpkit.core.config import Config
from otpkit.effects import Emit, Flow, NoAnswer, Outbound, RunScript, Together, Unconfirmed
from otpkit.errors import StoreUnavailableError
from otpkit.store.errors import UNFIT
from otpkit.testing import MovableClock

Event: TypeAlias = tuple[Any, ...]
"""What a call got: `("reply", number)`, `("replies", numbers)`, `("error", kind)`, `("word", outcome)`, or `DIES`."""

DIES: Event = ("dies",)
_DIES_SENT = "dies"


class Sent(NamedTuple):
    """A message that a gateway has, or may have."""

    call: int
    gateway: str
    phone: str
    send_id: str
    code: str
    outcome: str


class Beginning(NamedTuple):
    """How a call begins: its number, its name, and a function that returns its flow."""

    call: int
    name: str
    start: Callable[[], Flow[Any]]


class Position:
    """What a call has got so far, and its next effect or its outcome."""

    __slots__ = ("after", "commands", "effect", "error", "event", "live", "parent", "root", "sent", "tick", "value")

    def __init__(self, root: Beginning, parent: Position | None, event: Event, tick: int) -> None:
        self.root, self.parent, self.event, self.tick = root, parent, event, tick
        self.effect: Any = None
        """The next effect, or None if the call has ended."""
        self.commands: tuple[int, ...] = ()
        """The commands of the effect; none if it is a gateway's."""
        self.value: Any = None
        self.error: BaseException | None = None
        self.sent: tuple[Sent, ...] = () if parent is None else parent.sent
        self.live: _Running | None = None
        self.after: dict[tuple[Event, int], int] = {}

    @property
    def wire(self) -> Any:
        """The gateway whose step is next."""
        return self.effect.effect.function.__self__


class _Running:
    """A generator, and how many random values it has drawn."""

    def __init__(self, root: Beginning) -> None:
        self.name = root.name
        self.draws = 0
        self.flow: Any = None


class Positions:
    """All positions of a scenario's calls, numbered."""

    def __init__(self, config: Config, snapshots: Snapshots, clock: MovableClock, moments: list[float]) -> None:
        self._config = config
        self._snapshots = snapshots
        self._clock = clock
        self._moments = moments
        self._now: _Running | None = None
        self._closed: set[int] = set()
        self.all: list[Position] = []

    @contextlib.contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw random values from the names of calls."""
        with mock.patch.object(crypto.secrets, "token_bytes", self._draw):
            yield

    def begin(self, root: Beginning, tick: int) -> int:
        """Begin a call, and return the number of its first position."""
        return self._added(self.first(root, tick))

    def first(self, root: Beginning, tick: int) -> Position:
        """Return the first position of a call."""
        position = Position(root, None, (), tick)
        self._go_on(position, self._opened(position), next)
        return position

    def next(self, number: int, event: Event, tick: int) -> int:
        """Return the number of the position after an event."""
        position = self.all[number]
        found = position.after.get((event, tick))
        if found is None:
            found = position.after[event, tick] = self._added(self.grown(position, event, tick))
        return found

    def grown(self, position: Position, event: Event, tick: int) -> Position:
        """Return the position after an event. The flow goes on, unless it dies."""
        child = Position(position.root, position, event, tick)
        if event[0] == "word" and event[1] in (ACCEPTED, UNCERTAIN, _DIES_SENT):
            message = position.effect.effect.argument
            sent = Sent(position.root.call, position.wire.name, message.phone, message.send_id, message.code, event[1])
            child.sent = (*position.sent, sent)
        if event not in (DIES, ("word", _DIES_SENT)):
            running, position.live = position.live or self._at(position), None
            self._go_on(child, running, lambda flow: self._give(flow, position.effect, event))
        return child

    def close(self, number: int) -> None:
        """Check that the call can be cancelled at a position: its flow is closed, and takes no further step."""
        if number not in self._closed:
            self._closed.add(number)
            running = self._at(self.all[number])
            self._now = running
            running.flow.close()

    def died_sent(self, number: int, tick: int) -> int:
        """Return the position of a call that dies when the gateway has its message."""
        return self.next(number, ("word", _DIES_SENT), tick)

    def _added(self, position: Position) -> int:
        self.all.append(position)
        return len(self.all) - 1

    def _opened(self, position: Position) -> _Running:
        running = _Running(position.root)
        self._enter(running, position.tick)
        running.flow = position.root.start()
        return running

    def _at(self, position: Position) -> _Running:
        """Return a new generator at a position."""
        path = [position]
        while path[-1].parent is not None:
            path.append(path[-1].parent)
        path.reverse()
        running = self._opened(path[0])
        effect = _silent(running.flow, next(running.flow))
        for before, after in pairwise(path):
            self._enter(running, after.tick)
            effect = _silent(running.flow, self._give(running.flow, before.effect, after.event))
        assert type(effect) is type(position.effect)
        return running

    def _enter(self, running: _Running, tick: int) -> None:
        """Let a call go on as if it were alone in its process: nothing is left there by other calls."""
        self._now = running
        self._clock.now = self._moments[tick]
        trail, protection = self._config.trail, self._config.protection
        trail.pending, trail.written_s = {}, 0.0
        self._config.tallies.resumes_s = 0.0
        if protection is not None:
            protection.noted, protection.noted_s = {}, 0.0

    def _go_on(self, position: Position, running: _Running, step: Callable[[Any], Any]) -> None:
        self._enter(running, position.tick)
        try:
            effect = _silent(running.flow, step(running.flow))
        except StopIteration as stop:
            position.value = stop.value
        except OTPError as error:
            position.error = error.with_traceback(None)
        else:
            position.effect, position.live = effect, running
            position.commands = tuple(self._commands(effect))

    def _give(self, flow: Any, effect: Any, event: Event) -> Any:
        """Give a flow what a driver would, and return its next effect."""
        kind, what = event
        replies = self._snapshots.replies.values
        if kind == "error":
            return flow.throw(_error(effect, what))
        if kind == "word":
            return flow.send(what)
        if kind == "replies":
            return flow.send([_read(each, replies[one]) for each, one in zip(effect.scripts, what, strict=True)])
        if isinstance(effect, Outbound):
            return flow.send(replies[what].decode())
        return flow.send(_read(effect, replies[what]))

    def _commands(self, effect: Any) -> Iterator[int]:
        """Yield the numbers of an effect's commands."""
        number = self._snapshots.commands.number
        if isinstance(effect, RunScript):
            yield number(_command(effect))
        elif isinstance(effect, Together):
            yield from [number(_command(each)) for each in effect.scripts]
        else:
            assert isinstance(effect, Outbound), effect
            call: Any = effect.effect
            if isinstance(call.function.__self__, Provided):
                yield number(Command("captcha's provider", JUDGE, (f"provider:{call.argument}",), "", ()))

    def _draw(self, size: int) -> bytes:
        running = self._now
        assert running is not None
        running.draws += 1
        return sha256(f"{running.name} {running.draws}".encode()).digest()[:size]


def _silent(flow: Any, effect: Any) -> Any:
    """Pass over events, and return the effect that follows."""
    while isinstance(effect, Emit):
        effect = flow.send(None)
    return effect


def _command(effect: RunScript[Any]) -> Command:
    label = str(effect.args[0]).lstrip("0123456789")
    return Command(effect.script.name, effect.script.text, effect.keys, label, effect.args[1:])


def _read(effect: RunScript[Any], reply: Any) -> Any:
    try:
        return effect.script.read(thawed(reply), effect.args)
    except UNFIT as error:
        raise AssertionError(f"{effect.script.name} can't have returned {reply!r}") from error


def _error(effect: Any, kind: str) -> Exception:
    if isinstance(effect, Outbound):
        return NoAnswer("the provider did not answer")
    if kind == "unconfirmed":
        return Unconfirmed("Too few replicas confirmed it.", "Look at the replication.")
    return StoreUnavailableError("Redis did not answer.", "Look at the server.")
