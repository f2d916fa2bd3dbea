"""The names and calling codes of regions, for the choice beside a number."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from otpkit.errors import Language


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its ISO 3166-1 alpha-2 code, its calling code such as `+86`, and its name in two languages.

    `place` is that of its Chinese name in a Chinese list: CLDR's order, by pinyin.
    """

    code: str
    calling_code: str
    en: str
    zh: str
    place: int = 0


def regions_of(codes: Iterable[str], language: Language = "en") -> tuple[Region, ...]:
    """Return regions in the order of their names in a language."""
    regions = [_region(code) for code in codes]
    return tuple(sorted(regions, key=lambda region: (region.place if language == "zh" else 0, region.en)))


def _region(code: str) -> Region:
    return Region(code, *_table().get(code, ("", code, code)))


@cache
def _table() -> dict[str, tuple[str, str, str, int]]:
    table: dict[str, tuple[str, str, str, int]] = json.loads(
        files(__package__).joinpath("regions.json").read_text(encoding="utf-8")
    )
    return table
