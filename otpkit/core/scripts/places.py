"""The places of the keys that not every call has. Lua text has them by name; the loader inserts the numbers.

A key that many calls of an `OTP` have stands in front of those that few have: each place costs a call 0.2 %, though
another key only stands in for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from otpkit.effects import Script

T_co = TypeVar("T_co", covariant=True)

_FIRST: Final = 4  # In front stand the phone's key, its counter's and that of the figures, or the phone's key again.
_LIMITS: Final = ("FIRST_LIMIT", "SECOND_LIMIT", "THIRD_LIMIT")


@dataclass(frozen=True, slots=True)
class Places:
    """The places of the scripts of one policy.

    Args:
        has_guard: True if a guard counts in keys of the phone's server.
        has_total: True if it counts all regions together.
        has_budgets: True if budgets may be charged.
    """

    has_guard: bool = False
    has_total: bool = False
    has_budgets: bool = False

    def numbers(self) -> dict[str, str]:
        """Return the places by their names in the scripts. Those that no call uses come last."""
        narrow, total = ("ADDRESS_KEY", "NETWORK_KEY"), ("TOTAL_KEY",)
        guard = ("RANGE_KEY", "REGION_KEY", *(total if self.has_total else ()), *narrow)
        order = [*(guard if self.has_guard else ()), *(("MONEY_KEY",) if self.has_budgets else ())]
        order += [*_LIMITS, "DEVICE_KEY", "ANSWER_KEY"]
        order += [each for each in (*guard, *total, "MONEY_KEY") if each not in order]
        places = {name: str(place) for place, name in enumerate(order, _FIRST)}
        return places | {"MEMORY_KEY": places["SECOND_LIMIT"]}

    def keys(
        self,
        first: str,
        second: str,
        third: str,
        *,
        guard_keys: tuple[str, ...] = (),
        money_key: str = "",
        limit_keys: tuple[str, ...] = (),
        device_key: str = "",
        answer_key: str = "",
    ) -> tuple[str, ...]:
        """Return a script's keys, each at its place. The first one stands in for those that the call does not have."""
        keys = (first, second, third, *guard_keys)
        if not (money_key or limit_keys or device_key or answer_key):
            return keys
        if self.has_guard:
            keys += (first,) * (4 + self.has_total - len(guard_keys))
        if self.has_budgets:
            keys += (money_key or first,)
        keys += limit_keys
        if device_key or answer_key:
            keys += (first,) * (len(_LIMITS) - len(limit_keys))
            keys += (device_key or first, answer_key) if answer_key else (device_key,)
        return keys


class PlacedScript(Script[T_co]):
    """A script with keys that not every call has."""

    __slots__ = ("places",)

    places: Places
