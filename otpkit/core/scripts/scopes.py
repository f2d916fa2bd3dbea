"""The typed faces of the scripts that count a guard's scopes on a cluster: they lie on other nodes than phones."""

from __future__ import annotations

from typing import NamedTuple

from otpkit.core.scripts.parse import ListScript, Raw, count_of, numbers_of, text_of, unfit
from otpkit.effects import RunScript, Script


class Move(NamedTuple):
    """A send whose counts must be moved on other nodes (see moved.lua), and their times in region and range."""

    operation: bytes
    scopes: int
    counted_ms: int
    range_ms: int


def moves_of(value: Raw) -> tuple[Move, ...]:
    """Return the moves in the reply of a verification, see moved.lua."""
    found = []
    for text in text_of(value).split(";")[:-1]:
        operation, scopes, counted_ms, range_ms = text.split(" ")
        found.append(Move(bytes.fromhex(operation), int(scopes), int(counted_ms), int(range_ms)))
    return tuple(found)


class NarrowCount(NamedTuple):
    """What a range, an address or a network found. `wait_ms` is 0 unless it refuses."""

    now_ms: int
    is_over: int
    wait_ms: int
    is_counted: int


class CountNarrow(ListScript[NarrowCount]):
    """The face of count_narrow.lua."""

    __slots__ = ()

    lists = (NarrowCount,)

    def __call__(
        self,
        *,
        record_key: str,
        memory_key: str,
        now: int | str,
        guard: str,
        floor: str,
        share: str,
        far: str,
        length_ms: int,
    ) -> RunScript[NarrowCount]:
        """Judge a send by a range, an address or a network, and count it. `far` is the multiple at which it refuses."""
        args = (now, guard, floor, share, far, length_ms)
        return RunScript(self, (record_key, memory_key), args)

    def read(self, reply: Raw, args: Raw) -> NarrowCount:
        """Return what was found."""
        found = NarrowCount(*numbers_of(reply, 4))
        if found.is_over > 1 or found.is_counted > 1:
            raise unfit()
        return found


class MoveNarrow(Script[bool]):
    """The face of move_narrow.lua. Its reply is True if the send is moved now."""

    __slots__ = ()

    def __call__(
        self, *, record_key: str, memory_key: str, now: int | str, move: str, at_ms: int, length_ms: int
    ) -> RunScript[bool]:
        """Move a send, once."""
        return RunScript(self, (record_key, memory_key), (now, move, at_ms, length_ms))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if it is moved now."""
        return count_of(reply, 1) == 1


class WideCount(NamedTuple):
    """What a region and all regions together found. `scope` is that which refuses, or 0."""

    now_ms: int
    judged: int
    scope: int
    wait_ms: int
    counted_in: int


class CountWide(ListScript[WideCount]):
    """The face of count_wide.lua."""

    __slots__ = ()

    lists = (WideCount,)

    def __call__(
        self, *, region_key: str, memory_key: str, total_key: str, now: int | str, guard: str
    ) -> RunScript[WideCount]:
        """Judge a send by its region and by all regions together, and count it."""
        return RunScript(self, (region_key, memory_key, total_key), (now, guard))

    def read(self, reply: Raw, args: Raw) -> WideCount:
        """Return what was found."""
        found = WideCount(*numbers_of(reply, 5))
        if found.judged & ~56 or found.scope not in {0, 8, 16} or found.counted_in not in {0, 4, 12}:
            raise unfit()
        return found


class MoveWide(Script[bool]):
    """The face of move_wide.lua. Its reply is True if the send is moved now."""

    __slots__ = ()

    def __call__(
        self,
        *,
        region_key: str,
        memory_key: str,
        total_key: str,
        now: int | str,
        move: str,
        at_ms: int,
        counted_in: int,
    ) -> RunScript[bool]:
        """Move a send, or count a guess, once."""
        return RunScript(self, (region_key, memory_key, total_key), (now, move, at_ms, counted_in))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if it is moved now."""
        return count_of(reply, 1) == 1


class Claim(Script[bool]):
    """The face of claim.lua. Its reply is True unless the answer was used before."""

    __slots__ = ()

    def __call__(self, *, answer_key: str, now: int | str, operation: bytes, life_ms: int | str) -> RunScript[bool]:
        """Use up an answer for one send, or release it if `life_ms` is 0."""
        return RunScript(self, (answer_key,), (now, operation, life_ms))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True unless it was used before."""
        return count_of(reply, 1) == 1
