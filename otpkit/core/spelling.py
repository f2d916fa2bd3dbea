"""What people type and paste, folded to what the strict calls read: the one place that does so.

A number that is copied from a contact card or a message carries marks, blanks and hyphens that nobody sees, and a
keyboard may write digits of its own script. `OTP` and `AsyncOTP` refuse all of that. Pages, forms and JSON calls fold
it first, and so should a form of yours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Set as AbstractSet

from otpkit.characters import IGNORABLE
from otpkit.errors import ConfigurationError, PhoneError, RegionError
from otpkit.phone import EVERY_REGION, MAINLAND, MAX_LENGTH, calling_codes, require_regions, resolve

_HYPHENS = frozenset("\u02d7\u2043\u2212")  # beside those of the category Pd: modifier, bullet and minus


def fold(text: str) -> str:
    """Return `text` with what a person can't see folded: for a number or a code, as it was typed or pasted.

    Digits of any script become ASCII, blanks and tabs one kind of blank, hyphens and dashes one hyphen (NFKC); marks of
    direction and other invisible characters are dropped. Line breaks, controls, letters and all else stay, and so does
    a text of more than 64 characters: the strict calls refuse them.
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
    return " " if kind == "Zs" else character


def normalize(text: str, region: str = MAINLAND, *, regions: AbstractSet[str] | None = None) -> str:
    """Return the mobile number that a person wrote, as E.164 (`+8613800138000`): for a table of users, or a form.

    What can't be seen is folded first, as `fold` does. A trunk prefix after the country code, as in
    `+44 (0)7400 123456`, is dropped where the numbering plan proves that reading. A spelling of an earlier numbering
    plan becomes the current one, or is refused.

    Args:
        text: the number.
        region: the region of a number without a country code, as ISO 3166-1 alpha-2, such as `HK`.
        regions: the regions to take, such as `Policy.regions`; None takes all. Others than CN need the extra `intl`.

    Raises `PhoneError` for what is no mobile number, `RegionError` for a region that `regions` lacks, and
    `ConfigurationError` for a `region` that is none.
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
    """Raise `RegionError` for a region that is not among `regions`, and `ConfigurationError` for what is no text."""
    if not isinstance(region, str):
        raise ConfigurationError(
            "region is no text.", "Pass the region of numbers without a country code, such as 'HK'."
        )
    if region not in regions:
        raise RegionError(
            f"Policy.regions does not allow the region {region!r:.10}.",
            "Choose one of them, or add it there.",
            served=calling_codes(regions),
        )
