"""A deployment's own log in place of simulated honest people.

The log is a CSV file in UTF-8 with a line of names and a line for each message that was asked for:

time
    ISO 8601 with an offset, or seconds since 1970.
number
    The phone, or better a hash of it: any text that is the same for the same phone.
address
    The visitor's address, or a hash of it: any text that is the same for the same address.
outcome
    `verified` if the code of this message was typed, else `unverified`.
range
    Optional: a hash of the number without its last four digits. Without it, each number is in a range of its own.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from otpkit.errors import ConfigurationError, FieldProblem
from otpkit.simulator.places import BLOCKS, number
from otpkit.simulator.timeline import DAY_S

NAMES: Final = ("time", "number", "address", "outcome")
_MOST_PROBLEMS: Final = 5
_VERIFIED: Final = {"verified": True, "unverified": False}


@dataclass(frozen=True, slots=True)
class Line:
    """One message of the log: seconds since midnight UTC of its first day, phone, address, and whether it was verified.

    Phone and address are inventions that stand for those of the log.
    """

    second: float
    phone: str
    ip: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """A log, in the order of time."""

    lines: tuple[Line, ...]

    @property
    def days(self) -> int:
        """The days that it covers, at least 1."""
        return int(self.lines[-1].second // DAY_S) + 1

    @property
    def per_day(self) -> int:
        """The messages of a day."""
        return round(len(self.lines) / self.days)

    @property
    def conversion(self) -> float:
        """The share of the messages that was verified."""
        return round(sum(line.verified for line in self.lines) / len(self.lines), 4)


def read_trace(path: str) -> Trace:
    """Read a log.

    Args:
        path: the path of the CSV file.

    Raises:
        ConfigurationError: the file can't be read, or lines of it are wrong. The error names the first five.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NAMES if name not in (reader.fieldnames or ())]
            rows = [] if missing else list(reader)
    except (OSError, ValueError, csv.Error) as error:
        reason = error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is no CSV file in UTF-8"
    else:
        if missing:
            raise ConfigurationError(
                f"--trace: {path} lacks the columns {', '.join(missing)}.", f"Its first line names {', '.join(NAMES)}."
            )
        return _trace(path, rows)
    raise ConfigurationError(f"--trace: {path} can't be read: {reason}.", "Check the path and the file.")


def _trace(path: str, rows: list[dict[str, str]]) -> Trace:
    problems: list[FieldProblem] = []
    found: list[tuple[float, dict[str, str]]] = []
    for index, row in enumerate(rows, 2):
        where = f"{path}, line {index}"
        time = _time(row["time"] or "")
        if time is None:
            problems.append(FieldProblem(where, f"{where}: time is no ISO 8601 time with an offset, and no number."))
        if not row["number"] or not row["address"]:
            problems.append(FieldProblem(where, f"{where}: number or address is empty."))
        if row["outcome"] not in _VERIFIED:
            problems.append(FieldProblem(where, f"{where}: outcome is neither verified nor unverified."))
        found.append((time or 0.0, row))
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        remedy = "Correct the lines" + (f", and {more} more." if more > 0 else ".")
        raise ConfigurationError(problems=[each._replace(remedy=remedy) for each in problems[:_MOST_PROBLEMS]])
    if not found:
        raise ConfigurationError(f"--trace: {path} has no line below its names.", "Write one for each message.")
    found.sort(key=lambda each: each[0])
    midnight = found[0][0] // DAY_S * DAY_S
    return Trace(tuple(_lines(found, midnight)))


def _time(text: str) -> float | None:
    try:
        time = float(text)
    except ValueError:
        pass
    else:
        return time if math.isfinite(time) and time >= 0 else None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _lines(found: list[tuple[float, dict[str, str]]], midnight: float) -> Iterator[Line]:
    last_of: dict[str, int] = {}  # The next free number of each block.
    phones: dict[str, str] = {}
    for time, row in found:
        name = row["number"]
        if name not in phones:
            block = _digest(row.get("range") or f"number/{name}") % BLOCKS
            key = str(block)
            last_of[key] = last_of.get(key, -1) + 1
            phones[name] = number(block, last_of[key] % 10_000)
        yield Line(time - midnight, phones[name], _address(row["address"]), _VERIFIED[row["outcome"]])


def _digest(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8])


def _address(text: str) -> str:
    """Return an invented IPv4 address that stands for one of the log."""
    drawn = _digest(f"address/{text}")
    return f"{60 + drawn % 66}.{drawn >> 8 & 255}.{drawn >> 16 & 255}.{1 + (drawn >> 24) % 254}"
