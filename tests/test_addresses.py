"""Visitors' addresses are parsed as `ipaddress` parses them, and counted under the same names as before."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpkit.core import addresses
from otpkit.core.addresses import Visitor, read_visitor
from otpkit.errors import ConfigurationError

NETWORKS = [ipaddress.ip_network(each) for each in addresses._NOT_VISITORS]


def expected(text: str) -> Visitor | None:
    """Return the counted name of an address, by `ipaddress`. Raise ValueError if it is not an address."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        translated = address in ipaddress.ip_network("64:ff9b::/96")
        behind = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if translated else None
        found = next((each for each in (address.ipv4_mapped, address.sixtofour, behind) if each is not None), None)
        address = address if found is None else found
    if any(address in network for network in NETWORKS):
        return None
    if address.version == 4:
        return Visitor(str(address), is_network=False)
    return Visitor(str(ipaddress.ip_network((address, 64), strict=False)), is_network=True)


EDGES = [
    str(network[place] + step)
    for network in NETWORKS
    for place, step in ((0, 0), (0, -1), (-1, 0), (-1, 1))
    if 0 <= int(network[place]) + step < 2**network.max_prefixlen
]
ODD = [
    *("", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", "１.2.3.4", "0x1.2.3.4"),
    *("::", "::1", "::2", ":::", "1::2::3", "::ffff:1.2.3.4", "::ffff:127.0.0.1", "::FFFF:102:304", "::1.2.3.4"),
    *(
        "2001:db8::1%eth0",
        "fe80::1%1",
        "12345::",
        "2001:db8::/64",
        "1.2.3.4/8",
        "1.2.3.4\0",
        "2001:db8::\0",
        "2001:DB8::1",
    ),
    *("64:ff9b::203.0.113.9", "64:ff9b::10.0.0.1", "2002:cb00:7109::1", "2002:a00:1::1", "64:ff9b:1::1", "2003::1"),
    *("0:0:0:1::", "1:0:0:0:0:0:0:0", "0:0:1::", "::1:0:0:0:0", "64:ff9b::1.2.3.4", "::ffff:01.2.3.4", "\ud800:"),
]


def check(text: str) -> None:
    try:
        wanted = expected(text)
    except ValueError:
        with pytest.raises(ConfigurationError):
            read_visitor(text)
    else:
        assert read_visitor(text) == wanted


@pytest.mark.parametrize("text", [*EDGES, *ODD])
def test_an_address_is_read_as_ipaddress_does(text: str) -> None:
    """The texts are the ends of each range, and unusual spellings."""
    check(text)


@given(st.one_of(st.ip_addresses().map(str), st.ip_addresses(v=6).map(lambda each: each.exploded)))
def test_any_address_is_read_as_ipaddress_does(text: str) -> None:
    check(text)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_network_keeps_its_name(high: int, low: int) -> None:
    """Few bits are set, which results in runs of zeros. The name is part of existing keys in Redis."""
    check(str(ipaddress.IPv6Address((high & 0xF00F000F) << 96 | low & 0xF00000000000000F)))
    check(str(ipaddress.IPv6Address(high << 64 | low)))


@given(st.text(alphabet="0123456789abcdefABCDEF:.%/ ", max_size=42))
def test_any_text_is_read_as_ipaddress_does(text: str) -> None:
    check(text)


def test_other_values_are_read_by_their_text() -> None:
    """An address object of `ipaddress` is valid. A number is not."""
    assert read_visitor(ipaddress.ip_address("203.0.113.9")) == ("203.0.113.9", False)
    with pytest.raises(ConfigurationError):
        read_visitor(3405803785)


@pytest.mark.parametrize(
    ("network", "address", "length"),
    [
        ("203.0.113.0/24", "203.0.113.0", 24),
        ("10.0.0.0/8", "10.0.0.0", 8),
        ("2001:db8::7", "2001:db8::7", 128),
        ("::ffff:10.0.0.0/104", "10.0.0.0", 8),
        ("64:ff9b::203.0.113.0/120", "203.0.113.0", 24),
        ("2002:cb00:7107::/48", "203.0.113.7", 32),
        ("2002:cb00:7107:1::/64", "203.0.113.7", 32),
        # All addresses behind NAT64 or 6to4 are all IPv4 addresses. They are not meant.
        ("64:ff9b::/96", "64:ff9b::", 96),
        ("2002::/16", "2002::", 16),
        ("::/0", "::", 0),
    ],
)
def test_network_is_read_as_its_addresses_are(network: str, address: str, length: int) -> None:
    found = addresses.read_network(ipaddress.ip_network(network))  # type: ignore[arg-type]
    assert found == (ipaddress.ip_address(address).packed, length)


@given(st.ip_addresses().map(str))
def test_address_is_in_its_own_network(text: str) -> None:
    """Also a private one, which no visitor has."""
    first, length = addresses.read_network(ipaddress.ip_network(text))  # type: ignore[arg-type]
    assert (addresses.read_address(text), 8 * len(first)) == (first, length)
