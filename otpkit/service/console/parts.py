"""Fetch what a page shows, each part by its own call. A part that fails is missing; the rest of the page stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from otpkit.aio import AsyncOTP, config_of
from otpkit.errors import OTPError, StoreUnavailableError
from otpkit.guard.budgets import Spending
from otpkit.guard.report import GuardReport
from otpkit.models import Audit, Challenge, Standing, Stats
from otpkit.service.middleware import log_fault

if TYPE_CHECKING:
    from otpkit.models import GatewayStanding

T = TypeVar("T")
Missing = Literal["", "store", "error", "unset"]
"""Why a part is missing: Redis does not answer, its call failed, or the deployment does not have it."""

_MOST_GUARD_HOURS = 168


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A value, or the reason why it is missing."""

    value: T | None = None
    problem: Missing = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """The parts of the overview."""

    stats: Part[Stats]
    spending: Part[tuple[Spending, ...]]
    guard: Part[GuardReport]
    gateways: Part[tuple[GatewayStanding, ...]]

    @property
    def is_store_down(self) -> bool:
        """True if a part is missing because Redis does not answer."""
        return "store" in {each.problem for each in (self.stats, self.spending, self.guard, self.gateways)}


@dataclass(frozen=True, slots=True)
class NumberParts:
    """What is known about a number. `challenges` are the live ones by purpose, without a bind."""

    standing: Part[Standing]
    audit: Part[Audit]
    challenges: Part[tuple[Challenge, ...]]


async def part(call: Callable[[], Awaitable[T]]) -> Part[T]:
    """Make a call, and return its value or the reason why it is missing."""
    try:
        return Part(await call())
    except StoreUnavailableError:
        return Part(problem="store")
    except OTPError:
        return Part(problem="error")
    except Exception as error:  # noqa: BLE001 - Any failure leaves the other parts alone.
        log_fault(error)
        return Part(problem="error")


async def overview(otp: AsyncOTP, hours: int) -> Overview:
    """Return the parts of the overview for the last `hours`. They are fetched side by side."""
    stats, spending, guard, gateways = await asyncio.gather(
        part(lambda: otp.stats(hours=hours)),
        part(otp.spending),
        guard_part(otp, hours),
        part(otp.gateways),
    )
    return Overview(stats, spending, guard, gateways)


async def guard_part(otp: AsyncOTP, hours: int) -> Part[GuardReport]:
    """Return the report of the guard for at most a week, or a part that is unset without a guard."""
    if config_of(otp).protection is None:
        return Part(problem="unset")
    return await part(lambda: otp.guard_report(min(hours, _MOST_GUARD_HOURS)))


async def number(otp: AsyncOTP, phone: str, purposes: tuple[str, ...]) -> NumberParts:
    """Return what is known about an E.164 phone."""

    async def live() -> tuple[Challenge, ...]:
        found = await asyncio.gather(*(otp.status(phone, purpose) for purpose in purposes))
        return tuple(each for each in found if each is not None)

    standing, audit, challenges = await asyncio.gather(
        part(lambda: otp.standing(phone)), part(lambda: otp.audit(phone, limit=20)), part(live)
    )
    return NumberParts(standing, audit, challenges)
