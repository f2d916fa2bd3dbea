"""The attacks by name, and the troubles without an attacker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from otpkit.simulator.attackers import Campaign, Source, one_range, own_ranges, peoples_range, scattered, victim
from otpkit.simulator.timeline import DAY_S

Trouble = Literal["gateway-down", "gateway-rejects", "flash-crowd", "conversion-falls"]
HOUR: Final = 3600
NIGHT: Final = "00:00"
DOWN_S: Final = 20 * 60
FALLEN: Final = 0.75  # The conversion after it fell.
RUSH: Final = 0.1  # The share of a day that comes within 60 seconds.
_FROM: Final[Mapping[Source, str]] = {
    "datacentre": ", from a datacentre",
    "proxies": ", from residential proxies",
    "office": "'s address",
}
_BOTH: Final[tuple[Source, ...]] = ("datacentre", "proxies")
_OFFICE: Final[tuple[Source, ...]] = ("office",)
WEEKS_DAYS: Final = 21
RATES: Final = (30, 60, 300, 1_200)  # Requests an hour of a locker-out.


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack or a trouble by name.

    Args:
        name: as in `--only` and in the rows.
        about: one line for `--list`.
        starts: the times at which it is tried, `HH:MM`.
        campaign: what the attacker does; None for a day without one.
        source: where the requests come from.
        trouble: what goes wrong without an attacker, or None.
        usual: whether the default run has it; `--grid` has all.
        days: how many days are run. The figures are those of the last one.
        every_day: whether the attack is made on each of the days.
        device: whether the owner of an attacked phone has a device, from a day before.
        largest: the largest site that it is tried with, in honest people a day.
    """

    name: str
    about: str
    starts: tuple[str, ...] = (NIGHT,)
    campaign: Campaign | None = None
    source: Source = "proxies"
    trouble: Trouble | None = None
    usual: bool = True
    days: int = 1
    every_day: bool = False
    device: bool = False
    largest: int = 1_000_000


def _troubles() -> Iterator[Attack]:
    yield Attack(name="none", about="a day without an attack")
    yield Attack(
        name="gateway-down",
        about="the gateway loses all messages for 20 minutes",
        starts=("20:00",),
        trouble="gateway-down",
    )
    yield Attack(
        name="gateway-rejects",
        about="the gateway rejects all messages for 20 minutes",
        starts=("20:00",),
        trouble="gateway-rejects",
    )
    yield Attack(
        name="flash-crowd", about="10 % more people come within 60 seconds", starts=("20:00",), trouble="flash-crowd"
    )
    yield Attack(
        name="conversion-falls",
        about="conversion falls to 75 % for the rest of the day",
        starts=("10:00",),
        trouble="conversion-falls",
    )


def _campaigns() -> Iterator[tuple[str, str, tuple[str, ...], Campaign]]:
    both = ("10:00", "20:00")
    for name, about, target in (
        ("burst-range", "10,000 requests to one range in 33 minutes", one_range),
        ("burst-100-ranges", "10,000 requests to a hundred ranges in 33 minutes", own_ranges),
        ("burst-scattered", "10,000 requests to scattered numbers in 33 minutes", scattered),
    ):
        yield name, about, both, Campaign(count=10_000, lasts=2_000, target=target)
    slow = {"count": 1_000, "lasts": 14 * HOUR}
    yield (
        "slow-scattered",
        "1,000 requests to scattered numbers in 14 hours",
        ("08:00",),
        Campaign(**slow, target=scattered),
    )
    yield (
        "slow-100-ranges",
        "1,000 requests to a hundred ranges in 14 hours",
        ("08:00",),
        Campaign(**slow, target=own_ranges),
    )
    yield (
        "buyer",
        "10,000 requests to a hundred ranges in 14 hours; 80 % of the codes are typed by the owner of the numbers",
        ("08:00",),
        Campaign(count=10_000, lasts=14 * HOUR, target=own_ranges, bought=0.8),
    )
    yield (
        "sprayer",
        "10,000 requests to scattered numbers in 14 hours; every code that is accepted is guessed at",
        ("08:00",),
        Campaign(count=10_000, lasts=14 * HOUR, target=scattered, guesses=None),
    )
    yield (
        "bomber-one",
        "a request a minute for one victim's number, for 10 hours",
        ("10:00",),
        Campaign(count=600, lasts=10 * HOUR, target=victim),
    )
    yield (
        "bomber-10000",
        "a request for each of 10,000 victims' numbers in 10 hours",
        ("10:00",),
        Campaign(count=10_000, lasts=10 * HOUR, target=scattered),
    )


def _lockouts() -> Iterator[Attack]:
    for rate in RATES:
        each = {"count": rate * 24, "lasts": DAY_S}
        for what, campaign, sources in (
            ("region", Campaign(**each, target=scattered), _BOTH),
            ("office", Campaign(**each, target=scattered), _OFFICE),
            ("range", Campaign(**each, target=peoples_range), _BOTH),
            ("phone", Campaign(**each, target=victim, guesses=1), _BOTH),
        ):
            article = "an" if what == "office" else "a"
            for source in sources:
                yield Attack(
                    name=f"lockout-{what}-{rate}{_suffix(source)}",
                    about=f"{rate:,} requests an hour, all day, to lock out {article} {what}{_FROM[source]}",
                    campaign=campaign,
                    source=source,
                    usual=source != "datacentre" and rate in {60, 1_200},
                )


def _devices() -> Iterator[Attack]:
    """Lock-outs of a phone whose owner logged in from the same device on the day before."""
    for rate in RATES:
        yield Attack(
            name=f"lockout-device-{rate}-proxies",
            about=f"{rate:,} requests an hour, all day, to lock out a phone whose owner has a device, from proxies",
            campaign=Campaign(count=rate * 24, lasts=DAY_S, target=victim, guesses=1),
            days=2,
            device=True,
            usual=rate == 60,
            largest=1_000,
        )


def _weeks() -> Iterator[Attack]:
    """What the shares that are learned from earlier days change."""
    slow = Campaign(count=1_000, lasts=14 * HOUR, target=scattered)
    for name, about, starts, campaign, every_day in (
        ("weeks-none", "a day without an attack, after 20 like it", (NIGHT,), None, False),
        (
            "weeks-slow",
            "1,000 requests to scattered numbers in 14 hours, after 20 days of peace",
            ("08:00",),
            slow,
            False,
        ),
        ("weeks-slow-always", "the same on each of 21 days", ("08:00",), slow, True),
    ):
        yield Attack(
            name=name,
            about=about,
            starts=starts,
            campaign=campaign,
            every_day=every_day,
            days=WEEKS_DAYS,
            largest=1_000,
            usual=False,
        )


def _suffix(source: Source) -> str:
    return "-proxies" if source == "proxies" else ""


def _all() -> Iterator[Attack]:
    yield from _troubles()
    for name, about, starts, campaign in _campaigns():
        for source in _BOTH:
            yield Attack(
                name=name + _suffix(source),
                about=about + _FROM[source],
                starts=starts,
                campaign=campaign,
                source=source,
                usual=source == "proxies" or name.startswith("burst"),
            )
    yield from _lockouts()
    yield from _devices()
    yield from _weeks()


ATTACKS: Final[Mapping[str, Attack]] = {attack.name: attack for attack in _all()}
