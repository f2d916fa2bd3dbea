"""The typed faces of circuit_state.lua and record_failure.lua: gateways are skipped after several failures in a row."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from otpkit.core.scripts.parse import Raw, count_of, unfit
from otpkit.effects import RunScript, Script


class Circuit(IntEnum):
    """The state of a gateway. A FAILED one is still tried; an OPEN one is skipped while others are available."""

    CLOSED = 0
    FAILED = 1
    OPEN = 2


class CircuitState(Script[list[Circuit]]):
    """The face of circuit_state.lua."""

    __slots__ = ()

    def __call__(self, *, gateways_key: str, now: int | str, names: Sequence[str]) -> RunScript[list[Circuit]]:
        """Read the states of gateways, in the order of `names`."""
        return RunScript(self, (gateways_key,), (now, *names))

    def read(self, reply: Raw, args: Raw) -> list[Circuit]:
        """Return one state for each gateway."""
        if type(reply) is not list or len(reply) != len(args) - 1:
            raise unfit()
        return [Circuit(count_of(state, 2)) for state in reply]


class RecordFailure(Script[bool]):
    """The face of record_failure.lua. Its reply is True if this failure opened the circuit."""

    __slots__ = ()

    def __call__(
        self, *, gateways_key: str, now: int | str, name: str, most_failures: int, rest_ms: int, operation: str
    ) -> RunScript[bool]:
        """Record that a gateway failed in a send. `most_failures=0` records that it served."""
        return RunScript(self, (gateways_key,), (now, name, most_failures, rest_ms, operation))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if it opened the circuit."""
        return count_of(reply, 1) == 1
