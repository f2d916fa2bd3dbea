"""Check the arguments of `OTP` and `AsyncOTP`, once, when one is built."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from inspect import iscoroutinefunction
from typing import TypeAlias

from otpkit.core import scripts
from otpkit.core.arguments import check_purpose
from otpkit.core.budgets import Purse, open_purse
from otpkit.core.checks import Checks
from otpkit.core.costs import Costs
from otpkit.core.crypto import Keys, clean_code
from otpkit.core.devices import DeviceTokens
from otpkit.core.routing import GatewayChoice, Routing, TemplateChoice, is_async, route
from otpkit.core.scripts.limits import WideRates, wide_rates
from otpkit.core.tallies import Tallies
from otpkit.core.tokens import TokenSigner
from otpkit.core.trail import Trail
from otpkit.errors import ConfigurationError, MalformedCodeError, PhoneError
from otpkit.frames import without_locals
from otpkit.guard.budgets import Budget
from otpkit.guard.options import Guard
from otpkit.guard.prices import Prices
from otpkit.guard.protection import Protection, check_captchas
from otpkit.models import Event, mask
from otpkit.phone import parse
from otpkit.policy import Policy

FIXED_CODE_DAYS = 90
NO_REPLICAS = (
    "Policy.replicas is set, and this store has no replicas to wait for.",
    "Pass a URL of a Redis server with replicas, or redis-py's own client, or set replicas to 0.",
)
_EPOCH = datetime.fromtimestamp(0, UTC)
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]+")

Secret: TypeAlias = str | bytes | Sequence[str | bytes]
Clock: TypeAlias = Callable[[], float]
Listener: TypeAlias = Callable[[Event], object]


@without_locals
@dataclass(frozen=True, slots=True)
class FixedCode:
    """A code that never changes, for the reviewers of app stores. `phone` gets no message, and all limits apply.

    A removed, changed or expired code verifies nothing any more, even if a challenge was issued before. A `Proof` from
    a fixed code has `fixed=True`.

    Args:
        phone: the phone number, as `OTP.issue` accepts it.
        code: the code, of as many digits as `Policy.code_length`.
        until: the end of the code, an aware datetime at most 90 days ahead, by the server's time. After it, the phone
            is treated like any other.
        purposes: the purposes for which the code works.

    Raises:
        ConfigurationError: `until` is not an aware datetime, or `purposes` is not a set of purposes. `OTP` raises it
            for the other fields.
    """

    phone: str
    code: str = field(repr=False)
    until: datetime
    purposes: Iterable[str]

    def __post_init__(self) -> None:
        with Checks() as checks:
            if not isinstance(self.until, datetime) or self.until.tzinfo is None:
                problem, remedy = "must be an aware datetime.", "Pass one, such as datetime(2030, 1, 31, tzinfo=UTC)."
                checks.add("until", f"FixedCode.until {problem}", remedy)
            purposes = frozenset() if isinstance(self.purposes, str) else frozenset(self.purposes)
            if not purposes:
                checks.add(
                    "purposes", "FixedCode.purposes must be a set of at least one purpose.", 'Write it like {"signup"}.'
                )
        object.__setattr__(self, "purposes", purposes)

    def __repr__(self) -> str:
        return f"FixedCode(phone={mask(str(self.phone))!r}, until={self.until!r}, purposes={self.purposes!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Config:
    """The checked arguments of an `OTP`: all that the flows need, and nothing that does I/O."""

    routing: Routing
    policy: Policy
    keys: Keys
    signer: TokenSigner
    devices: DeviceTokens
    scripts: scripts.Scripts
    wide_rates: WideRates
    purse: Purse | None
    costs: Costs
    fixed: Mapping[tuple[str, str], FixedCode]
    namespace: str
    listener: Listener | None
    clock: Clock | None
    now_arg: Callable[[], int | str]
    """Return the time for a script: milliseconds of the given clock, or "" for the server's own clock."""
    elapsed_s: Callable[[], float]
    """Return seconds by the given clock or this host's monotonic clock. Only differences are meaningful."""
    clustered: bool
    protection: Protection | None
    tallies: Tallies
    trail: Trail

    def host_ms(self) -> int:
        """Return the time of the given clock, or of this host, in milliseconds."""
        return int((self.clock or time.time)() * 1000)


def check_namespace(namespace: object) -> None:
    """Raise `ConfigurationError` if a namespace can't be the start of a key."""
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        raise ConfigurationError("namespace must be letters, digits, '_', '.' and '-'.", 'Choose one such as "otpkit".')


