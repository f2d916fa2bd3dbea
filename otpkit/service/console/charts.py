"""Lay out the drawings of the console. The templates write them as inline SVG with attributes alone: no style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from otpkit.models import Figures, Stats
from otpkit.service.console.words import Words

WIDTH: Final = 960
HEIGHT: Final = 200
_GAP: Final = 0.28  # of the space of one bar
_GROUPS: Final = ((24, 1), (168, 6))  # (most hours of the span, hours that one bar stands for)
_LABELS: Final = 4  # labels below the drawing, without that of the end


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: the messages of a span of time, and the verifications in front of them."""

    start: datetime
    sent: int
    verified: int
    x: float
    width: float
    sent_y: float
    sent_height: float
    verified_y: float
    verified_height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """The messages and verifications, drawn. `hours` is what one bar stands for, `top` the number at its top."""

    bars: tuple[Bar, ...]
    hours: int
    top: int
    labels: tuple[datetime, ...]

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to draw."""
        return not any(bar.sent or bar.verified for bar in self.bars)


def chart_of(stats: Stats) -> Chart:
    """Return the drawing of the spans of `stats`, with several hours in one bar if there are many."""
    spans = stats.spans
    hours = next((each for most, each in _GROUPS if len(spans) <= most), 24)
    groups = list(_grouped(spans, hours))
    top = _nice(max((max(sent, verified) for _, sent, verified in groups), default=0))
    step = WIDTH / max(1, len(groups))
    bars = []
    for place, (start, sent, verified) in enumerate(groups):
        high, low = HEIGHT * sent / top, HEIGHT * verified / top
        bar = Bar(start, sent, verified, step * (place + _GAP / 2), step * (1 - _GAP), HEIGHT - high, high, 0, 0)
        bars.append(replace(bar, verified_y=HEIGHT - low, verified_height=low))
    every = max(1, math.ceil(len(groups) / _LABELS))
    return Chart(tuple(bars), hours, top, tuple(start for start, _, _ in groups[::every]))


def _grouped(spans: Sequence[tuple[datetime, Figures]], hours: int) -> Iterable[tuple[datetime, int, int]]:
    """Yield the start, messages and verifications of each group. The last group is whole, the first may be shorter."""
    size = 1 if len(spans) > 1 and spans[1][0] - spans[0][0] >= timedelta(days=1) else hours
    first = len(spans) % size
    starts = [0, *range(first, len(spans), size)] if first else list(range(0, len(spans), size))
    for start, end in pairwise([*starts, len(spans)]):
        group = [figures for _, figures in spans[start:end]]
        yield spans[start][0], sum(each.sent for each in group), sum(each.verified for each in group)


def _nice(most: int) -> int:
    """Return the smallest of 4, 10, 20, 40, 60, 80, 100, 200, … that is not less than `most`: half of it is whole."""
    if most <= 4:
        return 4
    size = int(10 ** math.floor(math.log10(most)))
    return next(times * size for times in (1, 2, 4, 6, 8, 10) if times * size >= most)


@dataclass(frozen=True, slots=True)
class Row:
    """A region or a gateway in a table, with the texts of its cells."""

    name: str
    sent: str
    verified: str
    conversion: str
    share: float
    receipt: str
    cost: str


def rows_of(by_name: Iterable[tuple[str, Figures]], words: Words) -> tuple[Row, ...]:
    """Return the rows of a table, the one with most messages first, and "other" last. Costs have no currency."""
    found = sorted(by_name, key=lambda each: (each[0] == "other", -each[1].sent, each[0]))
    return tuple(
        Row(
            name=name,
            sent=words.number(figures.sent),
            verified=words.number(figures.verified),
            conversion=words.share(figures.conversion),
            share=min(1.0, figures.conversion or 0.0),
            receipt=words.seconds(figures.receipt_p50),
            cost=f"{figures.cost:,.2f}",
        )
        for name, figures in found
    )
