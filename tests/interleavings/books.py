"""Read what Redis counts: sends, wrong codes, proofs, limits, budgets and the guard's scopes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from snapshots import Stored

from otpkit.core.config import Config
from otpkit.core.limits import ip_limits, send_limits
from otpkit.core.subject import Subject


class Scope(NamedTuple):
    """The sends of a guard's scope."""

    unverified: int
    verified: int


class Books:
    """The counts in a state of Redis."""

    def __init__(self, config: Config, stored: Stored) -> None:
        self._config = config
        self._values: dict[str, Any] = {key.decode(): value for key, _, value, _ in stored}

    def fields(self, phone: str, kind: str = "") -> dict[bytes, bytes]:
        """Return a phone's fields, or those of a kind: see phone.lua."""
        flat: Sequence[bytes] = self._values.get(Subject(self._config, phone, "signup", "").phone_key, ())
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        return {name: value for name, value in found.items() if name.startswith(kind.encode())}

    def sends(self, phone: str) -> list[str]:
        """Return the states of a phone's counted sends, by the letters of phone.lua."""
        return sorted(chr(value[12]) for value in self.fields(phone, "s").values())

    def wrong_codes(self, phone: str) -> int:
        """Return the wrong codes that the phone's limit counts."""
        return len(self.fields(phone, "f"))

    def consecutive(self, phone: str) -> int:
        """Return the consecutive wrong codes."""
        return int(self._values.get(Subject(self._config, phone, "signup", "").counter_key, 0))

    def proofs(self, phone: str) -> int:
        """Return the proofs of a phone."""
        return len(self.fields(phone, "p"))

    def of_address(self, use: str, ip: str) -> int:
        """Return what an address has used of its limit of `sends` or `failures`; 0 without one."""
        return sum(self._used(limit.key) for limit in ip_limits(self._config, use, ip))

    def of_all(self, region: str = "CN") -> list[int]:
        """Return what is used of the limits of a region and of all sends, as far as the policy has them."""
        return [self._used(limit.key) for limit in send_limits(self._config, region)]

    def money(self) -> list[int]:
        """Return what each budget has spent, in millionths."""
        purse = self._config.purse
        assert purse is not None
        flat = self._values.get(purse.key, ())
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        return [int(found.get(account.name.encode(), b"0 0").split()[1]) for account in purse.accounts]

    def open_bills(self, phone: str) -> int:
        """Return the sends that are charged and not settled."""
        return len(self.fields(phone, "m"))

    def figures(self) -> Counter[str]:
        """Return the counters of the figures, by the letter of what they count: see fold.lua."""
        flat = self._values.get(self._config.tallies.key, ())
        found: Counter[str] = Counter()
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            if name[3:4] == b" ":  # The first three bytes are the hour.
                found[name.split(b" ")[-1][:1].decode()] += int(value)
            elif name.startswith(b"h"):
                for what, count in re.findall(rb"([a-z])[a-z0-9]*=([0-9]+)", value):
                    found[what.decode()] += int(count)
        return found

    def range_of(self, phone: str) -> Scope:
        """Return the sends of a phone's range."""
        return self._ring(self._keys(phone, None)[0], 8)

    def region_of(self, phone: str) -> Scope:
        """Return the sends of a phone's region in 20 minutes."""
        return self._ring(self._keys(phone, None)[1], 3)

    def address_of(self, phone: str, ip: str) -> Scope:
        """Return the sends of an address."""
        return self._ring(self._keys(phone, ip)[2], 8)

    def network_of(self, phone: str, ip: str) -> Scope:
        """Return the sends of an address's network."""
        return self._ring(self._keys(phone, ip)[3], 8)

    def guesses(self, phone: str) -> int:
        """Return the challenges of a phone's region that have a wrong code and no right one."""
        record: bytes = self._values.get(self._keys(phone, None)[1], bytes(118))
        return sum(int.from_bytes(record[at : at + 3]) for at in range(59, 71, 3))

    def _keys(self, phone: str, ip: str | None) -> tuple[str, ...]:
        assert self._config.protection is not None
        return self._config.protection.keys(phone, "CN", ip)

    def _used(self, key: str) -> int:
        flat = self._values.get(key, ())
        return max((int(value.split()[1]) for value in flat[1::2]), default=0)

    def _ring(self, key: str, start: int) -> Scope:
        record: bytes = self._values.get(key, bytes(start + 24))
        ring = record[start : start + 24]
        return Scope(
            sum(int.from_bytes(ring[at : at + 3]) for at in range(0, 24, 6)),
            sum(int.from_bytes(ring[at : at + 3]) for at in range(3, 24, 6)),
        )
