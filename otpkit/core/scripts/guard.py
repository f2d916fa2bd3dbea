"""The typed faces of the scripts that only a guard needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from otpkit.core.scripts.parse import LATEST_MS, ListScript, Raw, count_of, numbers_of, text_of, unfit
from otpkit.effects import RunScript, Script

_VALUE = re.compile(r"[0-9]+(?: [0-9]+)?")


class Answer(IntEnum):
    """What is remembered of a captcha's answer."""

    UNKNOWN = 0
    RIGHT = 1
    USED = 2


class Remember(Script[Answer]):
    """The face of remember.lua."""

    __slots__ = ()

    def __call__(self, *, answer_key: str, now: int | str, life_ms: int) -> RunScript[Answer]:
        """Read what is remembered of an answer; remember that it was right unless `life_ms` is 0."""
        return RunScript(self, (answer_key,), (now, life_ms))

    def read(self, reply: Raw, args: Raw) -> Answer:
        """Return what is remembered."""
        return Answer(count_of(reply, 2))


class Counts(NamedTuple):
    """The counts of a range, an address or a network."""

    now_ms: int
    override: int
    ends_ms: int
    slot_ms: int
    quiet: int
    unverified: int
    verified: int


class RegionCounts(NamedTuple):
    """The counts of a region, or of all regions together."""

    now_ms: int
    override: int
    ends_ms: int
    short_unverified: int
    short_verified: int
    unverified: int
    verified: int
    guesses: int
    share: int
    days: int
    regions: int


class Look(ListScript[Counts | RegionCounts]):
    """The face of look.lua."""

    __slots__ = ()

    lists = (Counts, RegionCounts)

    def __call__(self, *, record_key: str, now: int | str, length_ms: int) -> RunScript[Counts | RegionCounts]:
        """Read the counts of a scope."""
        return RunScript(self, (record_key,), (now, length_ms))

    def read(self, reply: Raw, args: Raw) -> Counts | RegionCounts:
        """Return the counts."""
        if type(reply) is list and len(reply) == len(Counts._fields):
            return Counts(*numbers_of(reply, len(Counts._fields)))
        return RegionCounts(*numbers_of(reply, len(RegionCounts._fields)))


class Override(Script[bool]):
    """The face of override.lua. Its reply is True."""

    __slots__ = ()

    def __call__(self, *, record_key: str, now: int | str, letter: str, life_ms: int, size: int) -> RunScript[bool]:
        """Override a scope, or end that."""
        return RunScript(self, (record_key,), (now, letter, life_ms, size))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1


class Note(Script[bool]):
    """The face of note.lua. Its reply is True."""

    __slots__ = ()

    def __call__(
        self,
        *,
        notes_key: str,
        since_key: str,
        now: int | str,
        mode: str,
        decisions: Sequence[tuple[str, str, str, int]],
    ) -> RunScript[bool]:
        """Note the guard's mode, as in judge.lua, and its decisions.

        A decision is the outcome, the scope, the name of its subject or "", and how many there were.
        """
        args = (now, mode, *[part for each in decisions for part in each])
        return RunScript(self, (notes_key, since_key), args)

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1


class Noted(NamedTuple):
    """What was noted: since when a guard has only observed, or 0; fields and values in turn, each on a line."""

    now_ms: int
    since_ms: int
    noted: str


class Notes(ListScript[Noted]):
    """The face of notes.lua."""

    __slots__ = ()

    lists = (Noted,)

    def __call__(self, *, notes_key: str, since_key: str, now: int | str) -> RunScript[Noted]:
        """Read what was noted."""
        return RunScript(self, (notes_key, since_key), (now,))

    def read(self, reply: Raw, args: Raw) -> Noted:
        """Return what was noted."""
        now_ms, since_ms, noted = reply
        if not (0 <= now_ms <= LATEST_MS and 0 <= since_ms <= LATEST_MS and type(since_ms) is int):
            raise unfit()
        text = text_of(noted)
        lines = text.split("\n") if text else []
        if len(lines) % 2 or not all(map(_VALUE.fullmatch, lines[1::2])):
            raise unfit()
        return Noted(now_ms, since_ms, text)
