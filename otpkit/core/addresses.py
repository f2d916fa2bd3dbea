"""Visitors' IP addresses: how each is counted, and which no visitor can have."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Mapping
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, NamedTuple

from otpkit.errors import ConfigurationError

# Addresses that no visitor has, but that a proxy in front of the site may: loopback, private (RFC 1918, RFC 4193),
# shared (RFC 6598) and link-local ones. Counting them would lock the whole site.
_NOT_VISITORS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("::/127", "fc00::/7", "fe80::/10"),
)


class Visitor(NamedTuple):
    """An address as it is counted: an IPv4 one by itself, an IPv6 one with all of its /64, as one household's."""

    name: str
    is_network: bool


def read_visitor(ip: object) -> Visitor | None:
    """Return how an address is counted, an IPv4-mapped IPv6 one as IPv4; None for one that no visitor can have.

    Raises `ConfigurationError` for what is no address.
    """
    packed = _packed(str(ip))
    starts, ends = _RANGES[len(packed)]
    place = bisect_right(starts, packed)
    if place and packed <= ends[place - 1]:
        return None
    if len(packed) == 4:
        return Visitor(inet_ntop(AF_INET, packed), is_network=False)
    return Visitor(inet_ntop(AF_INET6, packed[:8] + bytes(8)) + "/64", is_network=True)


def _packed(text: str) -> bytes:
    """Return the bytes of an address: what is written as usual is read by the C library, all else by `ipaddress`."""
    try:
        if ":" not in text:
            packed = inet_pton(AF_INET, text)
            if inet_ntop(AF_INET, packed) == text:
                return packed
        elif "." not in text:
            return _unmapped(inet_pton(AF_INET6, text))
    except (OSError, ValueError):
        pass
    try:
        return _unmapped(ipaddress.ip_address(text).packed)
    except ValueError:
        pass
    raise ConfigurationError(
        "ip must be the visitor's IP address as text, or None.", "Pass what your proxy is trusted to say."
    )


def _unmapped(packed: bytes) -> bytes:
    return packed[12:] if packed.startswith(_MAPPED) and len(packed) == 16 else packed


def _ranges(size: int) -> tuple[list[bytes], list[bytes]]:
    """Return the first and the last address of each range that no visitor has, in order."""
    networks = [each for each in map(ipaddress.ip_network, _NOT_VISITORS) if each.max_prefixlen == 8 * size]
    found = sorted((each.network_address.packed, each.broadcast_address.packed) for each in networks)
    return [start for start, _ in found], [end for _, end in found]


_MAPPED: Final = bytes(10) + b"\xff\xff"
_RANGES: Final[Mapping[int, tuple[list[bytes], list[bytes]]]] = {size: _ranges(size) for size in (4, 16)}
