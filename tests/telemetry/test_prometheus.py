"""`PrometheusListener` counts events, with few labels and a bounded number of time series."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest

from otpkit import ConfigurationError, Event
from otpkit.models import EVENT_NAMES
from otpkit.telemetry import PrometheusListener
from otpkit.telemetry.metrics import LABELS, METRICS, MOST, OTHER, rules_of


def samples(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric's samples by their labels' values."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


def counted(*events: Event) -> CollectorRegistry:
    """Return a registry in which events are counted."""
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    for event in events:
        listener(event)
    return registry


SENT = Event(
    name="sent",
    operation="issue",
    outcome="accepted",
    region="CN",
    gateway="aliyun",
    channel="sms",
    purpose="signup",
    segments=2,
    price="0.09 CNY",
    duration_ms=250,
    phone_id="pseudonym",
    operation_id="id",
    challenge_id="id",
    detail="a gateway's text",
    scope="phone",
    reasons=("range",),
    at=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_a_message_is_counted_with_its_cost() -> None:
    """A rejected message takes no segments and costs nothing."""
    rejected = Event(name="sent", operation="issue", outcome="rejected", region="CN", gateway="aliyun", segments=2)
    found = counted(SENT, SENT, rejected)
    assert samples(found, "otpkit_sent_total") == {
        ("CN", "aliyun", "sms", "signup", "accepted"): 2,
        ("CN", "aliyun", "", "", "rejected"): 1,
    }
    assert samples(found, "otpkit_segments_total") == {("CN", "aliyun", "sms", "signup"): 4}
    assert samples(found, "otpkit_cost_total") == {("CN", "aliyun", "sms", "signup"): pytest.approx(0.18)}
    assert samples(found, "otpkit_gateway_seconds_sum") == {("aliyun", "sms", "accepted"): 0.5}


@pytest.mark.parametrize(
    ("event", "metric", "labels"),
    [
        (Event(name="issued", operation="issue", outcome="accepted"), "issued", ("", "", "", "", "accepted")),
        (Event(name="resent", operation="issue", outcome="accepted"), "resent", ("", "", "", "", "accepted")),
        (Event(name="replayed", operation="verify", outcome="wrong_code"), "replayed", ("", "", "wrong_code")),
        (Event(name="verified", operation="verify", region="CN", gateway="a"), "verified", ("CN", "a", "")),
        (Event(name="redeemed", operation="redeem", region="CN", purpose="pay"), "redeemed", ("CN", "pay")),
        (Event(name="refused", operation="issue", outcome="blocked"), "refused", ("", "", "", "blocked")),
        (Event(name="refused", operation="x", outcome="store_unavailable", purpose="p"), "store_unavailable", ("p",)),
        (Event(name="delivered", operation="receive", gateway="a"), "receipts", ("", "a", "delivered")),
        (Event(name="undelivered", operation="receive", gateway="a"), "receipts", ("", "a", "undelivered")),
        (Event(name="push_refused", operation="receive", gateway="a"), "receipts", ("", "a", "push_refused")),
        (Event(name="gateway_failed", operation="issue", gateway="a"), "gateway_failed", ("a", "", "raised")),
        (Event(name="circuit_opened", operation="issue", gateway="a"), "circuit_opened", ("a",)),
        (Event(name="circuit_closed", operation="issue", gateway="a"), "circuit_closed", ("a",)),
        (Event(name="guard", operation="issue", outcome="captcha"), "guard", ("", "", "captcha")),
        (Event(name="captcha", operation="issue", outcome="passed"), "captcha", ("", "", "passed")),
        (Event(name="budget", operation="issue", outcome="alert"), "budget", ("", "", "alert")),
        (Event(name="ip_not_counted", operation="issue", purpose="p"), "ip_not_counted", ("p",)),
        (Event(name="operator", operation="unblock", outcome="unblocked"), "operator", ("unblocked",)),
    ],
)
def test_each_event_is_counted(event: Event, metric: str, labels: tuple[str, ...]) -> None:
    """It has a counter of its own, or an outcome of one."""
    assert samples(counted(event), f"otpkit_{metric}_total") == {labels: 1}


@pytest.mark.parametrize(
    ("event", "metric", "labels"),
    [
        (Event(name="issued", operation="issue", outcome="accepted", duration_ms=40), "issue", ("accepted",)),
        (Event(name="refused", operation="issue", outcome="blocked", duration_ms=40), "issue", ("blocked",)),
        (Event(name="verified", operation="verify", duration_ms=40), "verify", ("",)),
        (Event(name="refused", operation="redeem", outcome="used_token", duration_ms=40), "redeem", ("used_token",)),
        (Event(name="delivered", operation="receive", gateway="a", duration_ms=40), "receipt", ("a", "delivered")),
    ],
)
def test_a_duration_is_observed_in_seconds(event: Event, metric: str, labels: tuple[str, ...]) -> None:
    """An event without a duration is only counted."""
    found = counted(event)
    assert samples(found, f"otpkit_{metric}_seconds_sum") == {labels: 0.04}
    assert not samples(counted(Event(name="verified", operation="verify")), "otpkit_verify_seconds_sum")


def test_an_unknown_event_is_counted_nowhere() -> None:
    """A process of a later version may emit it."""
    assert not rules_of(Event(name="surprise", operation="issue"))


UNCOUNTED = {"revoked", "unblocked", "devices_forgotten", "erased"}  # Those of operators are counted by `operator`.


def test_every_name_is_counted_or_excepted() -> None:
    """A new name of an event needs a decision."""
    assert {name for name in EVENT_NAMES if not rules_of(Event(name=name, operation="issue"))} == UNCOUNTED


def test_labels_are_five_and_no_other() -> None:
    """None of them holds a pseudonym, an id, or a text of a gateway."""
    assert LABELS == ("region", "gateway", "channel", "purpose", "outcome")
    assert all(set(metric.labels) <= set(LABELS) for metric in METRICS.values())
    text = generate_latest(counted(SENT)).decode()
    for hidden in ("pseudonym", "id", "a gateway's text", "phone", "range", "2026"):
        assert f'"{hidden}"' not in text


def test_values_beyond_the_bound_are_folded() -> None:
    """An application may make purposes at run time, so that their number has no end."""
    events = [
        Event(name="sent", operation="issue", outcome="accepted", region="CN", gateway="a", purpose=f"order-{number}")
        for number in range(10_000)
    ]
    found = samples(counted(*events), "otpkit_sent_total")
    assert len(found) == MOST["purpose"] + 1
    assert found["CN", "a", "", OTHER, "accepted"] == 10_000 - MOST["purpose"]
    assert found["CN", "a", "", "order-0", "accepted"] == 1


def test_the_number_of_series_is_bounded_for_any_events() -> None:
    """Whatever texts the fields hold, each label has at most its bound of values, and `other`."""
    hostile = [
        Event(
            name=name,
            operation=("issue", "verify", "redeem")[number % 3],
            outcome=f"o{number}",
            region=f"r{number}",
            gateway=f"g{number}",
            channel=f"c{number}",
            purpose=f"p{number}",
            duration_ms=number,
            price="1 CNY",
            segments=1,
        )
        for name, number in itertools.product(EVENT_NAMES, range(400))
    ]
    registry = counted(*hostile)
    values: dict[str, set[str]] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    values.setdefault(label, set()).add(value)
    assert set(values) == set(LABELS)
    for label in LABELS:
        assert len(values[label] - {OTHER}) <= MOST[label]


def test_reading_the_registry_counts_what_waits_first() -> None:
    """A scrape right after a call shows the call."""
    registry = CollectorRegistry()
    listener = PrometheusListener(registry)
    for number in range(1, 100):
        listener(SENT)
        assert sum(samples(registry, "otpkit_sent_total").values()) == number
    assert listener.waiting == listener.dropped == 0


def test_listeners_of_one_registry_share_its_metrics() -> None:
    """A program with two OTPs makes a listener for each."""
    registry = CollectorRegistry()
    for listener in (PrometheusListener(registry), PrometheusListener(registry)):
        listener(SENT)
    assert sum(samples(registry, "otpkit_sent_total").values()) == 2


def test_the_default_registry_is_that_of_the_library() -> None:
    """Any exporter of the program shows the metrics."""
    before = sum(samples(REGISTRY, "otpkit_sent_total").values())
    PrometheusListener()(SENT)
    assert sum(samples(REGISTRY, "otpkit_sent_total").values()) == before + 1


def test_a_registry_that_can_not_be_used_is_refused() -> None:
    """The error tells what to pass."""
    with pytest.raises(ConfigurationError, match="CollectorRegistry"):
        PrometheusListener("default")  # type: ignore[arg-type]
    taken = CollectorRegistry()
    Counter("otpkit_sent", "of another program", registry=taken)
    with pytest.raises(ConfigurationError, match="name of one of otpkit's"):
        PrometheusListener(taken)
