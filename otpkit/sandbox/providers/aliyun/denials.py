"""What Alibaba Cloud turns away before a call is reached. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from otpkit.sandbox.nonces import WINDOW


class Denied(Exception):
    """A request that is turned away, with an HTTP status and a code for the reason."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


def mandatory(params: Mapping[str, str], *names: str) -> list[str]:
    """Return the parameters that a call can't do without.

    Raises:
        Denied: one is missing.
    """
    for name in names:
        if not params.get(name, "").strip():
            raise Denied(f"Missing{name}", f"{name} is mandatory for this action.")
    return [params[name] for name in names]


def check_date(text: str, now: float) -> None:
    """Let a signed request's date pass that is near `now`, in seconds since the epoch.

    Raises:
        Denied: it is not, or it is no date.
    """
    try:
        date = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        message = "Specified time stamp or date value is not well formatted."
        raise Denied("InvalidTimeStamp.Format", message) from None
    if abs(date - now) > WINDOW:
        raise Denied("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
