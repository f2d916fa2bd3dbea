"""Visitors' IP addresses: how limits count them, and which addresses no visitor can have."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final, NamedTuple

from otpkit.errors import ConfigurationError

# No visitor has these addresses, but a proxy in front of the site may: loopback, private (RFC 1918, RFC 4193), shared
# (RFC 6598) and link-local ones. Counting them would lock out the whole site.
_NOT_VISITORS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("::/127", "fc00::/7", "fe80::/10"),
)


class Visitor(NamedTuple):
    """An address as limits count it: an IPv4 address alone, an IPv6 address as its /64, which one household shares."""

    name: str
    is_network: bool


def read_visitor(ip: object) -> Visitor | None:
    """Return how limits count an address, or None if no visitor can have it.

    Args:
        ip: the address as text. An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) counts as that.

    Raises:
        ConfigurationError: `ip` is not an address.
    """
    return _visitor(str(ip))


@lru_cache(maxsize=1024)
def _visitor(text: str) -> Visitor | None:
    """Return the same for a text. A call with a guard asks twice, and many visitors come again."""
    packed = _packed(text)
    starts, ends = _RANGES[len(packed)]
    place = bisect_right(starts, packed)
    if place and packed <= ends[place - 1]:
        return None
    if len(packed) == 4:
        return Visitor(inet_ntop(AF_INET, packed), is_network=False)
    return Visitor(inet_ntop(AF_INET6, packed[:8] + bytes(8)) + "/64", is_network=True)


@lru_cache(maxsize=1024)
def read_address(text: str) -> bytes:
    """Return the bytes of an address, also of one that no visitor can have.

    Args:
        text: the address. An IPv6 address that stands for an IPv4 one counts as that.

    Raises:
        ConfigurationError: the text is not an address.
    """
    return _packed(text)


def read_network(network: IPv4Network | IPv6Network) -> tuple[bytes, int]:
    """Return the bytes of a network's first address as `read_address` counts it, and the length of its prefix."""
    packed = network.network_address.packed
    first = _unmapped(packed)
    # The bits in front of the IPv4 address are not part of it.
    length = network.prefixlen - (0 if first is packed else 16 if packed.startswith(_6TO4) else 96)
    return (packed, network.prefixlen) if length < 1 else (first, min(length, 8 * len(first)))


def network_of(visitor: Visitor) -> str:
    """Return the network around an address: the /24 of an IPv4 address, the /48 of an IPv6 one."""
    if visitor.is_network:
        return inet_ntop(AF_INET6, inet_pton(AF_INET6, visitor.name[:-3])[:6] + bytes(10)) + "/48"
    return visitor.name.rpartition(".")[0] + ".0/24"


def _packed(text: str) -> bytes:
    """Return the bytes of an address. The C library parses the usual spellings, `ipaddress` all others."""
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
        "ip must be the visitor's IP address as text, or None.",
        "Pass the address that your trusted proxy reports.",
    )


def _unmapped(packed: bytes) -> bytes:
    """Return the IPv4 address that an IPv6 address stands for: mapped, behind NAT64 (RFC 6052), or 6to4 (RFC 3056)."""
    if len(packed) == 4:
        return packed
    if packed.startswith(_IN_FRONT):
        return packed[12:]
    return packed[2:6] if packed.startswith(_6TO4) else packed


def _ranges(size: int) -> tuple[list[bytes], list[bytes]]:
    """Return the first and the last addresses of the ranges that no visitor has, in order."""
    networks = [each for each in map(ipaddress.ip_network, _NOT_VISITORS) if each.max_prefixlen == 8 * size]
    found = sorted((each.network_address.packed, each.broadcast_address.packed) for each in networks)
    return [start for start, _ in found], [end for _, end in found]


_IN_FRONT: Final = (bytes(10) + b"\xff\xff", bytes.fromhex("0064ff9b") + bytes(8))
_6TO4: Final = bytes.fromhex("2002")
_RANGES: Final[Mapping[int, tuple[list[bytes], list[bytes]]]] = {size: _ranges(size) for size in (4, 16)}
