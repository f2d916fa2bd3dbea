"""Days and times of Chinese gateways, in Asia/Shanghai. The host's time zone does not matter."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

SHANGHAI: Final = timezone(timedelta(hours=8))  # China has one time zone, and no daylight saving time since 1991.
MAX_AGE: Final = timedelta(days=30)  # Providers keep records for this time.
MIDNIGHT_MARGIN: Final = timedelta(minutes=10)
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


def days_around(moment: datetime) -> tuple[date, ...]:
    """Return the day of `moment` in Shanghai, and the neighbouring day if midnight is within ten minutes."""
    local = moment.astimezone(SHANGHAI)
    near = {(local - MIDNIGHT_MARGIN).date(), (local + MIDNIGHT_MARGIN).date()} - {local.date()}
    return (local.date(), *near)


def recent_day(query_date: date | str) -> date | None:
    """Return the day in Shanghai if it is one of the last 30 by this host's clock, or None."""
    day = _day(query_date)
    now = datetime.now(SHANGHAI)
    # Allow for a clock that is up to ten minutes wrong.
    first, last = (now - MIDNIGHT_MARGIN - MAX_AGE).date(), (now + MIDNIGHT_MARGIN).date()
    return day if day is not None and first <= day <= last else None


def read_moment(text: str) -> datetime | None:
    """Return the time of a text like `2017-05-25 00:00:00`, in UTC+8, or None if it is not a time."""
    try:
        # Avoid strptime: it is ten times slower, and a push has many rows.
        moment = datetime.fromisoformat(text if _MOMENT.fullmatch(text) else "").replace(tzinfo=SHANGHAI)
        moment.astimezone(UTC)  # This raises for the first hours of year 1, which UTC cannot represent.
    except (ValueError, OverflowError):
        return None
    return moment


def _day(query_date: date | str) -> date | None:
    try:
        if isinstance(query_date, datetime):
            return (query_date if query_date.tzinfo is None else query_date.astimezone(SHANGHAI)).date()
        return query_date if isinstance(query_date, date) else date.fromisoformat(query_date)
    except (TypeError, ValueError, OverflowError):
        return None
