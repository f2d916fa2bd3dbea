"""The fields of an event for JSON and logs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from otpkit.models import Event

_NAMES: Final = tuple(each.name for each in fields(Event))


def fields_of(event: Event) -> dict[str, Any]:
    """Return the fields of an event that are known, as values that JSON has.

    `at` is a time in RFC 3339, and `reasons` a list.
    """
    found: dict[str, Any] = {name: value for name in _NAMES if (value := getattr(event, name)) not in ("", None, ())}
    if event.at is not None:
        found["at"] = event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if event.reasons:
        found["reasons"] = list(event.reasons)
    return found
