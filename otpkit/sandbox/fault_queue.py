"""The faults that wait to be played. No I/O, no lock: the sandbox has one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from otpkit.errors import ConfigurationError
from otpkit.sandbox.calls import Api
from otpkit.sandbox.faults import Fault

MAX_FAULTS: Final = 1_000  # queued at a time


class FaultQueue:
    """Gives each fault to the first call that it concerns, as often as it is to be played."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Queue one.

        Raises:
            ConfigurationError: too many are queued.
        """
        if len(self._faults) >= MAX_FAULTS:
            raise ConfigurationError(f"{MAX_FAULTS} faults are queued already; clear them first")
        self._faults.append(fault)

    def take(self, api: Api, phones: tuple[str, ...]) -> Fault | None:
        """Take the fault that a call must play, or None."""
        for place, fault in enumerate(self._faults):
            if fault.concerns(api, phones):
                self._spend(place)
                return fault
        return None

    def _spend(self, place: int) -> None:
        fault = self._faults[place]
        if fault.times > 1:
            self._faults[place] = replace(fault, times=fault.times - 1)
        else:
            del self._faults[place]

    def waiting(self) -> list[Fault]:
        """Return those that are left, the next one first."""
        return list(self._faults)
