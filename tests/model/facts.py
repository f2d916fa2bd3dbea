"""The state of the model: phones, challenges, sends, proofs. Times are milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from otpkit import Rate

SETTLE_MS = 30_000


class OneOf:
    """Equal to any of several values, where the design allows more than one."""

    def __init__(self, values: Iterable[object]) -> None:
        self.values = tuple(values)

    def __eq__(self, other: object) -> bool:
        return other in self.values

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return " or ".join(map(repr, self.values))


class Who(NamedTuple):
    """A phone, a purpose and a bind."""

    phone: str
    purpose: str
    bind: str


@dataclass(frozen=True)
class Answer:
    """The result of a call: a word, its evidence, and its challenge or proof (or the id of it)."""

    word: str
    evidence: dict[str, Any] = field(default_factory=dict)
    subject: Any = None


@dataclass(eq=False)
class Challenge:
    """A live challenge. `code` is None until the test has seen it."""

    start: int
    wrong: int = 0
    code: str | None = None


@dataclass(eq=False)
class Send:
    """A message that was sent, or is being sent."""

    op: Hashable
    time: int
    ends: int
    challenge: Challenge
    who: Who
    key: str | None
    state: str = "pending"

    def delivery(self, now: int) -> str:
        return "uncertain" if self.state == "pending" and now - self.time >= SETTLE_MS else self.state


@dataclass(eq=False)
class Proof:
    """A verified phone."""

    issued: int
    ends: int
    redeemed_by: Hashable = None


@dataclass(eq=False)
class Phone:
    """All stored data of a phone."""

    sends: list[Send] = field(default_factory=list)
    failures: dict[Hashable, tuple[int, int]] = field(default_factory=dict)  # Time, attempts left.
    challenges: dict[tuple[str, str], Challenge] = field(default_factory=dict)
    proofs: dict[Hashable, Proof] = field(default_factory=dict)
    consecutive: int = 0

    def find(self, op: Hashable) -> Send | None:
        return next((send for send in self.sends if send.op == op), None)

    def sends_of(self, challenge: Challenge) -> list[Send]:
        return [send for send in self.sends if send.challenge is challenge and send.state != "rejected"]

    def ends(self, challenge: Challenge) -> int:
        return max((send.ends for send in self.sends_of(challenge)), default=0)

    def live(self, who: Who, now: int) -> Challenge | None:
        challenge = self.challenges.get((who.purpose, who.bind))
        return challenge if challenge and self.ends(challenge) > now else None


def whole_seconds(ms: int) -> OneOf:
    """Return the seconds, rounded down or up."""
    return OneOf({ms // 1000, -(-ms // 1000)})


def rolling_waits(times: Iterable[int], rates: Iterable[Rate], now: int) -> dict[Rate, int]:
    """Return the wait until each used-up rate allows one more."""
    newest = sorted(times, reverse=True)
    return {
        rate: max(0, newest[rate.limit - 1] + rate.seconds * 1000 - now) for rate in rates if len(newest) >= rate.limit
    }


def rolling_wait(times: Iterable[int], rates: Iterable[Rate], now: int) -> int:
    """Return the wait until all rates allow one more."""
    return max(rolling_waits(times, rates, now).values(), default=0)


def rolling_left(times: Iterable[int], rates: Sequence[Rate], now: int) -> int:
    """Return the number that the longest window still allows."""
    return max(0, rates[-1].limit - sum(time > now - rates[-1].seconds * 1000 for time in times))
