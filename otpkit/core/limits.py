"""The limits that are wider than a phone: IP addresses, regions, and all sends together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from otpkit.core.addresses import read_visitor
from otpkit.core.config import Config
from otpkit.core.crypto import encode_id, new_id
from otpkit.core.scripts.limits import Consumed, Refusal, WideLimit
from otpkit.core.scripts.parse import Raw
from otpkit.effects import Flow, RunScript, run_together
from otpkit.errors import OTPError, RateLimitScope


class Charge(NamedTuple):
    """A unit consumed of a limit: the key that remembers it, and its time in server milliseconds."""

    limit: WideLimit
    memory_key: str
    consumed_ms: int


def ip_limits(config: Config, use: str, ip: object) -> tuple[WideLimit, ...]:
    """Return the limit of a visitor's address for one use.

    Args:
        config: the checked arguments of the `OTP`.
        use: `sends` or `failures`. They are counted separately.
        ip: the address; None counts nothing. An IPv6 address counts as its /64, with a smaller share.

    Raises:
        ConfigurationError: `ip` is not an address.
    """
    if ip is None or (visitor := read_visitor(ip)) is None:
        return ()
    rates = config.wide_rates.of_network if visitor.is_network else config.wide_rates.of_address
    return wide_limit(config, "ip", (use, visitor.name), rates[use])


def send_limits(config: Config, region: str) -> tuple[WideLimit, ...]:
    """Return the limits of a region's sends and of all sends, if the policy has them."""
    wide = config.wide_rates
    if not wide.of_region and not wide.of_all:
        return ()
    regional = wide_limit(config, "region", (region,), wide.of_region.get(region, ""))
    return regional + wide_limit(config, "total", (), wide.of_all)


NOTHING_CONSUMED: Final[tuple[Sequence[Charge], Refusal | None]] = ((), None)
"""The result of `consume` without limits."""


def consume(config: Config, limits: Sequence[WideLimit]) -> Flow[tuple[Sequence[Charge], Refusal | None]]:
    """Take one unit from each limit that the phone's own script can't charge; return the charges, or the refusal.

    See `consume_beside`.
    """
    if not config.clustered or not limits:
        return NOTHING_CONSUMED
    charges, refusal, _ = yield from consume_beside(config, limits, ())
    return charges, refusal


def consume_beside(
    config: Config, limits: Sequence[WideLimit], others: Sequence[RunScript[Raw]]
) -> Flow[tuple[Sequence[Charge], Refusal | None, list[Raw]]]:
    """Take one unit from each limit of a cluster, with `others` side by side; return the charges, or the refusal.

    The replies of `others` are the last value.

    On a single server, the phone's script charges all limits in one step. On a cluster, the limits lie on other nodes.
    There, each unit is taken first, and refunded if the call is refused: after a crash it stays counted, never
    uncounted. A refusal is passed to the phone's script, which first checks whether it has already answered this call.
    """
    # A memory key lies in its limit's slot. It is needed because redis-py reruns a script whose reply was lost.
    memory_keys = [memory_key(limit, new_id()) for limit in limits]
    script, now = config.scripts.consume, config.now_arg()
    calls: list[RunScript[Raw]] = [
        script(limit_key=limit.key, memory_key=memory, now=now, rates=limit.rates)
        for limit, memory in zip(limits, memory_keys, strict=True)
    ]
    found = yield from run_together([*calls, *others])
    replies, rest = found[: len(calls)], found[len(calls) :]
    charges: list[Charge] = []
    longest: Refusal | None = None
    for limit, memory, reply in zip(limits, memory_keys, replies, strict=True):
        if isinstance(reply, Consumed):
            charges.append(Charge(limit, memory, reply.consumed_ms))
        elif longest is None or reply.wait_ms > longest.wait_ms:
            longest = Refusal(limit.scope, reply.wait_ms, reply.limit, reply.window_ms)
    if longest is not None:
        yield from refund(config, charges)
        return (), longest, rest
    return charges, None, rest


def memory_key(limit: WideLimit, op: bytes) -> str:
    """Return the key that remembers for a minute that an operation was charged to a limit."""
    return f"{limit.key}:{encode_id(op)}"


def refund(config: Config, charges: Iterable[Charge]) -> Flow[None]:
    """Refund the units of `consume`, once. Units taken too long ago stay counted, as do those that Redis refuses."""
    script, now = config.scripts.refund, config.now_arg()
    calls = [
        script(
            limit_key=charge.limit.key,
            memory_key=charge.memory_key,
            now=now,
            rates=charge.limit.rates,
            consumed_ms=charge.consumed_ms,
        )
        for charge in charges
    ]
    if calls:
        with suppress(OTPError):
            yield from run_together(calls)


def wide_limit(config: Config, scope: RateLimitScope, parts: tuple[str, ...], rates: str) -> tuple[WideLimit, ...]:
    """Return the limit that `parts` name, or none without rates. `rates` is in the format of `window.lua`."""
    if not rates:
        return ()
    name = encode_id(config.keys.name(scope.encode(), *parts))
    return (WideLimit(scope, f"{config.namespace}:{{{name}}}:w", rates),)
