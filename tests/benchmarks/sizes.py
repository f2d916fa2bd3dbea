"""The sizes of the measurements."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """The number of each thing.

    These are: calls of a round, rounds, phones whose memory is measured, live challenges of a full store, rounds of a
    race, imports, and the seconds of one line of `tails`.
    """

    calls: int
    rounds: int
    phones: int
    crowd: int
    races: int
    imports: int
    tail_s: float


FULL = Sizes(calls=256, rounds=40, phones=20_000, crowd=1_000_000, races=20, imports=21, tail_s=10)
QUICK = Sizes(calls=128, rounds=15, phones=20_000, crowd=20_000, races=5, imports=7, tail_s=1)
TINY = Sizes(calls=16, rounds=2, phones=200, crowd=2_000, races=1, imports=1, tail_s=0.1)
