"""Fold typed or pasted text into the form that the strict calls accept. No other module does so.

A number copied from a contact card or a message may contain invisible marks, blanks and hyphens. A keyboard may write
the digits of another script. `OTP` and `AsyncOTP` refuse all of that. otpkit's pages, forms and JSON calls fold it
first, and your own form should do the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Set as AbstractSet

from otpkit.characters import BLANK_SYMBOLS, IGNORABLE
from otpkit.errors import ConfigurationError, PhoneError, RegionError
from otpkit.phone import EVERY_REGION, MAINLAND, MAX_LENGTH, calling_codes, require_regions, resolve

_HYPHENS = frozenset("\u02d7\u2043\u2212")  # Hyphens outside the category Pd: modifier letter, bullet and minus.


def fold(text: str) -> str:
    """Return a typed or pasted number or code, with the differences folded that a user can't see.

    Digits of any script become ASCII, all blanks and tabs one kind of blank, and all hyphens and dashes one hyphen
    (NFKC). Direction marks and other invisible characters are removed. Line breaks, controls, letters and all other
    characters stay, and so does a text of more than 64 characters: the strict calls refuse them.

    Args:
        text: the number or the code, as it was typed.

    Returns:
        The folded text.
    """
    if len(text) > MAX_LENGTH or (text.isascii() and "\t" not in text):
        return text
    return "".join(map(_folded, unicodedata.normalize("NFKC", text)))


def _folded(character: str) -> str:
    if character.isascii():
        return " " if character == "\t" else character
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if kind == "Cf" or IGNORABLE.fullmatch(character):
        return ""
    if kind == "Pd" or character in _HYPHENS:
        return "-"
    return " " if kind == "Zs" or character in BLANK_SYMBOLS else character


def normalize(text: str, region: str = MAINLAND, *, regions: AbstractSet[str] | None = None) -> str:
    """Return a written mobile number as E.164 (`+8613800138000`): for a table of users, or a form.

    Invisible differences are folded first, as by `fold`. A trunk prefix after the country code, as in
    `+44 (0)7400 123456`, is dropped if the numbering plan proves that reading. The spelling of an earlier numbering
    plan becomes the current one, or is refused.

    Args:
        text: the number.
        region: the region of a number without a country code, as ISO 3166-1 alpha-2, such as `HK`.
        regions: the regions to accept, such as `Policy.regions`; None accepts all. Regions other than CN need the
            extra `intl`.

    Returns:
        The number in E.164.

    Raises:
        PhoneError: `text` is not a mobile number.
        RegionError: `regions` does not contain the region.
        ConfigurationError: `region` is not a region.
    """
    if not isinstance(text, str):
        raise PhoneError(f"A phone number is a str, not {type(text).__name__:.40}.", "Pass the text as it was typed.")
    if regions is None:
        regions = EVERY_REGION
        if region != MAINLAND:
            require_regions({region}, region)
    else:
        check_region(region, regions)
    return resolve(fold(text), regions, region, takes_trunk=True)[0]


def check_region(region: object, regions: AbstractSet[str]) -> None:
    """Raise `RegionError` if `regions` does not contain a region, and `ConfigurationError` if it is not text."""
    if not isinstance(region, str):
        raise ConfigurationError(
            "region must be text.", "Pass the region of numbers without a country code, such as 'HK'."
        )
    if region not in regions:
        raise RegionError(
            f"Policy.regions does not allow the region {region!r:.10}.",
            "Choose an allowed region, or add this one to Policy.regions.",
            served=calling_codes(regions),
        )
