"""The rules that a deployment may set, and their bounds.

Sources: NIST SP 800-63B-4 §3.1.3.2 (ten minutes, six digits) and §3.2.2 (at most 100 consecutive failures), OWASP ASVS
5.0 §6.5–6.6, OWASP's device cookies, and the Chinese carriers' limits for codes to one number: 1 a minute, 5 an hour,
10 a day, over rolling windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeAlias

from otpkit.core.checks import Checks
from otpkit.errors import ConfigurationError
from otpkit.phone import require_regions

DAY_S = 86_400
_UNIT_S = {"second": 1, "minute": 60, "hour": 3600, "day": DAY_S}
_RATE = re.compile(r"(\d{1,9})\s*/\s*(?:(\d{1,5})\s*)?(second|minute|hour|day)s?", re.ASCII)
# The parts for devices of the default limits. Of a smaller limit it is the same share, rounded down.
_DEVICE_FAILURES = 5, 20
_DEVICE_CONSECUTIVE = 20, 100
_DEVICE_SENDS = ((1, 5), 3600), ((3, 10), DAY_S)
_IPV6_SHARE = 5  # An IPv4 address may be the NAT of a whole carrier; an IPv6 /64 is one household.


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """At most `limit` in `seconds`. Fields of rates also accept it as text: `"5/hour"` or `"3/10 minutes"`.

    Args:
        limit: a whole number of at least 1.
        seconds: the window, a whole number of at least 1.

    Raises:
        ConfigurationError: a value is not such a number.
    """

    limit: int
    seconds: int

    def __post_init__(self) -> None:
        for name, value in (("limit", self.limit), ("seconds", self.seconds)):
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"Rate.{name} must be a whole number of at least 1.", "Write Rate(5, 3600).")

    def __str__(self) -> str:
        for unit, size in _UNIT_S.items():
            if self.seconds == size:
                return f"{self.limit}/{unit}"
        return f"{self.limit}/{self.seconds} seconds"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Return the rate of a text.

        Args:
            text: a rate such as `"5/hour"` or `"3/10 minutes"`.

        Returns:
            The rate.

        Raises:
            ConfigurationError: the text is not a rate.
        """
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise ConfigurationError(
                f"{text[:40]!r} is not a rate.", 'Write "5/hour", "3/10 minutes" or Rate(5, 3600).'
            )
        limit, count, unit = match.groups()
        return cls(int(limit), int(count or 1) * _UNIT_S[unit])


Rates: TypeAlias = str | Rate | Iterable[str | Rate] | None


class _DefaultPart(int):
    """A part that was left out. `Policy` keeps it, or the same share of a smaller limit."""

    # `dataclasses.replace` passes it on, and it is chosen again.


class _DefaultRates(tuple[Rate, ...]):
    """Parts of rates that were left out, as for `_DefaultPart`."""

    __slots__ = ()


