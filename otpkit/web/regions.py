"""The names and calling codes of regions, for the select box beside a number."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from otpkit.errors import Language
from otpkit.languages import DEFAULT, texts


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its ISO 3166-1 alpha-2 code, its calling code such as `+86`, and its name in one language."""

    code: str
    calling_code: str
    name: str


def regions_of(codes: Iterable[str], language: Language = DEFAULT) -> tuple[Region, ...]:
    """Return regions in a language's order: first that of its catalogue, then regions without a name in it."""
    calling_codes, names = _calling_codes(), texts(language)["regions"]
    chosen = set(codes)
    ordered = [code for code in names if code in chosen] + sorted(chosen - set(names))
    return tuple(Region(code, calling_codes.get(code, ""), names.get(code, code)) for code in ordered)


@cache
def _calling_codes() -> dict[str, str]:
    found: dict[str, str] = json.loads(files(__package__).joinpath("regions.json").read_text(encoding="utf-8"))
    return found
