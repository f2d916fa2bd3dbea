"""Days and times as Chinese gateways count them: in Asia/Shanghai, wherever this host is."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

SHANGHAI: Final = timezone(timedelta(hours=8))  # China has one zone, and no summer time since 1991
MAX_AGE: Final = timedelta(days=30)  # of a record
MIDNIGHT_MARGIN: Final = timedelta(minutes=10)
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


def days_around(moment: datetime) -> tuple[date, ...]:
    """Return the day of `moment` in Shanghai, then the neighbouring one if midnight is within ten minutes."""
    local = moment.astimezone(SHANGHAI)
    near = {(local - MIDNIGHT_MARGIN).date(), (local + MIDNIGHT_MARGIN).date()} - {local.date()}
    return (local.date(), *near)


def recent_day(query_date: date | str) -> date | None:
    """Return the day in Shanghai that is meant, once it is one of the last 30 by this host's clock; else None."""
    day = _day(query_date)
    now = datetime.now(SHANGHAI)
    # The clock may be somewhat off.
    first, last = (now - MIDNIGHT_MARGIN - MAX_AGE).date(), (now + MIDNIGHT_MARGIN).date()
    return day if day is not None and first <= day <= last else None


def read_moment(text: str) -> datetime | None:
    """Return the time that `2017-05-25 00:00:00` says, at UTC+8, or None for what is none."""
    try:
        # strptime takes ten times as long, and a push has many rows.
        moment = datetime.fromisoformat(text if _MOMENT.fullmatch(text) else "").replace(tzinfo=SHANGHAI)
        moment.astimezone(UTC)  # which has no first hours of the year 1
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
