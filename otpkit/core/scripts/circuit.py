"""The typed faces of the scripts about gateways: failures in a row, circuits, and last errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from otpkit.core.scripts.parse import LATEST_MS, Raw, count_of, text_of, unfit
from otpkit.effects import RunScript, Script

_ERROR = re.compile(r"([0-9]{1,15}) ([a-z_]{1,20}) (\S{1,64})")
NO_CODE = "-"


class Circuit(IntEnum):
    """The state of a gateway's circuit. Only an OPEN one is skipped while others are available."""

    CLOSED = 0
    FAILED = 1
    OPEN = 2
    HALF_OPEN = 3


class CircuitState(Script[list[Circuit]]):
    """The face of circuit_state.lua."""

    __slots__ = ()

    def __call__(
        self, *, gateways_key: str, notes_key: str, now: int | str, names: Sequence[str]
    ) -> RunScript[list[Circuit]]:
        """Read the states of gateways, in the order of `names`."""
        return RunScript(self, (gateways_key, notes_key), (now, *names))

    def read(self, reply: Raw, args: Raw) -> list[Circuit]:
        """Return one state for each gateway."""
        if type(reply) is not list or len(reply) != len(args) - 1:
            raise unfit()
        return [Circuit(count_of(state, 3)) for state in reply]


class RecordFailure(Script[bool]):
    """The face of record_failure.lua. Its reply is True if this opened the circuit, or closed it."""

    __slots__ = ()

    def __call__(
        self, *, gateways_key: str, now: int | str, name: str, most_failures: int, rest_ms: int, operation: str
    ) -> RunScript[bool]:
        """Record that a gateway failed in a send. `most_failures=0` records that it served."""
        return RunScript(self, (gateways_key,), (now, name, most_failures, rest_ms, operation))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if it opened or closed the circuit."""
        return count_of(reply, 1) == 1


class NoteGateway(Script[bool]):
    """The face of note_gateway.lua. Its reply is True."""

    __slots__ = ()

    def __call__(self, *, notes_key: str, now: int | str, field: str, value: str | int) -> RunScript[bool]:
        """Keep a gateway's last error, or that its circuit was opened by hand."""
        return RunScript(self, (notes_key,), (now, field, value))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1


class CloseCircuit(Script[bool]):
    """The face of close_circuit.lua. Its reply is True."""

    __slots__ = ()

    def __call__(self, *, gateways_key: str, notes_key: str, now: int | str, name: str) -> RunScript[bool]:
        """Close the circuit of a gateway."""
        return RunScript(self, (gateways_key, notes_key), (now, name))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1


class GatewayRecord(NamedTuple):
    """What is recorded of a gateway. Times are server milliseconds, or 0; without an error its texts are ""."""

    failures: int
    ends_ms: int
    by_hand_ends_ms: int
    error_ms: int = 0
    category: str = ""
    code: str = ""


class Recorded(NamedTuple):
    """The records of gateways, in the order in which they were asked for."""

    now_ms: int
    records: tuple[GatewayRecord, ...]


class GatewayRecords(Script[Recorded]):
    """The face of gateway_records.lua."""

    __slots__ = ()

    def __call__(
        self, *, gateways_key: str, notes_key: str, now: int | str, names: Sequence[str]
    ) -> RunScript[Recorded]:
        """Read what is recorded of gateways, in the order of `names`."""
        return RunScript(self, (gateways_key, notes_key), (now, *names))

    def read(self, reply: Raw, args: Raw) -> Recorded:
        """Return the records."""
        if type(reply) is not list or len(reply) != 1 + 4 * (len(args) - 1):
            raise unfit()
        records = tuple(_record(reply[place : place + 4]) for place in range(1, len(reply), 4))
        return Recorded(count_of(reply[0], LATEST_MS), records)


def _record(values: Sequence[Raw]) -> GatewayRecord:
    failures, ends_ms, by_hand_ends_ms, error = values
    counts = count_of(failures, LATEST_MS), count_of(ends_ms, LATEST_MS), count_of(by_hand_ends_ms, LATEST_MS)
    text = text_of(error)
    if not text:
        return GatewayRecord(*counts)
    found = _ERROR.fullmatch(text)
    if found is None:
        raise unfit()
    code = "" if found[3] == NO_CODE else found[3]
    return GatewayRecord(*counts, error_ms=int(found[1]), category=found[2], code=code)
