"""The metrics that events make, for every listener that counts.

Labels are region, gateway, channel, purpose and outcome, and no others: each has few values, so a time series for each
combination is affordable. A purpose is a text of the application, so only its first `MOST["purpose"]` values are used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal, NamedTuple, TypeAlias

from otpkit.errors import StoreUnavailableError
from otpkit.models import Event

Kind = Literal["counter", "histogram"]
Label = Literal["region", "gateway", "channel", "purpose", "outcome"]
LABELS: Final[tuple[Label, ...]] = ("region", "gateway", "channel", "purpose", "outcome")
OTHER: Final = "other"
MOST: Final[Mapping[Label, int]] = {"region": 300, "gateway": 32, "channel": 8, "purpose": 32, "outcome": 64}
"""The values of each label. All further ones become `OTHER`."""
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""The bounds of the buckets of a call's duration."""
# A purpose that could be a number, a code or an address was passed in its place by mistake.
_PURPOSE: Final = re.compile(r"(?!.*\d{4})[^\W\d_].*", re.DOTALL)
RECEIPT_SECONDS: Final = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900, 3600)


_MESSAGE: Final[tuple[Label, ...]] = ("region", "gateway", "channel", "purpose")
_FAILURE: Final[tuple[Label, ...]] = ("gateway", "channel", "outcome")
_DECISION: Final[tuple[Label, ...]] = ("region", "purpose", "outcome")
_RECEIPTS: Final = ("delivered", "undelivered")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its name without the suffix `_total`, its description, labels, and the bounds of a histogram."""

    name: str
    about: str
    labels: tuple[Label, ...]
    buckets: tuple[float, ...] = ()

    @property
    def kind(self) -> Kind:
        """`counter` or `histogram`."""
        return "histogram" if self.buckets else "counter"


def _metrics(*metrics: Metric) -> Mapping[str, Metric]:
    return {each.name: each for each in metrics}


METRICS: Final = _metrics(
    Metric("otpkit_sent", "Messages that gateways were given, by outcome.", LABELS),
    Metric("otpkit_relayed", "Those messages whose code another system keeps, by outcome.", LABELS),
    Metric("otpkit_segments", "SMS that the accepted and uncertain messages took.", _MESSAGE),
    Metric("otpkit_cost", "Price of the accepted and uncertain messages, in the currency of the prices.", _MESSAGE),
    Metric("otpkit_gateway_seconds", "Seconds that a gateway took for a message.", _FAILURE, SECONDS),
    Metric("otpkit_issued", "Codes that were issued, by delivery.", LABELS),
    Metric("otpkit_resent", "Live codes that were sent again, by delivery.", LABELS),
    Metric("otpkit_replayed", "Calls whose answer an idempotency key found.", _DECISION),
    Metric("otpkit_verified", "Codes that were verified.", ("region", "gateway", "purpose")),
    Metric("otpkit_redeemed", "Proofs that were redeemed.", ("region", "purpose")),
    Metric("otpkit_refused", "Calls that raised an error, by its code.", ("region", "gateway", "purpose", "outcome")),
    Metric("otpkit_store_unavailable", "Calls that failed because Redis did not answer.", ("purpose",)),
    Metric("otpkit_issue_seconds", "Seconds of issue, by delivery or error.", ("outcome",), SECONDS),
    Metric("otpkit_verify_seconds", "Seconds of verify, by error.", ("outcome",), SECONDS),
    Metric("otpkit_redeem_seconds", "Seconds of redeem, by error.", ("outcome",), SECONDS),
    Metric("otpkit_receipts", "Receipts by what they report, and refused pushes.", ("region", "gateway", "outcome")),
    Metric("otpkit_receipt_seconds", "Seconds from a send to its receipt.", ("gateway", "outcome"), RECEIPT_SECONDS),
    Metric("otpkit_gateway_failed", "Failures of gateways, by kind.", _FAILURE),
    Metric("otpkit_circuit_opened", "Circuits that opened.", ("gateway",)),
    Metric("otpkit_circuit_closed", "Circuits that closed.", ("gateway",)),
    Metric("otpkit_guard", "Decisions of the guard.", _DECISION),
    Metric("otpkit_captcha", "Captchas, by what became of them.", _DECISION),
    Metric("otpkit_budget", "Alerts and refusals of budgets.", _DECISION),
    Metric("otpkit_ip_not_counted", "Calls with an address that is not a visitor's.", ("purpose",)),
    Metric("otpkit_operator", "Changes by operators, by action.", ("outcome",)),
)
"""All metrics by name. A counter's name has the suffix `_total` in Prometheus."""


Find: TypeAlias = Callable[[Metric, tuple[str, ...]], Callable[[float], object]]
_MOST_KINDS: Final = 4096


class Rule(NamedTuple):
    """What one event adds to a metric: `value` of the event, or nothing if that is None."""

    metric: Metric
    value: Callable[[Event], float | None]
    outcome: Callable[[Event], str] = attrgetter("outcome")

    def labels(self, event: Event) -> tuple[str, ...]:
        """Return the values of the metric's labels for an event."""
        own = {"outcome": self.outcome, "purpose": purpose_of}
        return tuple(own[name](event) if name in own else getattr(event, name) for name in self.metric.labels)


