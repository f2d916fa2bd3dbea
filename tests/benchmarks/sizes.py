"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Calls of a round, rounds, phones whose memory is weighed, live challenges of a full store, rounds of a race."""

    calls: int
    rounds: int
    phones: int
    crowd: int
    races: int
    imports: int


FULL = Sizes(calls=256, rounds=40, phones=20_000, crowd=1_000_000, races=20, imports=21)
QUICK = Sizes(calls=128, rounds=15, phones=20_000, crowd=20_000, races=5, imports=7)
TINY = Sizes(calls=16, rounds=2, phones=200, crowd=2_000, races=1, imports=1)
