"""A guard bound to one `OTP`: its captchas have their keys, its safe phones are numbers, its scopes have names."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final, NamedTuple

from otpkit.captcha.base import Captcha
from otpkit.core.addresses import network_of, read_address, read_network, read_visitor
from otpkit.core.checks import Checks
from otpkit.core.crypto import ID_BYTES, Keys, encode_id
from otpkit.core.routing import Routing
from otpkit.errors import PhoneError
from otpkit.guard.options import OTHERS, Fallback, Guard
from otpkit.models import mask
from otpkit.phone import has_many_ranges, parse
from otpkit.policy import Policy

RANGE_DIGITS: Final = 4  # A range is 10,000 numbers: all that differ in the last four digits.

TOTAL: Final = "*"
"""The name of all regions together."""


NOT_GUARDED: Final[tuple[str, tuple[str, ...]]] = ("", ())
"""The guard's argument and keys of scripts if there is no guard."""


class Range(NamedTuple):
    """What scripts need of a range in a region: `keys` are those of its records, of the region's, and of the total's.

    `guard` is the guard's argument of reserve.lua for a send about which nothing else is known.
    """

    keys: tuple[str, ...]
    has_many_ranges: bool
    guard: str


class Protection:
    """What the flows need of a `Guard`.

    Raises:
        ConfigurationError: the guard's safe phones are not numbers of the policy's regions.
    """

    def __init__(self, guard: Guard, policy: Policy, keys: Keys, namespace: str) -> None:
        self.guard = guard
        self.is_on = guard.mode != "off"
        self.letter = guard.mode[0]  # As in judge.lua.
        self.asks = guard.risk is not None or guard.ask == "always"
        self.has_safe = bool(guard.safe_phones or guard.safe_networks)
        self.enforces = guard.mode == "enforce"
        self.has_total = len(policy.regions) > 1
        bound: dict[int, Captcha] = {}  # One captcha for several purposes is bound once.
        self._captchas = {
            purpose: bound.setdefault(id(captcha), _bound(captcha, keys.captchas))
            for purpose, captcha in guard.captchas().items()
        }
        self.fallback: Fallback = guard.fallback
        if not isinstance(guard.fallback, str):
            self.fallback = _bound(guard.fallback, keys.fallback_captchas)
        self._keys, self._namespace = keys, namespace
        self.notes_key = f"{namespace}:{{guard}}:notes"
        self.since_key = f"{namespace}:{{guard}}:since"
        self.noted: dict[tuple[str, str, str], int] = {}  # Decisions that this process has not written yet.
        self.noted_s = 0.0  # When it wrote last, by `Config.elapsed_s`.
        self._networks = _networks(guard)
        self._phones = safe_phones(guard, policy)
        self._scopes = {scope: keys.beginning(b"guard", scope) for scope in ("range", "ip", "net")}
        self._total_key = self.region_key(TOTAL)
        # A keyed hash takes longer than all else that a guard adds to a call.
        self.range_of = lru_cache(maxsize=1024)(self._range_of)
        """Return the range of a number without its last `RANGE_DIGITS` digits, in a region."""
        self.address_keys = lru_cache(maxsize=1024)(self._address_keys)
        """Return the keys of an address and of its network; none if it does not count."""
        self._network_key = lru_cache(maxsize=1024)(lambda name: self.scope_key("net", name))

    def keys(self, phone: str, region: str, ip: object) -> tuple[str, ...]:
        """Return the guard's keys in the scripts: range, region [, all regions] [, address, network].

        Args:
            phone: the phone as E.164.
            region: its region.
            ip: the visitor's address, or None.
        """
        keys: tuple[str, ...] = self.range_of(phone[:-RANGE_DIGITS], region).keys
        return keys if ip is None else keys + self.address_keys(str(ip))

    def has_address(self, keys: tuple[str, ...]) -> bool:
        """Return True if `keys` include those of an address."""
        return len(keys) > 2 + self.has_total

    def argument(self, *, captcha: str, known: bool, is_safe: bool, refuses: bool, is_asked: bool, region: str) -> str:
        """Return the guard's argument of reserve.lua: see judge.lua."""
        return f"{self.letter}{captcha}{known:d}{is_safe:d}{refuses:d}{is_asked:d}{region}"

    def _range_of(self, prefix: str, region: str) -> Range:
        total = (self._total_key,) if self.has_total else ()
        many = has_many_ranges(prefix + "0" * RANGE_DIGITS, region)
        guard = self.argument(captcha="n", known=False, is_safe=False, refuses=many, is_asked=False, region=region)
        return Range((self.scope_key("range", prefix), self.region_key(region), *total), many, guard)

    def _address_keys(self, ip: str) -> tuple[str, ...]:
        visitor = read_visitor(ip)
        return () if visitor is None else (self.scope_key("ip", visitor.name), self._network_key(network_of(visitor)))

    def is_safe(self, phone: str, ip: object) -> bool:
        """Return True if a phone or a visitor's address is exempt."""
        if phone in self._phones:
            return True
        if ip is None or not self._networks:
            return False
        packed = read_address(str(ip))
        number, bits = int.from_bytes(packed), 8 * len(packed)
        return any(
            size == len(packed) and number >> (bits - length) in networks
            for (size, length), networks in self._networks.items()
        )

    def pseudonym(self, scope: str, name: str) -> str:
        """Return the name that stands for a range, an address or a network at rest."""
        mac = self._scopes[scope]
        return encode_id(mac(b"%d:%b" % (len(name), name.encode()))[:ID_BYTES])

    def scope_key(self, scope: str, name: str) -> str:
        """Return the key of the record of a range, an address or a network."""
        return self.record_key(self.pseudonym(scope, name))

    def record_key(self, pseudonym: str) -> str:
        """Return the key of the record of a pseudonym."""
        return f"{self._namespace}:{{{pseudonym}}}:u"

    def captcha_for(self, purpose: str) -> Captcha:
        """Return the captcha of a purpose."""
        return self._captchas.get(purpose) or self._captchas[OTHERS]

    def answer_key(self, captcha: Captcha, purpose: str, answer: str) -> str:
        """Return the key that remembers an answer of a captcha.

        If the provider accepts an answer once, the key is the purpose's own: a verdict that is kept is worth nothing
        for another purpose, for which the provider refuses the answer. Otherwise one key serves all purposes.
        """
        own = (purpose,) if captcha.single_use else ()
        name = encode_id(self._keys.name(b"captcha", captcha.name, captcha.identity(answer), *own))
        return f"{self._namespace}:{{{name}}}:a"

    def region_key(self, region: str) -> str:
        """Return the key of the record of a region, or of all regions together."""
        return f"{self._namespace}:{{guard}}:{region}"


