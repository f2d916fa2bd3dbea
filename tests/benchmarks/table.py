"""The table: figure, measured value, goal, met or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from unicodedata import east_asian_width


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `met` is None if there is no goal, as for the hand-written version."""

    figure: str
    measured: str
    goal: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        """The last column."""
        return {True: "met", False: "NOT MET", None: ""}[self.met]


def at_least(figure: str, value: float, goal: float) -> Row:
    """Return the row of a ratio that should reach `goal`."""
    return Row(figure, f"{value:.2f}", f"≥ {goal:.2f}", value >= goal)


def at_most(figure: str, value: float, goal: float, shown: Callable[[float], str] = "{:.2f}".format) -> Row:
    """Return the row of a figure that should not exceed `goal`."""
    return Row(figure, shown(value), f"≤ {shown(goal)}", value <= goal)


HEADINGS = Row("figure", "measured", "goal")


def render(rows: Iterable[Row]) -> str:
    """Return the table as text."""
    cells = [(row.figure, row.measured, row.goal, row.verdict) for row in (HEADINGS, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell + " " * (w - _width(cell)) for cell, w in zip(line, widths, strict=True)) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
