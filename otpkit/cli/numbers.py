"""`otpkit numbers`: find phone numbers of a table that are not E.164 or occur twice, and print the correct form."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Final, TextIO

from otpkit import ConfigurationError, PhoneError, normalize

_DELIMITERS: Final = ",;\t|"
_USUAL: Final = frozenset({"phone", "phone_number", "mobile", "tel", "telephone", "手机", "手机号", "手机号码", "电话"})
_MAX_FIELD: Final = 2**31 - 1  # characters in a cell; a long cell must not lose its row
_COUNTED: Final = ("rows", "e164", "to_change", "twice", "not_numbers", "empty")
_LABELS: Final = ("Rows", "as E.164", "to change", "duplicates", "not mobile numbers", "empty")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: the line that it begins in, and its phone number as written."""

    line: int
    value: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A row with a problem.

    `becomes` is the number in E.164, or "" if `value` is not a mobile number; then `problem` is the reason. `same_as`
    is the first line with the same number, or 0 if this line is the first.
    """

    line: int
    value: str
    becomes: str
    same_as: int
    problem: str

    def __str__(self) -> str:
        if not self.becomes:
            return f"line {self.line}: {self.value!r} is not a mobile number: {self.problem}"
        change = f" becomes {self.becomes}" if self.value != self.becomes else ""
        twice = f" is also in line {self.same_as}" if self.same_as else ""
        return f"line {self.line}: {self.value}{change}{' and' if change and twice else ''}{twice}"


def check_numbers(
    write: Callable[[str], object], file: str, column: str | None, region: str, encoding: str, *, as_json: bool
) -> int:
    """Write a line for each finding, and one with the sums. Return the exit status.

    Args:
        write: prints a line.
        file: the path of a CSV file, or "-" for standard input.
        column: the column's name or position from 1; None finds it.
        region: the region of numbers without a country code.
        encoding: the encoding of the file.
        as_json: True to write JSON objects.

    Raises:
        ConfigurationError: the table can't be read to its end.
    """
    normalize("+8613800138000", region)  # raises for an unknown region, before anything is printed
    counts: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
    with _opened(file, encoding) as stream:
        for finding in _findings(_rows(stream, column), region, counts):
            write(json.dumps(asdict(finding), ensure_ascii=False) if as_json else str(finding))
    if as_json:
        write(json.dumps(counts))
    else:
        write(", ".join(f"{label}: {counts[name]}" for label, name in zip(_LABELS, _COUNTED, strict=True)) + ".")
    return 1 if counts["to_change"] or counts["twice"] or counts["not_numbers"] else 0


def _findings(rows: Iterable[Row], region: str, counts: Counter[str]) -> Iterator[Finding]:
    first_lines: dict[str, int] = {}
    for row in rows:
        counts["rows"] += 1
        if not row.value.strip():
            counts["empty"] += 1
            continue
        try:
            phone = normalize(row.value, region)
        except PhoneError as error:
            counts["not_numbers"] += 1
            yield Finding(row.line, row.value, "", 0, error.message("en"))
            continue
        same_as = first_lines.setdefault(phone, row.line)
        is_e164, is_first = row.value == phone, same_as == row.line
        counts["e164" if is_e164 else "to_change"] += 1
        counts["twice"] += not is_first
        if not (is_e164 and is_first):
            yield Finding(row.line, row.value, phone, 0 if is_first else same_as, "")


def _rows(stream: TextIO, column: str | None) -> Iterator[Row]:
    """Yield every row, including empty ones and those without the column."""
    csv.field_size_limit(_MAX_FIELD)
    line = 1
    try:
        head = stream.readline()
        reader = csv.reader(chain([head] if head else [], stream), delimiter=_delimiter(head), strict=True)
        place = -1
        for cells in reader:
            if place < 0:
                place, is_header = _place(cells, column)
                if is_header:
                    line = reader.line_num + 1
                    continue
            yield Row(line, cells[place] if place < len(cells) else "")
            line = reader.line_num + 1
    except csv.Error as error:
        raise _unreadable(line, f"{error}") from None
    except UnicodeDecodeError:
        raise _unreadable(line, "it has another encoding; set it with --encoding") from None


def _place(cells: list[str], column: str | None) -> tuple[int, bool]:
    """Return the index of the column with the numbers. The second value is True if the first row is a header."""
    names = [cell.strip() for cell in cells]
    if column is not None and column in names:
        return names.index(column), True
    if column is None and len(cells) > 1:
        if len(usual := [place for place, name in enumerate(names) if name.lower() in _USUAL]) == 1:
            return usual[0], True
        raise ConfigurationError("The table has several columns.", "Select the one with the numbers: --column phone.")
    if column is not None and not (column.isascii() and column.isdigit() and 0 < int(column) <= len(cells)):
        raise ConfigurationError(
            f"The table has no column {column!r:.40}.", "Use a name in its first row, or a position from 1."
        )
    place = 0 if column is None else int(column) - 1
    return place, bool(names) and bool(names[place]) and not any(map(str.isdigit, names[place]))


def _delimiter(head: str) -> str:
    return max(_DELIMITERS, key=head.count)  # the first delimiter if the row has none


@contextmanager
def _opened(file: str, encoding: str) -> Iterator[TextIO]:
    try:
        source = sys.stdin.fileno() if file == "-" else file
        # Bytes in another encoding, such as in a name, must not lose a row.
        stream = open(source, encoding=encoding, errors="surrogateescape", newline="", closefd=file != "-")  # noqa: SIM115
    except (OSError, LookupError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{file!r:.200} can't be opened: {reason}.", "Use a CSV file, or -.") from None
    with stream:
        yield stream


def _unreadable(line: int, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The table can't be read from line {line} on: {reason}. The output covers the rows before it.",
        "Correct the table and run this again.",
    )
