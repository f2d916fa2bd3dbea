"""The limits that are wider than a phone: IP addresses, regions, and all sends together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from otpkit.core.config import Deployment
from otpkit.core.crypto import encode_id, new_id
from otpkit.effects import Flow, RunScript, Together
from otpkit.errors import ConfigurationError, OTPError, RateLimitScope
from otpkit.policy import Rate, ipv6_share

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses that no visitor has, but that a proxy in front of the site may: loopback, private (RFC 1918, RFC 4193),
# shared (RFC 6598) and link-local ones. Counting them would lock the whole site.
_NOT_VISITORS = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "::/127",
            "fc00::/7",
            "fe80::/10",
        ),
    )
)


@dataclass(frozen=True, slots=True)
class WideLimit:
    """One counter that a send or a guess is charged to. `rates` is as `window.lua` reads them."""

    scope: RateLimitScope
    key: str
    rates: str


Taken: TypeAlias = tuple[WideLimit, tuple[str, int]]
"""A limit, and what was taken from it: the key that remembers it, and when it was, in server milliseconds."""

Refusal: TypeAlias = tuple[()] | tuple[RateLimitScope, int, int, int]
"""Of a limit that is used up: its scope, the milliseconds until it allows one more, and the rate of it that takes so
long, as its limit and its window in milliseconds; empty where none is."""


def read_ip(ip: Any) -> IPAddress:
    """Return an address, an IPv4-mapped IPv6 one as IPv4; raises `ConfigurationError` for anything else."""
    try:
        address = ipaddress.ip_address(str(ip))
    except ValueError:
        address = None
    if address is None:
        raise ConfigurationError(
            "ip must be the visitor's IP address as text, or None; pass what your proxy is trusted to say."
        )
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def is_countable(address: IPAddress) -> bool:
    """Whether a visitor can have this address."""
    return not any(address in network for network in _NOT_VISITORS)


def ip_limits(deployment: Deployment, use: str, address: IPAddress, rates: Any) -> tuple[WideLimit, ...]:
    """Return the limit of an address for one `use`; an IPv6 address counts as its /64, with a smaller share."""
    if not is_countable(address):
        return ()
    subject = str(address)
    if address.version == 6:
        subject = str(ipaddress.ip_network((address, 64), strict=False))
        rates = ipv6_share(rates)
    return _limit(deployment, "ip", (use, subject), rates)


def send_limits(deployment: Deployment, region: str) -> tuple[WideLimit, ...]:
    """Return the limits of a region's sends and of all sends, where the policy has them."""
    policy = deployment.policy
    regional = _limit(deployment, "region", (region,), policy.region_sends.get(region, ()))
    return regional + _limit(deployment, "total", (), policy.total_sends)


NOTHING_TAKEN: Final[tuple[Sequence[Taken], Refusal]] = ((), ())
"""What `take` returns where there are no limits."""


def take(deployment: Deployment, limits: Sequence[WideLimit]) -> Flow[tuple[list[Taken], Refusal]]:
    """Take one from each limit that the phone's own script can't charge; return what was taken, or who refused.

    On one server the phone's script charges them all, in one step; a cluster keeps them on other nodes, so there each
    is taken first and given back when the call is refused: a crash leaves it counted, never uncounted. A refusal is for
    the phone's script to tell, which first looks whether it has answered this call before.
    """
    if not deployment.clustered or not limits:
        return [], ()
    # Each is remembered in its limit's slot: redis-py runs a script again whose reply was lost.
    memory_keys = [memory_key(limit, new_id()) for limit in limits]
    script, now = deployment.scripts.take, deployment.now_arg()
    replies = yield Together(
        tuple(
            RunScript(script, (limit.key, memory), (now, limit.rates))
            for limit, memory in zip(limits, memory_keys, strict=True)
        )
    )
    taken: list[Taken] = []
    longest: Refusal = ()
    for limit, memory, (taken_ms, wait_ms, *rate) in zip(limits, memory_keys, replies, strict=True):
        if wait_ms == 0:
            taken.append((limit, (memory, taken_ms)))
        elif not longest or wait_ms > longest[1]:
            longest = (limit.scope, wait_ms, *rate)
    if longest:
        yield from give(deployment, taken)
        return [], longest
    return taken, ()


def memory_key(limit: WideLimit, op: bytes) -> str:
    """Return the key that remembers, for a minute, that an operation was charged to a limit."""
    return f"{limit.key}:{encode_id(op)}"


def give(deployment: Deployment, taken: Iterable[Taken]) -> Flow[None]:
    """Give back what `take` took, once. What was taken too long ago stays counted, and so does what Redis refuses."""
    script, now = deployment.scripts.give, deployment.now_arg()
    scripts: tuple[RunScript[Any], ...] = tuple(
        RunScript(script, (limit.key, memory), (now, limit.rates, taken_ms)) for limit, (memory, taken_ms) in taken
    )
    if scripts:
        with suppress(OTPError):
            yield Together(scripts)


def _limit(
    deployment: Deployment, scope: RateLimitScope, subject: tuple[str, ...], rates: Any
) -> tuple[WideLimit, ...]:
    if not rates:
        return ()
    name = encode_id(deployment.keys.name(scope.encode(), *subject))
    return (WideLimit(scope, f"{deployment.namespace}:{{{name}}}:w", _write(rates)),)


def _write(rates: Iterable[Rate]) -> str:
    return " ".join(f"{rate.limit}/{rate.seconds * 1000}" for rate in rates)
