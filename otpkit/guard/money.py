"""Amounts of money: decimals of one currency, as whole millionths of it.

Lua counts in doubles, which are exact up to 2^53 (9e15). An amount has at most nine digits before its point, so it is
below 1e15 millionths, and so is every sum that a budget allows.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, NamedTuple

from otpkit.errors import ConfigurationError

MICROS: Final = 1_000_000  # Millionths in one unit of a currency.
_PLACES: Final = 6
_AMOUNT: Final = re.compile(r"([0-9]{1,9})(?:\.([0-9]+))? ?([A-Z]{3})")
_NUMBER: Final = re.compile(r"[+-]?[0-9.,]+")


class Amount(NamedTuple):
    """An amount: millionths of a currency, and its code of three letters (ISO 4217)."""

    micros: int
    currency: str

    def __str__(self) -> str:
        return f"{plain(self.micros)} {self.currency}"


def read_amount(text: object) -> Amount:
    """Return the amount of a text.

    Args:
        text: a decimal number and a currency, such as `"0.045 CNY"`.

    Returns:
        The amount.

    Raises:
        ConfigurationError: the text is something else, or has more than six places.
    """
    match = _AMOUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or not isinstance(text, str):
        raise ConfigurationError(f"{text!r:.40} is not an amount{_why(text)}.", 'Write it like "0.045 CNY".')
    whole, places, currency = match.groups()
    if places and len(places) > _PLACES:
        raise ConfigurationError(f"{text!r:.40} has more than six decimal places.", "Round it to millionths.")
    return Amount(int(whole) * MICROS + int((places or "").ljust(_PLACES, "0")), currency)


def decimal_of(micros: int) -> Decimal:
    """Return millionths as a decimal number, without zeros at its end."""
    return Decimal(plain(micros))


def plain(micros: int) -> str:
    """Return millionths as text, such as `0.045`."""
    whole, rest = divmod(micros, MICROS)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def _why(text: object) -> str:
    """Return the likely mistake in a text, for the error."""
    if not isinstance(text, str):
        return ", because it is not text"
    if "," in text:
        return ", because it has a comma"
    if text.strip()[:1] in {"+", "-"}:
        return ", because it has a sign"
    if _NUMBER.fullmatch(text.strip()):
        return ", because it has no currency"
    return ""
