"""The numbers of the rule that tells honest use from abuse: what each scope may have unverified.

An unverified send is a message that was sent and whose code was not verified. A scope is over its allowance, `floor +
share × verified`, once it has as many unverified sends as that in one of its windows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, NamedTuple

from otpkit.core.checks import Checks
from otpkit.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The numbers of the rule. The defaults come from simulations, and few deployments need others.

    Each window is four buckets long, and its oldest bucket leaves at once. So a window counts all that is younger than
    three quarters of it, and nothing that is older than it.

    Args:
        range_floor: the unverified sends that a range of 10,000 numbers may have in 24 hours, before any is verified.
        range_share: how many more it may have for each verified send.
        range_refusal: the multiple of its allowance from which a range is refused.
        address_floor: as `range_floor`, for an IPv4 address or an IPv6 /64 in an hour.
        address_share: as `range_share`, for such an address.
        address_refusal: the multiple of its allowance from which an address is refused that verified nothing in the
            last day.
        network_floor: as `range_floor`, for an IPv4 /24 or an IPv6 /48 in an hour.
        network_share: as `range_share`, for such a network.
        short_floor: as `range_floor`, for a region in 20 minutes.
        short_times: the multiple of the region's usual ratio of unverified to verified sends, for 20 minutes.
        short_share: the share that is added to that multiple.
        day_floor: as `range_floor`, for a region in 24 hours.
        day_share: the share that is added to the region's usual ratio, for 24 hours.
        guesses_floor: the challenges of a region in 24 hours that may have a wrong code and no right one.
        guesses_share: how many more there may be for each verified send.

    Raises:
        ConfigurationError: a number is less than 0, or a multiple or the floor of a range, an address or a network less
            than 1. The error names each wrong one.
    """

    range_floor: float = 6
    range_share: float = 1.0
    range_refusal: float = 2
    address_floor: float = 8
    address_share: float = 1.0
    address_refusal: float = 3
    network_floor: float = 40
    network_share: float = 1.0
    short_floor: float = 15
    short_times: float = 1.5
    short_share: float = 0.05
    day_floor: float = 20
    day_share: float = 0.04
    guesses_floor: float = 60
    guesses_share: float = 0.02

    def __post_init__(self) -> None:
        with Checks() as checks:
            for each in fields(self):
                checks.of(each.name, _check, each.name, getattr(self, each.name))


def _check(name: str, value: object) -> None:
    # A scope without any count has no record to judge.
    least = 1 if name.endswith("_refusal") or name in {"range_floor", "address_floor", "network_floor"} else 0
    if type(value) not in {int, float} or not least <= value <= 10**6:  # type: ignore[operator]
        raise ConfigurationError(f"Rule.{name} is {value!r:.20}.", f"Set a number from {least} to 1000000.")


def numbers_of(rule: Rule) -> dict[str, str]:
    """Return the numbers of a rule by their names in the scripts."""
    return {each.name.upper(): repr(getattr(rule, each.name)) for each in fields(rule)}


class Allowance(NamedTuple):
    """What a range, an address or a network may have unverified, and the multiple of it from which it is refused."""

    floor: float
    share: float
    refusal: float

    def of(self, verified: int) -> float:
        """Return the allowance of a subject with so many verified sends."""
        return self.floor + self.share * verified


def allowances(rule: Rule) -> dict[str, Allowance]:
    """Return the allowance of each scope that is narrower than a region."""
    return {
        "range": Allowance(rule.range_floor, rule.range_share, rule.range_refusal),
        "ip": Allowance(rule.address_floor, rule.address_share, rule.address_refusal),
        "net": Allowance(rule.network_floor, rule.network_share, 1),  # The scripts never refuse a network.
    }


DEFAULT_RULE: Final = Rule()