def _bound(captcha: Captcha | None, keys: tuple[bytes, ...]) -> Captcha:
    if captcha is None:
        from otpkit.captcha import ProofOfWork  # Only guards need it.

        captcha = ProofOfWork()
    return captcha.bind_key(*keys)


def _networks(guard: Guard) -> dict[tuple[int, int], set[int]]:
    """Return the guard's safe networks by the bytes of an address and their length, as numbers without their last bits.

    There are at most 162 pairs of these, so a million networks are looked up as fast as a few.
    """
    found: dict[tuple[int, int], set[int]] = {}
    for each in map(ipaddress.ip_network, guard.safe_networks):
        first, length = read_network(each)
        number = int.from_bytes(first) >> (8 * len(first) - length)
        found.setdefault((len(first), length), set()).add(number)
    return found


def safe_phones(guard: Guard, policy: Policy) -> frozenset[str]:
    """Return the guard's safe phones as E.164.

    Raises:
        ConfigurationError: some are not mobile numbers of the policy's regions. The error names each of them.
    """
    found: set[str] = set()
    wrong: list[tuple[str, str]] = []
    with Checks() as checks:
        for text in sorted(guard.safe_phones):
            try:
                found.add(parse(text, policy.regions, policy.default_region))
            except PhoneError as error:
                wrong.append((f"Guard.safe_phones: {mask(text)}: {error.problem}", "Correct it, or leave it out."))
        checks.first("guard.safe_phones", wrong)
    return frozenset(found)


def check_captchas(guard: Guard, routing: Routing) -> None:
    """Raise `ConfigurationError` if the guard has a captcha for a purpose that no template serves."""
    with Checks() as checks:
        for purpose in guard.captchas().keys() - {OTHERS}:
            checks.of("guard.captcha", routing.require_template, purpose, "Guard.captcha")
