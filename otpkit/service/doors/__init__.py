"""Doors: the APIs of other services, for their clients to call `otpkit serve` instead, and hooks that systems call.

A door is off unless it is configured. `/openapi.json` describes otpkit's own API only, so no door is in it: the door's
service has documents of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from otpkit.service.doors.base import Door, DoorContext
from otpkit.service.doors.hooks import HookDoor
from otpkit.service.doors.twilio import TwilioDoor
from otpkit.settings import Settings

__all__ = ["Door", "DoorContext", "HookDoor", "TwilioDoor", "doors_of"]

# Each returns the door that the settings configure, or None.
_DOORS: Final[tuple[Callable[[Settings], Door | None], ...]] = (
    lambda settings: TwilioDoor(settings.verify_services) if settings.verify_services else None,
    lambda settings: HookDoor(settings.hooks) if settings.hooks else None,
)


def doors_of(settings: Settings) -> Iterator[Door]:
    """Yield the doors that the settings configure.

    Args:
        settings: the checked settings.

    Raises:
        ConfigurationError: a door can't work.
    """
    for build in _DOORS:
        if (door := build(settings)) is not None:
            yield door
