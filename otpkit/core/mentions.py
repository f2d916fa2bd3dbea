"""Find phone numbers in texts that people wrote, such as an operator's reason."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from typing import Final

from otpkit.errors import PhoneError
from otpkit.phone import resolve
from otpkit.policy import Policy

FEWEST_DIGITS: Final = 7  # Of a phone number, as of Tokelau.
_MOST_DIGITS: Final = 15  # ITU-T E.164.
_ZEROS: Final = 2  # In front of a country code.
_DIGITS = re.compile(r"[0-9]+")
_JOINTS = re.compile(r"[-. ()/_]{1,3}")


def mentions_phone(text: str, policy: Policy, *, any_digits: bool) -> bool:
    """Return True if a text seems to hold a phone number, with blanks, hyphens and the like between its digits or not.

    Args:
        text: the text, in any script.
        policy: the policy, whose regions' numbers are known.
        any_digits: True if seven digits in a row are taken for a number; False if only a valid number is.
    """
    text = "".join(map(_folded, unicodedata.normalize("NFKC", text)))
    groups = [*_DIGITS.finditer(text)]
    if any_digits and any(len(group[0]) >= FEWEST_DIGITS for group in groups):
        return True
    for first, group in enumerate(groups):
        has_code = text[: group.start()].rstrip(" (").endswith("+") or group[0].startswith("00")
        digits, end = "", group.start()
        for other in groups[first:]:
            if digits and not _JOINTS.fullmatch(text, end, other.start()):
                break
            digits, end = digits + other[0], other.end()
            if len(digits) > _MOST_DIGITS + _ZEROS:
                break
            if len(digits) >= FEWEST_DIGITS and (has_code or _is_phone(digits, policy)):
                return True
    return False


def _folded(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    return "-" if kind == "Pd" else "" if kind == "Cf" else character


def _is_phone(digits: str, policy: Policy) -> bool:
    for text in (digits, f"+{digits}"):
        with suppress(PhoneError):  # This includes numbers of other regions: any digits after a + may be one.
            resolve(text, policy.regions, policy.default_region)
            return True
    return False
