"""The limits that are wider than a phone: IP addresses, regions, and all sends together."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from otpkit.codes import encode_id
from otpkit.deployment import Deployment
from otpkit.effects import Flow, RunScript, Script
from otpkit.errors import ConfigurationError, RateLimitScope
from otpkit.identity import Identity
from otpkit.policy import Rate, ipv6_share
from otpkit.replies import limit_error, live_challenge

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses that no visitor has, but that a proxy in front of the site may: loopback, private (RFC 1918, RFC 4193), shared (RFC 6598)
# and link-local ones. Counting them would lock the whole site.
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


def read_ip(ip: Any) -> IPAddress:
    """Return an address, an IPv4-mapped IPv6 one as IPv4; raises `ConfigurationError` for anything else."""
    try:
        address = ipaddress.ip_address(str(ip))
    except ValueError:
        address = None
    if address is None:
        raise ConfigurationError("ip must be the visitor's IP address as text, or None; pass what your proxy is trusted to say.")
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def is_countable(address: IPAddress) -> bool:
    """Whether a visitor can have this address."""
    return not any(address in network for network in _NOT_VISITORS)


class WideLimits:
    """The wider limits of one call. On one server the phone's own script charges them, in one step; a cluster keeps them on other
    nodes, so there each is taken first and given back when the call is refused: a crash leaves it counted, never uncounted.
    """

    __slots__ = ("_deployment", "_limits", "_taken")

    def __init__(self, deployment: Deployment, limits: Iterable[WideLimit]) -> None:
        self._deployment = deployment
        self._limits = tuple(limits)
        self._taken: list[tuple[WideLimit, int]] = []

    @property
    def in_script(self) -> tuple[WideLimit, ...]:
        """The limits that the phone's own script charges."""
        return () if self._deployment.clustered else self._limits

    @property
    def keys(self) -> tuple[str, ...]:
        """Their keys."""
        return tuple(limit.key for limit in self.in_script)

    def take(self, who: Identity) -> Flow[None]:
        """Take one from each limit that the phone's script can't charge; raises `RateLimitError` where one is used up."""
        if not self._deployment.clustered:
            return
        for limit in self._limits:
            now_ms, wait_ms = yield self._run(self._deployment.scripts.take, limit)
            if wait_ms > 0:
                yield from self.give()
                raise limit_error(limit.scope, wait_ms, (yield from live_challenge(self._deployment, who)))
            self._taken.append((limit, now_ms))

    def give(self, kept: Collection[str] = ()) -> Flow[None]:
        """Give back what `take` took, but for the scopes to keep."""
        taken, self._taken = self._taken, []
        for limit, taken_ms in taken:
            if limit.scope not in kept:
                yield self._run(self._deployment.scripts.give, limit, taken_ms)

    def _run(self, script: Script, limit: WideLimit, *more: int) -> RunScript:
        return RunScript(script, (limit.key,), (self._deployment.now_arg(), limit.rates, *more))


def ip_limit(deployment: Deployment, use: str, address: IPAddress, rates: Any) -> list[WideLimit]:
    """Return the limit of an address for one `use`; an IPv6 address counts as its /64, with a smaller share."""
    subject = str(address)
    if address.version == 6:
        subject = str(ipaddress.ip_network((address, 64), strict=False))
        rates = ipv6_share(rates)
    return _limit(deployment, "ip", (use, subject), rates)


def send_limits(deployment: Deployment, region: str) -> list[WideLimit]:
    """Return the limits of a region's sends and of all sends, where the policy has them."""
    policy = deployment.policy
    regional = _limit(deployment, "region", (region,), policy.region_sends.get(region, ()))
    return regional + _limit(deployment, "total", (), policy.total_sends)


def _limit(deployment: Deployment, scope: RateLimitScope, subject: tuple[str, ...], rates: Any) -> list[WideLimit]:
    if not rates:
        return []
    name = encode_id(deployment.keys.name(scope.encode(), *subject))
    return [WideLimit(scope, f"{deployment.namespace}:{{{name}}}:w", _write(rates))]


def _write(rates: Iterable[Rate]) -> str:
    return " ".join(f"{rate.limit}/{rate.seconds * 1000}" for rate in rates)
