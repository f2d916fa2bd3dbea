"""Write numbers, shares, money and durations for people, in one language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from otpkit.errors import Language
from otpkit.languages import duration, tag, texts

_TEN_THOUSANDTH: Final = Decimal("0.0001")
_CENT: Final = Decimal("0.01")
NONE: Final = "–"
_JOINED: Final = str.maketrans({" ": "\u00a0"})  # A number and its unit stay on one line.


class Words:
    """The texts of the console in one language, and the formats of its values.

    Args:
        language: one of `otpkit.languages.languages()`.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        self.tag = tag(language)
        self.t: Mapping[str, Any] = texts(language)["console"]
        self._regions: Mapping[str, str] = texts(language)["regions"]

    def region(self, code: str) -> str:
        """Return the name of a region. "other" stands for all that are not listed."""
        return str(self.t["other"]) if code == "other" else self._regions.get(code, code)

    def gateway(self, name: str) -> str:
        """Return the name of a gateway to show."""
        return str(self.t["other"]) if name == "other" else name or NONE

    def number(self, value: float | None) -> str:
        """Return a number with separators of thousands, and at most one digit after the point."""
        if value is None:
            return NONE
        return f"{value:,.1f}" if value != int(value) else f"{int(value):,}"

    def share(self, value: float | None) -> str:
        """Return a share as per cent, without rounding up to all or down to nothing."""
        if value is None:
            return NONE
        percent = 100 * value
        if 0 < percent < 1:
            return "<1%"
        return f"{99 if 99 <= percent < 100 else round(percent)}%"

    def seconds(self, value: float | None) -> str:
        """Return a duration of a receipt: tenths below ten seconds."""
        if value is None:
            return NONE
        unit = str(texts(self.language)["units"][0])
        return unit.format(n=f"{value:.1f}").translate(_JOINED) if value < 9.95 else self.duration(value)

    def duration(self, seconds: float) -> str:
        """Return a number of seconds in its fitting unit."""
        return duration(max(0, round(seconds)), self.language).translate(_JOINED)

    def money(self, value: Decimal | None, currency: str) -> str:
        """Return an amount of money: with four digits after the point where it is less than one."""
        return f"{self.amount(value)} {currency}".translate(_JOINED) if value is not None and currency else NONE

    def amount(self, value: Decimal) -> str:
        """Return an amount of money without its currency."""
        if 0 < abs(value) < 1:
            whole, _, rest = f"{value.quantize(_TEN_THOUSANDTH):f}".rstrip("0").partition(".")
            return f"{whole}.{rest:0<2}"
        return f"{value.quantize(_CENT):,f}"


def hour_of(at: datetime) -> str:
    """Return the hour of a time in UTC."""
    return f"{at.astimezone(UTC):%H:%M}"


def day_of(at: datetime) -> str:
    """Return the day of a time in UTC."""
    return f"{at.astimezone(UTC):%m-%d}"


def minute_of(at: datetime) -> str:
    """Return a time in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def seconds_until(at: datetime, now: datetime) -> float:
    """Return the seconds from `now` until `at`, at least 0."""
    return max(timedelta(0), at - now).total_seconds()
