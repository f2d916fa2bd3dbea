"""The typed faces of consume.lua and refund.lua: limits wider than a phone, on a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from otpkit.core.scripts.parse import ListScript, Raw, count_of, numbers_of, unfit
from otpkit.effects import RunScript, Script
from otpkit.errors import RateLimitScope
from otpkit.policy import Policy, Rate, ipv6_share, rates_of


class WideLimit(NamedTuple):
    """One counter that a send or a guess is charged to. `rates` is in the format of `window.lua`."""

    scope: RateLimitScope
    key: str
    rates: str


class WideRates(NamedTuple):
    """A policy's rates that are wider than a phone, in the format of `window.lua`; "" is no limit.

    The rates of one IPv4 address and of one IPv6 network are mapped by their use: `sends` or `failures`.
    """

    of_address: Mapping[str, str]
    of_network: Mapping[str, str]
    of_region: Mapping[str, str]
    of_all: str


def wide_rates(policy: Policy) -> WideRates:
    """Return a policy's rates that are wider than a phone."""
    uses = {"sends": rates_of(policy.ip_sends), "failures": rates_of(policy.ip_failures)}
    return WideRates(
        {use: _write(rates) for use, rates in uses.items()},
        {use: _write(ipv6_share(rates)) for use, rates in uses.items()},
        {region: _write(rates_of(rates)) for region, rates in policy.region_sends.items()},
        _write(rates_of(policy.total_sends)),
    )


def _write(rates: Iterable[Rate]) -> str:
    return " ".join(f"{rate.limit}/{rate.seconds * 1000}" for rate in rates)


class Refusal(NamedTuple):
    """A used-up limit on another node: the wait until it allows one more, and its rate with the longest wait."""

    scope: RateLimitScope
    wait_ms: int
    limit: int
    window_ms: int


class Consumed(NamedTuple):
    """The reply if a unit was taken, with its time."""

    consumed_ms: int


class Exhausted(NamedTuple):
    """The reply if the limit is used up: the wait until it allows one more, and its rate with the longest wait."""

    now_ms: int
    wait_ms: int
    limit: int
    window_ms: int


ConsumeReply: TypeAlias = Consumed | Exhausted


class Consume(ListScript[ConsumeReply]):
    """The face of consume.lua."""

    __slots__ = ()

    lists = (Consumed, Exhausted)

    def __call__(self, *, limit_key: str, memory_key: str, now: int | str, rates: str) -> RunScript[ConsumeReply]:
        """Take one unit from a limit."""
        return RunScript(self, (limit_key, memory_key), (now, rates))

    def read(self, reply: Raw, args: Raw) -> ConsumeReply:
        """Return `Consumed` or `Exhausted`."""
        if len(reply) == 4:
            return Exhausted(*numbers_of(reply, 4))
        consumed_ms, wait_ms = numbers_of(reply, 2)
        if wait_ms:
            raise unfit()
        return Consumed(consumed_ms)


class Refund(Script[bool]):
    """The face of refund.lua. Its reply is True."""

    __slots__ = ()

    def __call__(
        self, *, limit_key: str, memory_key: str, now: int | str, rates: str, consumed_ms: int
    ) -> RunScript[bool]:
        """Refund the unit that was taken from a limit at `consumed_ms`."""
        return RunScript(self, (limit_key, memory_key), (now, rates, consumed_ms))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1
