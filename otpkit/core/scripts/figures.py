"""The typed faces of add_figures.lua and figures.lua: counts for operators, in one hash of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from otpkit.core.scripts.parse import LATEST_MS, ListScript, Raw, count_of, text_of, unfit
from otpkit.effects import RunScript, Script

_FIGURE = re.compile(r"[ !][A-Z]{2} [a-z0-9_.-]{1,24} [vw]")
_COUNTER = re.compile(r"([0-9]+) ([A-Z*]{1,2}) ([a-z0-9_.*-]{1,24}) ([a-z][a-z0-9_]*)")
_PACKED = re.compile(r"([A-Z*]{1,2}) ([a-z0-9_.*-]{1,24}) ([a-z0-9_=,-]*)")
_COUNT = re.compile(r"([a-z][a-z0-9_]*)=(-?[0-9]{1,18})")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_PERIOD = re.compile(r"([hd])([0-9]+)")


class Figure(NamedTuple):
    """The figure at the end of a script's reply: what the caller counts, or "", and its gateway, or "".

    `counts` has the form that add_figures.lua takes.
    """

    counts: str = ""
    gateway: str = ""


NO_FIGURE: Final = Figure()


def figure_of(value: Raw) -> Figure:
    """Return a figure. The caller counts one that begins with `!`."""
    text = text_of(value)
    if not _FIGURE.fullmatch(text):
        raise unfit()
    gateway = text.split(" ")[-2]
    return Figure(f" {text[1:]}" if text[0] == "!" else "", "" if gateway == "." else gateway)


class AddFigures(Script[bool]):
    """The face of add_figures.lua. Its reply is True if they are counted now."""

    __slots__ = ()

    def __call__(self, *, stats_key: str, memory_key: str, now: int | str, figures: Sequence[str]) -> RunScript[bool]:
        """Count figures once for the operation of `memory_key`."""
        return RunScript(self, (stats_key, memory_key), (now, *figures))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if they are counted now."""
        return count_of(reply, 1) == 1


class Counter(NamedTuple):
    """A count of one hour: the hour since 1970, the region or `*`, the gateway, `.` or `*`, what, and how many.

    `is_day` is True if it is the count of the UTC day that begins with this hour.
    """

    hour: int
    region: str
    gateway: str
    what: str
    number: int
    is_day: bool = False


class Counted(NamedTuple):
    """The time, and all counters of the span."""

    now_ms: int
    counters: tuple[Counter, ...]


class FiguresOf(ListScript[Counted]):
    """The face of figures.lua."""

    __slots__ = ()

    lists = (Counted,)

    def __call__(self, *, stats_key: str, now: int | str, hours: int) -> RunScript[Counted]:
        """Read the counters of the last `hours`; 0 reads all that are kept."""
        return RunScript(self, (stats_key,), (now, hours))

    def read(self, reply: Raw, args: Raw) -> Counted:
        """Return the counters."""
        now_ms, fields = reply
        if not 0 <= now_ms <= LATEST_MS or type(fields) is not list:
            raise unfit()
        found: list[Counter] = []
        for name, value in zip(map(text_of, fields[::2]), map(text_of, fields[1::2]), strict=True):
            found += _counters(name, value)
        return Counted(now_ms, tuple(found))


def _counters(name: str, value: str) -> list[Counter]:
    """Return the counters of a field. Fields of other forms are those of a later version."""
    if match := _COUNTER.fullmatch(name):
        if not _NUMBER.fullmatch(value):
            raise unfit()
        return [Counter(int(match[1]), match[2], match[3], match[4], int(value))]
    match = _PERIOD.fullmatch(name)
    if match is None:
        return []
    is_day = match[1] == "d"
    hour = int(match[2]) * (24 if is_day else 1)
    return [
        Counter(hour, line[1], line[2], count[1], int(count[2]), is_day)
        for line in map(_PACKED.fullmatch, value.splitlines())
        if line is not None
        for count in _COUNT.finditer(line[3])
    ]
