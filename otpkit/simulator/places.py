"""Numbers and addresses of simulated people. All are drawn from a seeded random generator."""

from __future__ import annotations

from random import Random
from typing import Final

BLOCKS: Final = 200_000  # Ranges of 10,000 mainland numbers that are in use.
RANGE_DIGITS: Final = 4  # A range is a number without its last four digits.
OFFICE: Final = "61.135.20.7"
OWNER_ADDRESS: Final = "61.135.20.99"
CARRIER_NAT: Final = "117.136.40.9"
_DATACENTRE: Final = "45.76.10"  # One /24.
_DATACENTRE_HOSTS: Final = 50


def number(block: int, last: int) -> str:
    """Return the mainland number with a block from 0 to 199,999 and its last four digits."""
    return f"+86{1_300_000 + 3 * block}{last:04d}"


def any_number(random: Random, blocks: range = range(BLOCKS)) -> str:
    """Return a number of one of these blocks."""
    return number(random.choice(blocks), random.randrange(10_000))


def home_address(random: Random) -> str:
    """Return the address of a household: IPv4, or for three in ten IPv6."""
    if random.random() < 0.3:
        return f"2409:{random.randrange(65536):x}:{random.randrange(65536):x}:{random.randrange(65536):x}::1"
    return ipv4(random)


def ipv4(random: Random) -> str:
    """Return an IPv4 address of a residential network."""
    first = random.choice(range(60, 126))
    return f"{first}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


def datacentre_address(random: Random) -> str:
    """Return one of the fifty addresses of an attacker's /24."""
    return f"{_DATACENTRE}.{random.randrange(1, _DATACENTRE_HOSTS + 1)}"
