"""Budgets: what messages may cost in a day or a month."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from otpkit.core.arguments import check_purpose
from otpkit.core.checks import Checks
from otpkit.errors import ConfigurationError
from otpkit.guard.money import Amount, read_amount

Unit = Literal["day", "month"]
BudgetReason = Literal["amount", "keep", "hour"]
"""The part of a budget that is used up: its whole amount, what is open to unknown numbers, or what an hour may cost."""

HOUR_MS: Final = 3_600_000
_MILLION: Final = 1_000_000
_AMOUNT: Final = re.compile(r"(.*?)\s*/\s*(day|month)", re.DOTALL)
_DAY_HOURLY: Final = 0.15
_MOST_ALERTS: Final = 8  # The script reports the alerts of one message in the bits of a byte.
_KEY_CHARS: Final = 128


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of money that messages may cost in a day or a month. A message that would exceed it is not sent.

    Without `region`, `gateway`, `purpose` and `key`, it counts all messages. With several of these, a message must fit
    all of them. Each budget that counts a message must afford it.

    Args:
        amount: the amount, its currency and the window, such as `"400 CNY/day"` or `"9000.50 CNY/month"`: more than 0,
            at most nine digits before the point and six after it.
        region: a region of `Policy.regions`; None is all.
        gateway: the name of a gateway, as in `Challenge.gateway`; None is all.
        purpose: a purpose; None is all.
        key: the name of an API key of the HTTP service, or what `issue(budget_key=…)` passes; None is all.
        alerts: shares of the amount, in (0, 1], at most eight. The event `budget` reports once per window that one is
            reached.
        keep: the last share of the amount, from 0 to less than 1. It is kept for safe numbers, known users and known
            devices.
        timezone: the IANA name of the time zone in which days and months begin, by the server's clock.
        hourly: the share of the amount, in (0, 1], that may be spent in an hour of the window; one message is always
            allowed. None is 0.15 for a day, and no limit for a month.

    Raises:
        ConfigurationError: fields are wrong. The error names each of them.
    """

    amount: str
    region: str | None = None
    gateway: str | None = None
    purpose: str | None = None
    key: str | None = None
    alerts: tuple[float, ...] = ()
    keep: float = 0.2
    timezone: str = "UTC"
    hourly: float | None = None

    def __post_init__(self) -> None:
        with Checks() as checks:
            checks.of("amount", _parts, self.amount)
            for name, check in (("region", _check_region), ("gateway", _check_text), ("key", _check_text)):
                if (value := getattr(self, name)) is not None:
                    checks.of(name, check, name, value)
            if self.purpose is not None:
                checks.of("purpose", check_purpose, self.purpose)
            alerts = checks.of("alerts", _alerts, self.alerts)
            if not _is_number(self.keep) or not 0 <= self.keep < 1:
                checks.add("keep", f"Budget.keep is {self.keep!r:.20}.", "Set a share from 0 to less than 1.")
            if self.hourly is not None and not _is_share(self.hourly):
                checks.add(
                    "hourly", f"Budget.hourly is {self.hourly!r:.20}.", "Set a share of more than 0 and at most 1."
                )
            checks.of("timezone", zone_of, self.timezone)
        object.__setattr__(self, "alerts", alerts)

    def __str__(self) -> str:
        scopes = {"region": self.region, "gateway": self.gateway, "purpose": self.purpose, "key": self.key}
        found = ", ".join(f"{name} {value}" for name, value in scopes.items() if value is not None)
        return f"{self.limit}/{self.unit}" + (f" ({found})" if found else "")

    @property
    def limit(self) -> Amount:
        """The amount, parsed."""
        return _parts(self.amount)[0]

    @property
    def unit(self) -> Unit:
        """The window: `day` or `month`."""
        return _parts(self.amount)[1]

    @property
    def open_micros(self) -> int:
        """The part of the amount that is not kept, in millionths."""
        micros = self.limit.micros
        return micros - int(micros * _exact(self.keep))

    @property
    def hourly_micros(self) -> int:
        """The amount that an hour may cost, in millionths; the whole amount if there is no such limit."""
        micros = self.limit.micros
        share = self.hourly if self.hourly is not None else _DAY_HOURLY if self.unit == "day" else 1
        return int(micros * _exact(share))

    def thresholds(self) -> list[tuple[int, int]]:
        """Return each alert: its share in millionths, and the amount in millionths at which it is reached."""
        micros = self.limit.micros
        return [(int(_exact(each) * _MILLION), -int(-micros * _exact(each) // 1)) for each in self.alerts]

    def identity(self) -> tuple[str, ...]:
        """Return what the counter belongs to. Another amount, keep or alert continues the same counter."""
        scopes = [f"{name}={getattr(self, name)}" for name in _SCOPES if getattr(self, name) is not None]
        return (self.unit, self.timezone, self.limit.currency, *scopes)


_SCOPES: Final = ("region", "gateway", "purpose", "key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a budget has spent in its window.

    `spent` includes messages that are being sent. `left` is the rest of the amount, and `open` what of it unknown
    numbers may still use. `spent_this_hour` and `hour_left` are those of the running hour of the window. All are in
    `currency`. `starts_at` and `ends_at` are the ends of the window, aware UTC datetimes by the server's clock.
    `refused` counts the refusals of this window by reason: `amount` (all is spent), `keep` (only the kept share is
    left), and `hour` (the hour is used up).
    """

    budget: Budget
    currency: str
    spent: Decimal
    left: Decimal
    open: Decimal
    spent_this_hour: Decimal
    hour_left: Decimal
    starts_at: datetime
    ends_at: datetime
    refused: Mapping[BudgetReason, int]


class Calendar:
    """The windows of one unit in one time zone.

    A day begins at the first moment of its date, so days with a change of clocks have 23 or 25 hours.
    """

    def __init__(self, unit: Unit, timezone: str) -> None:
        self._unit = unit
        self._zone = zone_of(timezone)
        self._bounds: tuple[int, ...] = (0, 0, 0, 0)

    def bounds(self, at_ms: int) -> tuple[int, ...]:
        """Return four starts of windows in milliseconds, of which the second is the latest one not after `at_ms`."""
        if not self._bounds[1] <= at_ms < self._bounds[2]:
            self._bounds = self._around(at_ms)
        return self._bounds

    def _around(self, at_ms: int) -> tuple[int, ...]:
        day = datetime.fromtimestamp(at_ms / 1000, self._zone).date()
        starts = sorted({self._start(self._shifted(day, by)) for by in range(-3, 5)})
        place = bisect_right(starts, at_ms)
        return tuple(starts[place - 2 : place + 2])

    def _shifted(self, day: date, by: int) -> date:
        """Return the first day of the window that is `by` windows after that of `day`."""
        if self._unit == "day":
            return day + timedelta(days=by)
        years, month = divmod(day.month - 1 + by, 12)
        return date(day.year + years, month + 1, 1)

    def _start(self, day: date) -> int:
        # If midnight does not exist, `fold=0` is the moment at which the clock jumps over it. If it occurs twice, it is
        # the first one (PEP 495).
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return round(midnight.timestamp() * 1000)


def zone_of(name: object) -> tzinfo:
    """Return the time zone of an IANA name; raise `ConfigurationError` if there is none."""
    if name == "UTC":
        return UTC  # It needs no database of time zones.
    try:
        return ZoneInfo(str(name))
    except (ValueError, OSError, LookupError):
        pass
    raise ConfigurationError(
        f"Budget.timezone {name!r:.40} is not known.",
        'Use an IANA name, such as "Asia/Shanghai". If this host has no time zones, install tzdata.',
    )


def distinct(budgets: Iterable[Budget]) -> tuple[Budget, ...]:
    """Return budgets as a tuple, after checking that no two count the same.

    Raises:
        ConfigurationError: a value is not a `Budget`, currencies differ, or two budgets count the same.
    """
    found: dict[tuple[str, ...], Budget] = {}
    with Checks() as checks:
        if isinstance(budgets, (str, Budget)) or not isinstance(budgets, Iterable):
            raise ConfigurationError("budgets must be a list of Budget values.", 'Write [Budget("400 CNY/day")].')
        for each in budgets:
            if not isinstance(each, Budget):
                checks.add("budgets", f"budgets holds {each!r:.40}.", 'Write it as Budget("400 CNY/day").')
            elif found and (first := next(iter(found.values()))).limit.currency != each.limit.currency:
                problem = f"budgets: {each} has another currency than {first}."
                checks.add("budgets", problem, "Use one currency for all prices and budgets.")
            elif (other := found.setdefault(each.identity(), each)) is not each:
                checks.add("budgets", f"budgets: {each} counts the same as {other}.", "Keep one of them.")
    return tuple(found.values())


def _parts(text: object) -> tuple[Amount, Unit]:
    match = _AMOUNT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ConfigurationError(
            f"Budget.amount {text!r:.40} is not an amount per day or month.", 'Write it like "400 CNY/day".'
        )
    try:
        amount = read_amount(match[1])
    except ConfigurationError as error:
        raise ConfigurationError(f"Budget.amount: {error.problem}", 'Write it like "400.50 CNY/day".') from None
    if not amount.micros:
        raise ConfigurationError("Budget.amount is 0.", "Set an amount of more than 0.")
    return amount, "day" if match[2] == "day" else "month"


def _check_region(name: str, value: object) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{2}", value):
        raise ConfigurationError(f"Budget.{name} {value!r:.20} is not a region code.", 'Write it like "CN".')


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= _KEY_CHARS:
        raise ConfigurationError(
            f"Budget.{name} must be a text of 1 to {_KEY_CHARS} characters.", "Pass a name, or leave it out."
        )


def _alerts(values: Any) -> tuple[float, ...]:
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else (values,)
    if not all(map(_is_share, found)) or len(found) > _MOST_ALERTS:
        raise ConfigurationError(
            f"Budget.alerts is {values!r:.40}.", f"Set at most {_MOST_ALERTS} shares of more than 0, at most 1."
        )
    return tuple(sorted({float(each) for each in found}))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1  # False for NaN.


def _exact(share: float) -> Fraction:
    """Return a share as it is written: 0.15 is exactly 15 %, not the nearest binary fraction."""
    return Fraction(str(share))
