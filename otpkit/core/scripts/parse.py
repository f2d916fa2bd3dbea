"""Parse script replies. Replies hold integers and ASCII strings, as bytes or str depending on `decode_responses`.

A proxy's `+OK` or the reply to another request is not a script's reply. So each value is checked as it is parsed, and
a wrong one raises AttributeError, LookupError, TypeError or ValueError. Every call runs this code, so it is written for
speed: a value of the wrong type fails in a comparison. Times are server milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, TypeVar

from otpkit.effects import Script
from otpkit.errors import RateLimitError, RateLimitScope
from otpkit.models import Challenge, DeliveryState
from otpkit.policy import Rate

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Raw: TypeAlias = Any
"""A reply as the client returns it, or a script's arguments, before parsing. Nothing else is untyped."""

LATEST_MS = 253_402_300_799_999  # The last millisecond of the year 9999: no time is later, no count is greater.
EMPTY = ("", b"")
"""The empty text of a reply."""

SCOPES: Mapping[str, RateLimitScope] = {
    "phone": "phone",
    "ip": "ip",
    "region": "region",
    "total": "total",
    "failures": "failures",
}
_REASONS: Mapping[RateLimitScope, str] = {
    "phone": "This phone was sent as many messages as Policy.sends and device_sends allow",
    "ip": "This IP address has used up Policy.ip_sends or Policy.ip_failures",
    "region": "The phone's region has used up Policy.region_sends",
    "total": "All phones together have used up Policy.total_sends",
    "failures": "This phone has had as many wrong codes as Policy.failures and device_failures allow",
}


def by_word(table: Mapping[str, T]) -> dict[str | bytes, T]:
    """Return a table with each key both as str and as bytes."""
    return {key: value for word, value in table.items() for key in (word, word.encode())}


_DELIVERY: Mapping[str | bytes, DeliveryState] = by_word(
    {"p": "pending", "a": "accepted", "u": "uncertain", "d": "delivered", "f": "failed"}
)
_SCOPES = by_word(SCOPES)


def unfit() -> ValueError:
    """Return the error for a value that no script returns."""
    return ValueError("no value of this script's")


def text_of(value: Raw) -> str:
    """Return an ASCII text; raise ValueError for any other."""
    text: str = value.decode("ascii") if type(value) is bytes else value
    if not text.isascii():
        raise unfit()
    return text


def hex_of(value: Raw, size: int) -> bytes:
    """Return `size` bytes from lower-case hexadecimal without blanks."""
    text = value.decode("ascii") if type(value) is bytes else value
    found = bytes.fromhex(text)
    if len(found) != size or found.hex() != text:
        raise unfit()
    return found


def delivery_of(letter: Raw) -> DeliveryState:
    """Return the delivery state for a send's letter."""
    return _DELIVERY[letter]


def count_of(reply: Raw, most: int = LATEST_MS) -> int:
    """Return a reply that is a single number from 0 to `most`."""
    if type(reply) is not int or not 0 <= reply <= most:
        raise unfit()
    return reply


def numbers_of(reply: Raw, size: int) -> list[int]:
    """Return a reply that is a list of `size` times and counts."""
    if (
        type(reply) is not list
        or len(reply) != size
        or type(sum(reply)) is not int
        or min(reply) < 0
        or max(reply) > LATEST_MS
    ):
        raise unfit()
    return reply


class WordScript(Script[T_co]):
    """A script whose replies begin with its operation (see operation.lua) and a word that names the rest."""

    __slots__ = ()

    words: Mapping[str | bytes, Callable[[Raw, Raw], T_co]]
    """The `parse` method of the class for each word."""

    def read(self, reply: Raw, args: Raw) -> T_co:
        """Return a reply to this operation as the class of its word."""
        if type(reply) is not list or reply[0] != int.from_bytes(args[1][:6], "big"):
            raise unfit()
        return self.words[reply[1]](reply, args)


class ListScript(Script[T_co]):
    """A script that replies with a list of values."""

    __slots__ = ()

    lists: tuple[type[NamedTuple], ...]
    """The classes for its lists."""


class Described(NamedTuple):
    """A description of a send and its challenge by `describe` in describe.lua."""

    ends_ms: int
    resend_ms: int
    attempts_left: int
    sends_left: int
    delivery: DeliveryState
    generation: str
    fixed: bool
    served_by: str

    @classmethod
    def parse(cls, values: Raw) -> Self:
        """Return the values of `describe`."""
        ends_ms, resend_ms, attempts_left, sends_left, delivery, generation, fixed, served_by = values
        if type(generation) is bytes:
            generation, served_by = generation.decode("ascii"), served_by.decode("ascii")
        if not (
            0 <= ends_ms <= LATEST_MS
            and 0 <= resend_ms <= LATEST_MS
            and 0 <= attempts_left <= LATEST_MS
            and 0 <= sends_left <= LATEST_MS
            and 0 <= fixed <= 1
            and len(generation) == 8
            and not generation.strip("0123456789abcdef")
            and served_by.isascii()
        ):
            raise unfit()
        state = _DELIVERY[delivery]
        return cls(ends_ms, resend_ms, attempts_left, sends_left, state, generation, fixed == 1, served_by)


class Describable(Protocol):
    """A subject, which knows whose challenge a description is."""

    def live_challenge(self, now_ms: int, described: Described) -> Challenge | None:
        """Return the challenge that was described at `now_ms`, or None if it has ended."""


class Limited(NamedTuple):
    """The reply if rates refuse the call, with the rate whose wait is longest. `described` is the live challenge."""

    now_ms: int
    scope: RateLimitScope
    wait_ms: int
    limit: int
    window_ms: int
    described: Described | None

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the reply of limited.lua."""
        _, _, now_ms, scope, wait_ms, limit, window_ms, *described = reply
        if not (
            type(now_ms + wait_ms + limit + window_ms) is int
            and 0 <= now_ms <= LATEST_MS
            and 0 <= wait_ms <= LATEST_MS
            and 1 <= limit <= LATEST_MS
            and 1000 <= window_ms <= LATEST_MS
        ):
            raise unfit()
        challenge = Described.parse(described) if described else None
        return cls(now_ms, _SCOPES[scope], wait_ms, limit, window_ms, challenge)

    def error(self, subject: Describable) -> RateLimitError:
        """Return the error for the caller."""
        rate = Rate(self.limit, self.window_ms // 1000)
        seconds = max(1, math.ceil(self.wait_ms / 1000))
        return RateLimitError(
            f"{_REASONS[self.scope]} ({rate}). Nothing was sent or verified.",
            f"The same call may succeed in {seconds} s.",
            scope=self.scope,
            rate=rate,
            retry_after=seconds,
            challenge=None if self.described is None else subject.live_challenge(self.now_ms, self.described),
        )


class Word:
    """A reply of one word."""

    __slots__ = ()

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the word if it is the whole reply."""
        _, _ = reply
        return cls()


class Blocked(Word):
    """The phone is blocked."""

    __slots__ = ()
