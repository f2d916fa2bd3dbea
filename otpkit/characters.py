"""Invisible characters, by the Unicode Character Database: one rule for all code that refuses or removes them."""

from __future__ import annotations

import re
from typing import Final

# Default_Ignorable_Code_Point (DerivedCoreProperties.txt of Unicode 17, with unassigned code points), without the
# joiners and the variation selectors.
_IGNORABLE: Final = (
    "ad 34f 61c 115f-1160 17b4-17b5 180e 200b 200e-200f 202a-202e 2060-206f 3164 feff ffa0 fff0-fff8 "
    "1bca0-1bca3 1d173-1d17a e0000-e00ff e01f0-e0fff"
)
# Joiners and selectors belong to the character before them, in emoji and in several scripts.
_JOINERS: Final = "200c-200d"
_SELECTORS: Final = "180b-180d 180f fe00-fe0f e0100-e01ef"
# Controls (Cc), line and paragraph breaks (Zl, Zp), annotations and other format characters that display nothing (Cf),
# halves of surrogate pairs (Cs), and `BLANK_SYMBOLS`.
_UNSEEN: Final = "0-1f 7f-9f 2028-2029 2800 fff9-fffb 13430-1343f 1d159 d800-dfff"

BLANK_SYMBOLS: Final = "\u2800\U0001d159"
"""Symbols that are drawn as a blank: empty Braille, and a null note."""


def _ranges(listed: str) -> list[tuple[int, int]]:
    pairs = [each.partition("-") for each in listed.split()]
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]


def _members(*lists: str) -> str:
    """Return the inside of a character class, in a syntax that Python and the dialects of JSON Schema share."""
    return "".join(f"{_written(first)}-{_written(last)}" for listed in lists for first, last in _ranges(listed))


def _written(code_point: int) -> str:
    return f"\\u{code_point:04x}" if code_point < 0x10000 else chr(code_point)


IGNORABLE: Final = re.compile(f"[{_members(_IGNORABLE, _JOINERS, _SELECTORS)}]")
"""A character that is displayed as nothing at all."""

INVISIBLE: Final = re.compile(
    f"[{_members(_IGNORABLE, _UNSEEN)}]"
    rf"|(?<![^\s{_members(_JOINERS)}])[{_members(_JOINERS)}]"
    rf"|(?<![^\s{_members(_JOINERS, _SELECTORS)}])[{_members(_SELECTORS)}]"
)
"""A control, an invisible character, or a joiner or selector without a visible character before it."""

# No JSON pattern can name half a surrogate pair.
PLAIN_TEXT: Final = f"^[^{_members(_IGNORABLE, _JOINERS, _SELECTORS, _UNSEEN.removesuffix(' d800-dfff'))}]*$"
"""A pattern for JSON Schema: text without any match of `INVISIBLE`."""
