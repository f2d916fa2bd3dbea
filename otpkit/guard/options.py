"""`Guard`: how an `OTP` protects itself against abuse, and what the application's own judgement may decide."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

from otpkit.captcha.base import Captcha
from otpkit.core.arguments import check_purpose
from otpkit.core.checks import Checks
from otpkit.errors import ConfigurationError
from otpkit.frames import without_locals
from otpkit.guard.rule import DEFAULT_RULE, Rule
from otpkit.models import mask

Mode: TypeAlias = Literal["off", "observe", "enforce"]
Ask: TypeAlias = Literal["over_allowance", "always"]
Outcome: TypeAlias = Literal["allow", "captcha", "refuse"]
CaptchaChoice: TypeAlias = Captcha | Mapping[str, Captcha] | None
Fallback: TypeAlias = Captcha | Literal["refuse", "allow"] | None

OTHERS: Final = "*"
"""The key of all other purposes in a mapping of purposes to captchas."""
_MOST_REASONS: Final = 8
_REASON_CHARS: Final = 64


@without_locals
@dataclass(frozen=True, slots=True, kw_only=True)
class RiskContext:
    """A send that the application may judge before anything is reserved.

    Args:
        phone: the number as E.164.
        purpose: the purpose of the code.
        region: the region of the number, ISO 3166-1 alpha-2.
        ip: the visitor's address as it was passed in, or None.
        known: True if the application said that the number is verified for this account.
        channel: the channel of the message.
    """

    phone: str
    purpose: str
    region: str
    ip: str | None = None
    known: bool = False
    channel: str = "sms"

    def __repr__(self) -> str:
        return f"RiskContext(phone={mask(self.phone)!r}, purpose={self.purpose!r}, region={self.region!r})"


@dataclass(frozen=True, slots=True)
class Decision:
    """The application's judgement of one send.

    Args:
        outcome: `allow` leaves the send to the guard's own rule, `captcha` asks for a captcha, `refuse` refuses it.
        reasons: words for the events, at most eight of at most 64 characters. They must not name a person.

    Raises:
        ConfigurationError: a value is wrong. The error names each of them.
    """

    outcome: Outcome
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        with Checks() as checks:
            if self.outcome not in get_args(Outcome):
                known = ", ".join(get_args(Outcome))
                checks.add("outcome", f"Decision.outcome is {self.outcome!r:.20}.", f"Choose one of {known}.")
            reasons = (self.reasons,) if isinstance(self.reasons, str) else tuple(self.reasons)
            if len(reasons) > _MOST_REASONS or not all(
                isinstance(each, str) and 0 < len(each) <= _REASON_CHARS for each in reasons
            ):
                checks.add(
                    "reasons",
                    "Decision.reasons must be short texts.",
                    f"Pass at most {_MOST_REASONS}, of 1 to {_REASON_CHARS} characters.",
                )
        object.__setattr__(self, "reasons", reasons)


Judgement: TypeAlias = Outcome | Decision
Risk: TypeAlias = Callable[[RiskContext], Judgement | Awaitable[Judgement]]


@dataclass(frozen=True, slots=True)
class Guard:
    """Protection against people who want a deployment's messages, its bill or its accounts.

    It counts the unverified sends of ranges of numbers, addresses, networks and regions, and compares them with what
    honest use would have. Over that, it asks for a captcha; far over it, it refuses a range or an address, and never
    anything wider.

    On a Redis Cluster, the counts lie on other nodes than phones. There, `issue` takes one trip more, beside that for
    other wide limits, and so does a verification after its result. All scopes judge and count side by side, each in one
    step, and what the call then does not send is given back. So a parallel call may for a moment meet a count, a used
    captcha's answer or a refusing scope's turn that is given back. A send counts when it is made, not at the start of
    its challenge. After a crash, or an error of one of these nodes, it stays counted.

    Args:
        mode: `observe` decides and reports by events, and refuses nothing; `enforce` does; `off` counts nothing new,
            and still takes back what is counted. Deploy `observe` first, until all processes have it: those without a
            guard don't take anything back.
        captcha: the captcha that is asked for, or one for each purpose, with `"*"` for all others:
            `{"signup": Turnstile(…), "*": HCaptcha(…)}`. None, or no `"*"`, is `otpkit.captcha.ProofOfWork`. A provider
            without actions ties no answer to a purpose: give each purpose a site key of its own.
        ask: `over_allowance`, or `always` for a captcha before every send.
        fallback: what happens if the captcha's provider does not answer: another captcha, None for
            `otpkit.captcha.ProofOfWork`, `"refuse"` for a `CaptchaUnavailableError`, or `"allow"`.
        risk: a function that judges a `RiskContext` before anything is reserved, sync or (with `AsyncOTP`) async. It
            returns `"allow"`, `"captcha"`, `"refuse"` or a `Decision`.
        on_risk_error: what counts if `risk` raises an exception or returns something else.
        safe_phones: numbers, as `OTP.issue` accepts them, that are neither judged nor counted in ranges, addresses,
            networks, regions and the total.
        safe_networks: addresses and networks, such as `"203.0.113.0/24"`, whose visitors are neither. Private ones,
            such as `"10.0.0.0/8"`, work too. If a proxy has such an address, declare it (`forwarded_hops`): otherwise
            all visitors come from it, and are safe.
        rule: the numbers of the rule.

    Raises:
        ConfigurationError: arguments are wrong. The error names each of them. `OTP` raises it for the phones.
    """

    mode: Mode = "observe"
    captcha: CaptchaChoice = field(default=None, hash=False)  # A mapping has no hash.
    ask: Ask = field(default="over_allowance", kw_only=True)
    fallback: Fallback = field(default=None, kw_only=True)
    risk: Risk | None = field(default=None, kw_only=True)
    on_risk_error: Outcome = field(default="captcha", kw_only=True)
    safe_phones: Iterable[str] = field(default=(), kw_only=True, repr=False)
    safe_networks: Iterable[str] = field(default=(), kw_only=True)
    rule: Rule = field(default=DEFAULT_RULE, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        with Checks() as checks:
            for name, choices in (("mode", Mode), ("ask", Ask), ("on_risk_error", Outcome)):
                if getattr(self, name) not in get_args(choices):
                    known = ", ".join(get_args(choices))
                    checks.add(name, f"Guard.{name} is {getattr(self, name)!r:.20}.", f"Choose one of {known}.")
            self._set("captcha", checks.of("captcha", _captchas, self.captcha))
            if not isinstance(self.fallback, (Captcha, type(None))) and self.fallback not in {"refuse", "allow"}:
                remedy = 'Pass one of otpkit.captcha, "refuse", "allow", or None.'
                checks.add("fallback", "Guard.fallback is no captcha and no decision.", remedy)
            if self.risk is not None and not callable(self.risk):
                checks.add("risk", "Guard.risk is not a function.", "Pass a function of a RiskContext, or None.")
            if not isinstance(self.rule, Rule):
                checks.add("rule", "Guard.rule must be a Rule.", "Write Rule(range_floor=10), or leave it out.")
            self._set("safe_phones", checks.of("safe_phones", _texts, "safe_phones", self.safe_phones))
            self._set("safe_networks", checks.of("safe_networks", _networks, self.safe_networks))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def captchas(self) -> dict[str, Captcha | None]:
        """Return the captcha of each purpose that has its own, and of all others as `OTHERS`."""
        chosen = self.captcha if isinstance(self.captcha, Mapping) else {OTHERS: self.captcha}
        return {OTHERS: None, **chosen}


def _captchas(value: Any) -> CaptchaChoice:
    if isinstance(value, (Captcha, type(None))):
        return value
    if not isinstance(value, Mapping) or not value:
        remedy = 'Pass one of otpkit.captcha, a mapping such as {"signup": Turnstile(…)}, or None.'
        raise ConfigurationError("Guard.captcha is not a captcha.", remedy)
    with Checks() as checks:
        for purpose, captcha in value.items():
            checks.of("captcha", check_purpose, purpose)
            if not isinstance(captcha, Captcha):
                problem = f"Guard.captcha has no captcha for {purpose!r:.40}."
                checks.add("captcha", problem, "Pass one of otpkit.captcha.")
    return dict(value)


def _texts(name: str, values: Any) -> frozenset[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigurationError(f"Guard.{name} must be a set of texts.", "Write it as a set or list.")
    found = list(values)
    if not all(isinstance(each, str) for each in found):
        raise ConfigurationError(f"Guard.{name} must be a set of texts.", "Write it as a set or list of str.")
    return frozenset(found)


def _networks(values: Any) -> frozenset[str]:
    found: set[str] = set()
    wrong: list[tuple[str, str]] = []
    with Checks() as checks:
        for text in sorted(checks.of("safe_networks", _texts, "safe_networks", values) or ()):
            try:
                found.add(str(ipaddress.ip_network(text, strict=False)))
            except ValueError:
                problem = f"Guard.safe_networks: {text!r:.50} is not a network."
                wrong.append((problem, 'Write it like "203.0.113.0/24" or "2001:db8::/48".'))
        checks.first("safe_networks", wrong)
    return frozenset(found)