def build(
    gateway: GatewayChoice,
    template: TemplateChoice,
    secret: Secret,
    *,
    policy: Policy,
    index_secret: str | bytes | None,
    fixed_codes: Iterable[FixedCode],
    namespace: str,
    listener: Listener | None,
    clock: Clock | None,
    clustered: bool,
    confirms: bool = True,
    awaits: bool = True,
    guard: Guard | None = None,
    budgets: Iterable[Budget] = (),
    prices: Mapping[str, str] | None = None,
) -> Config:
    """Check the arguments of `OTP` or `AsyncOTP` and return their `Config`.

    Args:
        gateway: as `OTP` documents it, like all arguments that follow, up to `clock`.
        listener: all listeners as one, or None: see `otpkit.telemetry.listeners`.
        clustered: True if the store's keys lie on several nodes.
        confirms: True if the store can wait for replicas.
        awaits: True if a gateway may be an async function.
        guard: as `OTP` documents it.
        budgets: as `OTP` documents it, like `prices`.

    Raises:
        ConfigurationError: arguments are wrong. The error names each of them with its remedy.
    """
    with Checks() as checks:
        if not isinstance(policy, Policy):
            checks.add("policy", "policy must be a Policy.", "Write policy=Policy(code_length=8).")
        checks.of("namespace", check_namespace, namespace)
        if clock is not None and (not callable(clock) or iscoroutinefunction(clock)):
            checks.add("clock", "clock must be a plain function or None.", "Pass one that is not async.")
        keys = checks.of("secret", Keys, secret, index_secret)
        regions = policy.regions if checks.passed("policy") else None
        routing = checks.of("gateway", route, gateway, template, regions)
        if checks.passed("policy", "clock"):
            fixed = checks.of("fixed_codes", _fixed, fixed_codes, policy, clock or time.time)
        purse = None
        if checks.passed("policy", "gateway", "template", "secret", "index_secret", "namespace"):
            purse = checks.of("budgets", open_purse, budgets, prices, routing, policy.regions, namespace, keys)
        if checks.passed("policy") and policy.replicas and not confirms:
            checks.add("policy", *NO_REPLICAS)
        if not awaits and checks.passed("gateway", "template") and any(map(is_async, routing.gateways())):
            problem = "gateway is an async function, which OTP can't await."
            checks.add("gateway", problem, "Use AsyncOTP, or pass a plain function.")
        protection = None
        if guard is not None and not isinstance(guard, Guard):
            checks.add("guard", "guard must be a Guard or None.", "Write guard=Guard().")
        elif guard is not None and checks.passed("policy", "secret", "index_secret", "namespace"):
            if not awaits and iscoroutinefunction(guard.risk):
                problem = "Guard.risk is an async function, which OTP can't await."
                checks.add("guard", problem, "Use AsyncOTP, or pass a plain function.")
            if checks.passed("gateway", "template"):
                checks.of("guard", check_captchas, guard, routing)
            protection = checks.of("guard", Protection, guard, policy, keys, namespace)
    return Config(
        routing,
        policy,
        keys,
        TokenSigner(keys, namespace),
        DeviceTokens(keys.device, namespace),
        scripts.load(
            policy,
            None if guard is None else guard.rule,
            counts=protection is not None and protection.is_on,
            has_budgets=purse is not None and bool(purse.accounts),
            clustered=clustered,
        ),
        wide_rates(policy),
        purse,
        Costs(purse.prices if purse is not None else Prices(prices or {}), policy),
        fixed,
        namespace,
        listener,
        clock,
        # Without a clock these are built-in functions, which add no Python frame to a call. `str()` returns "".
        str if clock is None else lambda: int(clock() * 1000),
        clock or time.monotonic,
        clustered,
        protection,
        Tallies(namespace, "" if routing.only is None else routing.only.name, clustered=clustered),
        Trail(namespace),
    )


def _fixed(fixed_codes: Iterable[FixedCode], policy: Policy, clock: Clock) -> dict[tuple[str, str], FixedCode]:
    found: dict[tuple[str, str], FixedCode] = {}
    with Checks() as checks:
        for fixed in fixed_codes:
            checks.of("fixed_codes", _add_fixed, fixed, found, policy, clock())
    return found


def _add_fixed(fixed: object, found: dict[tuple[str, str], FixedCode], policy: Policy, now_s: float) -> None:
    if not isinstance(fixed, FixedCode):
        raise ConfigurationError(
            "fixed_codes must hold FixedCode values.", "Write them as FixedCode(phone, code, until, purposes)."
        )
    check_fixed_life(fixed, now_s)
    try:
        phone = parse(fixed.phone, policy.regions, policy.default_region)
        code = clean_code(fixed.code, policy.code_length)
    except (PhoneError, MalformedCodeError) as error:
        raise ConfigurationError(f"FixedCode for {fixed.purposes}: {error.problem}", error.remedy) from None
    for purpose in fixed.purposes:
        if (phone, purpose) in found:
            raise ConfigurationError(f"fixed_codes names {mask(phone)} twice for the purpose {purpose!r}.", "Keep one.")
        found[phone, check_purpose(purpose)] = replace(fixed, code=code)


def fixed_ends_ms(fixed: FixedCode) -> int:
    """Return the first server millisecond at which a fixed code has ended."""
    return -((_EPOCH - fixed.until) // timedelta(milliseconds=1))


def check_fixed_life(fixed: FixedCode, now_s: float) -> None:
    """Raise `ConfigurationError` if a fixed code ends more than 90 days after `now_s` (epoch seconds)."""
    if fixed.until > datetime.fromtimestamp(now_s, UTC) + timedelta(days=FIXED_CODE_DAYS):
        raise ConfigurationError(
            f"FixedCode.until is more than {FIXED_CODE_DAYS} days ahead.",
            "Choose an earlier date, and renew it when it is due.",
        )