_FAILURES_LEFT_OUT = _DefaultPart(_DEVICE_FAILURES[0])
_CONSECUTIVE_LEFT_OUT = _DefaultPart(_DEVICE_CONSECUTIVE[0])
_SENDS_LEFT_OUT = _DefaultRates(Rate(part, seconds) for (part, _), seconds in _DEVICE_SENDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits and lifetimes of codes and proofs. Every field has a safe default and is checked.

    A field of rates accepts `"5/hour"`, `Rate(5, 3600)`, several in a tuple or comma-separated, or None for no limit if
    the field is optional.
    Args:
        code_length: the digits of a code, 6–10; all of 000000–999999 occur (NIST SP 800-63B-4 §3.1.3.2).
        ttl: seconds that a code lives after its latest send, 30–600 (NIST: completed within ten minutes).
        max_age: seconds that a code lives over all its resends, from `ttl` (at least 120) to 600.
        attempts: the wrong codes that one challenge accepts, 1–10; a resend does not renew them.
        sends: messages to one phone, over all purposes and binds; rolling windows of at most a day, limits of at most
            32.
        failures: wrong codes for one phone, over all purposes and binds; rolling windows of at most a day, limits of at
            most 64.
        max_consecutive_failures: 1–100; after them the phone is blocked until `unblock` (NIST SP 800-63B-4 §3.2.2).
        ip_sends: sends for one IPv4 address; an IPv6 /64 gets a fifth of it. Windows start at whole multiples in
            UTC.
        ip_failures: wrong codes for one IPv4 address, and guesses without a challenge; otherwise like `ip_sends`.
        region_sends: sends to the numbers of a region, by its ISO 3166 code, e.g. `{"CN": "50000/day"}`; UTC windows.
        total_sends: all sends, e.g. `"100000/day"`; UTC windows. With `region_sends`, it bounds the SMS bill.
        regions: the regions whose numbers are served: the allow-list against SMS pumping.
        default_region: the region of a number written without a country code.
        proof_ttl: seconds that a proof lives, 30–3600.
        replicas: the number of Redis replicas that must confirm the writes of issue, verify and redeem before these
            return, 0–8. Redis replicates after it replies: with 0, a failover can forget that a code was used.
        device_failures: the part of each rate of `failures` that is kept for devices with a valid token
            (`Proof.device`), so that strangers can't use all of it; less than each limit. 0 keeps nothing. If it
            is left out, a smaller limit than the default of `failures` keeps the same share, rounded down.
        device_consecutive: the part of `max_consecutive_failures` that is kept for devices, likewise.
        device_sends: the parts of the rates of `sends` that are kept for devices, each in a window of `sends` and less
            than its limit; `1/hour, 3/day` if it is left out, likewise. None keeps nothing. A window without a part,
            such as the carriers' minute, is shared.
        device_ttl: seconds that a device token is valid, 3600–34560000 (400 days); 180 days by default.
        audit_days: days that an entry of the audit is kept, 1–1095. China's Cybersecurity Law asks for at least six
            months of logs.

    Raises:
        ConfigurationError: a field is wrong. The error names each wrong field and its bounds.
    """

    code_length: int = 6
    ttl: int = 300
    max_age: int = 600
    attempts: int = 5
    sends: Rates = "1/minute, 5/hour, 10/day"
    failures: Rates = "20/day"
    max_consecutive_failures: int = 100
    ip_sends: Rates = "100/hour"
    ip_failures: Rates = "150/hour"
    region_sends: Mapping[str, Rates] = field(default_factory=dict)
    total_sends: Rates = None
    regions: AbstractSet[str] = frozenset({"CN"})
    default_region: str = "CN"
    proof_ttl: int = 300
    replicas: int = 0
    device_failures: int = _FAILURES_LEFT_OUT
    device_consecutive: int = _CONSECUTIVE_LEFT_OUT
    device_sends: Rates = _SENDS_LEFT_OUT
    device_ttl: int = 180 * DAY_S
    audit_days: int = 180

    def __post_init__(self) -> None:
        with Checks() as checks:
            for name, low, high in (
                ("code_length", 6, 10),
                ("ttl", 30, 600),
                ("max_age", 120, 600),
                ("attempts", 1, 10),
                ("max_consecutive_failures", 1, 100),
                ("proof_ttl", 30, 3600),
                ("replicas", 0, 8),
                ("device_ttl", 3600, 400 * DAY_S),
                ("audit_days", 1, 1095),
            ):
                checks.of(name, _check_int, name, getattr(self, name), low, high)
            if checks.passed("ttl", "max_age") and self.max_age < self.ttl:
                problem = f"Policy.max_age ({self.max_age} s) is less than ttl ({self.ttl} s)."
                checks.add("max_age", problem, "Set it to at least ttl.")
            for name, most, longest in (("sends", 32, DAY_S), ("failures", 64, DAY_S)):
                rates = checks.of(name, _rates, name, getattr(self, name), required=True, most=most, longest=longest)
                self._normalise(name, rates)
            if checks.passed("failures"):
                least = min(rate.limit for rate in rates_of(self.failures))
                self._keep(checks, "device_failures", _DEVICE_FAILURES, least)
            if checks.passed("max_consecutive_failures"):
                self._keep(checks, "device_consecutive", _DEVICE_CONSECUTIVE, self.max_consecutive_failures)
            if checks.passed("sends"):
                parts = checks.of("device_sends", _device_sends, self.device_sends, rates_of(self.sends))
                self._normalise("device_sends", parts)
            for name in ("ip_sends", "ip_failures", "total_sends"):
                self._normalise(name, checks.of(name, _rates, name, getattr(self, name)))
            self._normalise("regions", checks.of("regions", _regions, self.regions, self.default_region))
            allowed = self.regions if checks.passed("regions") else None
            limits = checks.of("region_sends", _region_sends, self.region_sends, allowed)
            self._normalise("region_sends", limits)

    def _keep(self, checks: Checks, name: str, usual: tuple[int, int], whole: int) -> None:
        """Check the part `name` of `whole`, or choose it."""
        part = getattr(self, name)
        if isinstance(part, _DefaultPart):
            self._normalise(name, _DefaultPart(_share(usual, whole)))
        else:
            checks.of(name, _check_int, name, part, 0, whole - 1)

    def _normalise(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy can't be pickled. Chosen parts are chosen again.
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"region_sends": dict(self.region_sends)}
        values = {name: value for name, value in values.items() if not isinstance(value, (_DefaultPart, _DefaultRates))}
        return (_build, (values,))


def _build(values: dict[str, Any]) -> Policy:
    return Policy(**values)


def rates_of(value: Rates) -> tuple[Rate, ...]:
    """Return a policy's field of rates as the tuple that it is after the policy was built."""
    return value  # type: ignore[return-value]  # `__post_init__` has converted it.


def stranger_sends(policy: Policy) -> tuple[Rate, ...]:
    """Return the rates of `sends` without the parts for devices."""
    kept = {rate.seconds: rate.limit for rate in rates_of(policy.device_sends)}
    return tuple(Rate(rate.limit - kept.get(rate.seconds, 0), rate.seconds) for rate in rates_of(policy.sends))


def stranger_failures(policy: Policy) -> tuple[Rate, ...]:
    """Return the rates of `failures` without the part for devices."""
    kept = policy.device_failures
    return tuple(Rate(rate.limit - kept, rate.seconds) for rate in rates_of(policy.failures))


def stranger_consecutive(policy: Policy) -> int:
    """Return the consecutive failures that block strangers."""
    return policy.max_consecutive_failures - policy.device_consecutive


def ipv6_share(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    """Return the rates of an IPv6 /64, from the `rates` of an IPv4 address."""
    return tuple(Rate(max(1, rate.limit // _IPV6_SHARE), rate.seconds) for rate in rates)


def _share(usual: tuple[int, int], whole: int) -> int:
    """Return the usual part of a whole; of a smaller whole, the same share."""
    part, of = usual
    return min(part, part * whole // of)


def _device_sends(value: Any, sends: tuple[Rate, ...]) -> tuple[Rate, ...]:
    """Return the parts of the rates `sends` that are kept for devices."""
    least = {rate.seconds: rate.limit for rate in sorted(sends, reverse=True)}
    if isinstance(value, _DefaultRates):
        kept = ((_share(usual, least.get(seconds, 0)), seconds) for usual, seconds in _DEVICE_SENDS)
        return _DefaultRates(Rate(part, seconds) for part, seconds in kept if part)
    parts = _rates("device_sends", value)
    for part in parts:
        if part.limit >= least.get(part.seconds, 0):
            raise ConfigurationError(
                f"Policy.device_sends can't keep {part} for devices.",
                "Each part needs a window of Policy.sends, and must be less than its limit.",
            )
    return tuple({part.seconds: part for part in sorted(parts, key=lambda rate: (rate.seconds, rate.limit))}.values())


def _regions(regions: Any, default_region: str) -> frozenset[str]:
    if isinstance(regions, str) or not isinstance(regions, Iterable):
        raise ConfigurationError("Policy.regions must be a set of region codes.", 'Write {"CN"}.')
    return require_regions(frozenset(regions), default_region)


def _region_sends(limits: Any, allowed: AbstractSet[str] | None) -> Mapping[str, Rates]:
    """Return the rates of regions; refuse those of a region that is not in `allowed`, unless `allowed` is None."""
    if not isinstance(limits, Mapping):
        raise ConfigurationError("Policy.region_sends must map region codes to rates.", 'Write {"CN": "50000/day"}.')
    if allowed is not None and (stray := sorted(str(region)[:8] for region in limits if region not in allowed)):
        raise ConfigurationError(
            f"Policy.region_sends limits {', '.join(stray)}, which Policy.regions does not allow.",
            "Remove the limit, or add the region to Policy.regions.",
        )
    with Checks() as checks:
        found = {
            region: checks.of("region_sends", _rates, f"region_sends[{region!r}]", value)
            for region, value in limits.items()
        }
    return MappingProxyType(found)


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ConfigurationError(f"Policy.{name} is {value!r:.20}.", f"Set a whole number from {low} to {high}.")


def _rates(
    name: str, value: Any, *, required: bool = False, most: int = 10**9, longest: int = 31 * DAY_S
) -> tuple[Rate, ...]:
    if value is None or isinstance(value, (str, Rate)):
        value = [] if value is None else [value]
    if not isinstance(value, Iterable):
        raise ConfigurationError(
            f"Policy.{name} must contain rates, not {type(value).__name__}.", 'Write them like "5/hour".'
        )
    rates: list[Rate] = []
    for item in value:
        if isinstance(item, str):
            rates += _parse(name, item)
        elif isinstance(item, Rate):
            rates.append(item)
        else:
            raise ConfigurationError(
                f"Policy.{name} must contain rates, not {type(item).__name__}.", 'Write them like "5/hour".'
            )
    if required and not rates:
        raise ConfigurationError(f"Policy.{name} contains no rate.", 'Set at least one, such as "5/hour".')
    for rate in rates:
        if rate.limit > most or rate.seconds > longest:
            raise ConfigurationError(
                f"Policy.{name} can't be {rate}.", f"Set limits up to {most} in up to {longest} seconds."
            )
    return tuple(sorted(set(rates), key=lambda rate: rate.seconds))


def _parse(name: str, text: str) -> list[Rate]:
    try:
        return [Rate.parse(part) for part in text.split(",")]
    except ConfigurationError as error:
        raise ConfigurationError(f"Policy.{name}: {error.problem}", error.remedy) from None


DEFAULT_POLICY = Policy()
