"""A guard bound to one `OTP`: its captchas have their keys, its safe phones are numbers, its scopes have names."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any, Final

from otpkit.captcha.base import Captcha
from otpkit.core.addresses import Visitor, network_of, read_visitor
from otpkit.core.checks import Checks
from otpkit.core.crypto import Keys, encode_id
from otpkit.errors import ConfigurationError, PhoneError
from otpkit.guard.options import Fallback, Guard
from otpkit.phone import has_many_ranges, parse
from otpkit.policy import Policy

RANGE_DIGITS: Final = 4  # A range is 10,000 numbers: all that differ in the last four digits.

GuardKeys = tuple[str, str, str, str]
"""The keys of a range, an address, its network, and the wider scopes, in the order of the scripts."""


class Protection:
    """What the flows need of a `Guard`.

    Raises:
        ConfigurationError: the guard's safe phones are not numbers of the policy's regions.
    """

    def __init__(self, guard: Guard, policy: Policy, keys: Keys, namespace: str) -> None:
        self.guard = guard
        self.is_on = guard.mode != "off"
        self.enforces = guard.mode == "enforce"
        self.has_total = len(policy.regions) > 1
        self.captcha = _bound(guard.captcha, keys.captchas)
        self.fallback: Fallback = guard.fallback
        if not isinstance(guard.fallback, str):
            self.fallback = _bound(guard.fallback, keys.fallback_captchas)
        self._keys, self._namespace = keys, namespace
        self._networks = tuple(map(ipaddress.ip_network, guard.safe_networks))
        self._phones = _phones(guard, policy)
        self.wide_key = f"{namespace}:{{guard}}:u"
        self.range_key = lru_cache(maxsize=1024)(self._range_key)
        self._around = lru_cache(maxsize=1024)(self._address_keys)

    def keys(self, phone: str, ip: object, unused: str) -> tuple[GuardKeys, bool]:
        """Return the keys for a phone and a visitor's address, and True if the address counts.

        Args:
            phone: the phone as E.164.
            ip: the visitor's address, or None.
            unused: the key that stands in for those of an address that does not count.
        """
        visitor = None if ip is None else read_visitor(ip)
        address, network = (unused, unused) if visitor is None else self._around(visitor)
        return (self.range_key(phone[:-RANGE_DIGITS]), address, network, self.wide_key), visitor is not None

    def moving(self, phone: str, ip: object, unused: str) -> dict[str, Any]:
        """Return the guard's arguments of the scripts that verify, and that take a verification back."""
        keys, has_address = self.keys(phone, ip, unused)
        return {"guard": f"{int(has_address)}{int(self.is_on)}", "guard_keys": keys}

    def is_safe(self, phone: str, ip: object) -> bool:
        """Return True if a phone or a visitor's address is exempt."""
        if phone in self._phones:
            return True
        if ip is None or not self._networks or (visitor := read_visitor(ip)) is None:
            return False
        address = ipaddress.ip_address(visitor.name.partition("/")[0])
        return any(address in network for network in self._networks)

    def may_refuse(self, phone: str, region: str) -> bool:
        """Return True if the range of a phone is one of so many that refusing it refuses few people."""
        return has_many_ranges(phone, region)

    def pseudonym(self, scope: str, name: str) -> str:
        """Return the name that stands for a range, an address or a network at rest."""
        return encode_id(self._keys.name(b"guard", scope, name))

    def scope_key(self, scope: str, name: str) -> str:
        """Return the key of the record of a range, an address or a network."""
        return f"{self._namespace}:{{{self.pseudonym(scope, name)}}}:u"

    def answer_key(self, captcha: Captcha, answer: str) -> str:
        """Return the key that remembers an answer of a captcha."""
        name = encode_id(self._keys.name(b"captcha", captcha.name, captcha.identity(answer)))
        return f"{self._namespace}:{{{name}}}:a"

    def _range_key(self, prefix: str) -> str:
        return self.scope_key("range", prefix)

    def _address_keys(self, visitor: Visitor) -> tuple[str, str]:
        return self.scope_key("ip", visitor.name), self.scope_key("net", network_of(visitor))


def _bound(captcha: Captcha | None, keys: tuple[bytes, ...]) -> Captcha:
    if captcha is None:
        from otpkit.captcha import ProofOfWork  # Only guards need it.

        captcha = ProofOfWork()
    return captcha.bind_key(*keys)


def _phones(guard: Guard, policy: Policy) -> frozenset[str]:
    found = set()
    with Checks() as checks:
        for text in guard.safe_phones:
            try:
                found.add(parse(text, policy.regions, policy.default_region))
            except PhoneError as error:
                problem, remedy = f"Guard.safe_phones: {error.problem}", error.remedy
                checks.of("guard.safe_phones", _raise, problem, remedy)
    return frozenset(found)


def _raise(problem: str, remedy: str) -> None:
    raise ConfigurationError(problem, remedy)
