"""The typed faces of the scripts that write and read the audit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from otpkit.core.scripts.parse import LATEST_MS, ListScript, Raw, count_of, text_of, unfit
from otpkit.effects import RunScript, Script

LENGTH: Final = 20_000
"""The most entries of a stream of the audit. One entry needs about 250 bytes."""

_ID = re.compile(r"([0-9]{1,15})-[0-9]{1,15}")
_REST = re.compile(r"\([0-9]{1,15}-[0-9]{1,15}|")


class Occurrence(NamedTuple):
    """A security event to write. If it `is_single`, it is written each time; otherwise it is counted by its subject."""

    operation: str
    action: str
    phone_id: str = ""
    scope: str = ""
    subject: str = ""
    times: int = 1
    is_single: int = 1


class Row(NamedTuple):
    """An entry as it is stored."""

    at_ms: int
    operation: str
    action: str
    actor: str = ""
    reason: str = ""
    phone_id: str = ""
    scope: str = ""
    subject: str = ""
    outcome: str = ""
    times: str = "1"


class AuditPage(NamedTuple):
    """A page of a stream's entries, newest first. `rest` is the `start` of the next page, or ""."""

    now_ms: int
    length: int
    oldest_ms: int
    rest: str
    rows: tuple[Row, ...]


class AuditAction(Script[bool]):
    """The face of audit_action.lua. Its reply is True."""

    __slots__ = ()

    def __call__(
        self,
        *,
        stream_key: str,
        now: int | str,
        operation: str,
        action: str,
        actor: str,
        reason: str,
        phone_id: str,
        scope: str,
        subject: str,
        outcome: str,
    ) -> RunScript[bool]:
        """Write what an operator is about to do, or how that ended."""
        texts = (action, actor, reason, phone_id, scope, subject, outcome)
        return RunScript(self, (stream_key,), (now, operation, *map(_escaped, texts)), self.replicas)

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1


class AuditEvents(Script[bool]):
    """The face of audit_events.lua. Its reply is True."""

    __slots__ = ()

    def __call__(
        self, *, stream_key: str, counts_key: str, now: int | str, events: Sequence[Occurrence]
    ) -> RunScript[bool]:
        """Write security events, or count them."""
        parts = [_escaped(part) if isinstance(part, str) else part for each in events for part in each]
        return RunScript(self, (stream_key, counts_key), (now, *parts))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1


class AuditEntries(ListScript[AuditPage]):
    """The face of audit_entries.lua."""

    __slots__ = ()

    lists = (AuditPage,)

    def __call__(
        self, *, stream_key: str, now: int | str, start: str, since_ms: int, phone_id: str, count: int
    ) -> RunScript[AuditPage]:
        """Read a page of a stream."""
        return RunScript(self, (stream_key,), (now, start, since_ms, phone_id, count))

    def read(self, reply: Raw, args: Raw) -> AuditPage:
        """Return the page. Entries of another form, such as those of a later version, are left out."""
        now_ms, length, oldest_ms, rest, rows = reply
        if not (0 <= now_ms <= LATEST_MS and 0 <= length <= LATEST_MS and 0 <= oldest_ms <= LATEST_MS):
            raise unfit()
        rest, rows = text_of(rest), text_of(rows)
        if not _REST.fullmatch(rest):
            raise unfit()
        found = [_row(lines) for lines in _entries(rows)]
        return AuditPage(now_ms, length, oldest_ms, rest, tuple(each for each in found if each is not None))


def _entries(text: str) -> list[list[str]]:
    """Return the lines of each entry: its id, and names and values in turn. A value may be empty."""
    found: list[list[str]] = []
    lines = text.split("\n") if text else []
    while lines:
        at = 1
        while at < len(lines) and not (lines[at] == "" and at % 2 == 1):
            at += 1
        found.append(lines[:at])
        lines = lines[at + 1 :]
    return found


def _row(lines: list[str]) -> Row | None:
    match = _ID.fullmatch(lines[0])
    if match is None or len(lines) % 2 == 0 or not 0 <= int(match[1]) <= LATEST_MS:
        raise unfit()
    known = {name: value for name, value in zip(lines[1::2], lines[2::2], strict=True) if name in Row._fields}
    try:
        known = {name: _unescaped(value) for name, value in known.items()}
        return Row(int(match[1]), **known) if known.get("times", "1").isdigit() else None
    except (TypeError, ValueError):
        return None


def _escaped(text: str) -> str:
    """Return a text as a JSON string without its quotes: it is ASCII, and has no line breaks."""
    return json.dumps(text)[1:-1]


def _unescaped(text: str) -> str:
    return str(json.loads(f'"{text}"'))