def _one(_: Event) -> float:
    return 1


def _relayed(event: Event) -> float:
    return event.operation == "send"  # 0 begins a time series too, so that the difference to all messages has one.


def _seconds(event: Event) -> float | None:
    return None if event.duration_ms is None else event.duration_ms / 1000


def _segments(event: Event) -> float | None:
    return None if event.outcome == "rejected" else event.segments


def _price(event: Event) -> float | None:
    return float(event.price.partition(" ")[0]) if event.price else None


def _failure(event: Event) -> str:
    return event.outcome or "raised"  # `detail` is the class of its exception.


_name = attrgetter("name")


def _rule(
    metric: str, value: Callable[[Event], float | None] = _one, outcome: Callable[[Event], str] = attrgetter("outcome")
) -> Rule:
    return Rule(METRICS[f"otpkit_{metric}"], value, outcome)


_BY_NAME: Final[Mapping[str, tuple[Rule, ...]]] = {
    "sent": (
        _rule("sent"),
        _rule("relayed", _relayed),
        _rule("segments", _segments),
        _rule("cost", _price),
        _rule("gateway_seconds", _seconds),
    ),
    **{name: (_rule(name), _rule("issue_seconds", _seconds)) for name in ("issued", "resent")},
    "replayed": (_rule("replayed"),),
    "verified": (_rule("verified"), _rule("verify_seconds", _seconds)),
    "redeemed": (_rule("redeemed"), _rule("redeem_seconds", _seconds)),
    "refused": (_rule("refused"),),
    **{name: (_rule("receipts", outcome=_name), _rule("receipt_seconds", _seconds, _name)) for name in _RECEIPTS},
    "push_refused": (_rule("receipts", outcome=_name),),
    "gateway_failed": (_rule("gateway_failed", outcome=_failure),),
    **{name: (_rule(name),) for name in ("circuit_opened", "circuit_closed", "guard", "captcha", "budget")},
    **{name: (_rule(name),) for name in ("ip_not_counted", "operator")},
}
_REFUSED_SECONDS: Final = {name: _rule(f"{name}_seconds", _seconds) for name in ("issue", "verify", "redeem")}
_STORE: Final = _rule("store_unavailable")


def rules_of(event: Event) -> tuple[Rule, ...]:
    """Return what an event adds to metrics. It depends on its name, operation and outcome alone."""
    rules = _BY_NAME.get(event.name, ())
    if event.name == "refused":
        if event.operation in _REFUSED_SECONDS:
            rules += (_REFUSED_SECONDS[event.operation],)
        if event.outcome == StoreUnavailableError.code:
            rules += (_STORE,)
    return rules


def purpose_of(event: Event) -> str:
    """Return the purpose of an event, or `OTHER` if it may be a phone, a code or an address."""
    return event.purpose if not event.purpose or _PURPOSE.fullmatch(event.purpose) else OTHER


class Bounds:
    """The values of labels that were used so far. When a label has its most, further ones become `OTHER`.

    Args:
        most: the number of values for each label.
    """

    def __init__(self, most: Mapping[Label, int] = MOST) -> None:
        self._used: dict[str, tuple[set[str], int]] = {name: (set(), most[name]) for name in LABELS}

    def fold(self, labels: Iterable[str], values: Iterable[str]) -> tuple[str, ...]:
        """Return the values of labels, each of which is a known one or `OTHER`."""
        return tuple(map(self._fold, labels, values))

    def _fold(self, label: str, value: str) -> str:
        used, most = self._used[label]
        if value in used:
            return value
        if len(used) >= most:
            return OTHER
        used.add(value)
        return value


class Counting:
    """What events add to the metrics of one place. Call it with an event.

    Args:
        find: a function that returns how to add to a metric with these values of its labels: a function of the number.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._bounds = Bounds()
        # Keep what an event of each kind adds: most events are of a few kinds, and finding it takes longer than adding.
        self._kinds: dict[tuple[str, ...], tuple[_Addition, ...]] = {}

    def __call__(self, event: Event) -> None:
        """Add what the event adds."""
        kind = (
            event.name,
            event.operation,
            event.outcome,
            event.region,
            event.gateway,
            event.channel,
            event.purpose,
        )
        found = self._kinds.get(kind)
        if found is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds = {}
            found = self._kinds[kind] = tuple(self._addition(rule, event) for rule in rules_of(event))
        for addition in found:
            addition(event)

    def _addition(self, rule: Rule, event: Event) -> _Addition:
        return _Addition(rule, self._bounds.fold(rule.metric.labels, rule.labels(event)), self._find)


class _Addition:
    """What events of one kind add to one time series. The series begins with the first value."""

    __slots__ = ("_add", "_find", "_rule", "_values")

    def __init__(self, rule: Rule, values: tuple[str, ...], find: Find) -> None:
        self._rule = rule
        self._values = values
        self._find = find
        self._add: Callable[[float], object] | None = None

    def __call__(self, event: Event) -> None:
        value = self._rule.value(event)
        if value is None:
            return
        if self._add is None:
            self._add = self._find(self._rule.metric, self._values)
        self._add(value)
