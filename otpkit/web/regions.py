"""The names and calling codes of regions, for the choice beside a number."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its ISO 3166-1 alpha-2 code, its calling code such as `+86`, and its name in two languages."""

    code: str
    calling_code: str
    en: str
    zh: str


def regions_of(codes: Iterable[str]) -> tuple[Region, ...]:
    """Return regions by their English names."""
    return tuple(sorted((_region(code) for code in codes), key=lambda region: region.en))


def _region(code: str) -> Region:
    return Region(code, *_table().get(code, ("", code, code)))


@cache
def _table() -> dict[str, list[str]]:
    table: dict[str, list[str]] = json.loads(files(__package__).joinpath("regions.json").read_text(encoding="utf-8"))
    return table
