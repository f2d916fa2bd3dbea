"""Prometheus metrics of events and requests, in their own registry. They contain no phone and no pseudonym of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from otpkit import Event
from otpkit.telemetry import Listener, PrometheusListener

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one service. Pass `on_event` to the `AsyncOTP` that it serves.

    Args:
        listeners: the other listeners of the `AsyncOTP`. The events that they drop are counted.
    """

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self.registry = CollectorRegistry()
        self._listener = PrometheusListener(self.registry)
        self.registry.register(_Dropped([self._listener, *listeners]))
        events = Counter(
            "otpkit_events",
            "Events of otpkit.",
            ("name", "operation", "purpose", "outcome", "gateway", "region", "scope"),
            registry=self.registry,
        )
        requests = Counter("otpkit_requests", "HTTP responses.", ("route", "status"), registry=self.registry)
        seconds = Histogram(
            "otpkit_request_seconds",
            "Seconds from a request's head to its response's head.",
            ("route",),
            registry=self.registry,
            buckets=_SECONDS,
        )
        # Cache the children: labels() takes a lock, and takes longer than counting.
        self._event = cache(lambda *labels: events.labels(*labels).inc)
        self._request = cache(lambda route, status: requests.labels(route, str(status)).inc)
        self._seconds = cache(lambda route: seconds.labels(route).observe)

    def on_event(self, event: Event) -> None:
        """Count an event."""
        # Each label is one of a few words. Never use `detail` (it holds gateways' texts) or `phone_id`.
        self._event(
            event.name, event.operation, event.purpose, event.outcome, event.gateway, event.region, event.scope
        )()
        self._listener(event)

    def on_answer(self, route: str, status: int, seconds: float) -> None:
        """Count a response.

        Args:
            route: its path in the OpenAPI document, or "other".
            status: the HTTP status.
            seconds: the time from the request's head to the response's head.
        """
        self._request(route, status)()
        self._seconds(route)(seconds)

    def text(self, purposes: AbstractSet[str] | None = None) -> bytes:
        """Return the metrics in Prometheus' text format.

        Args:
            purposes: return only the events of these purposes; None returns all metrics.
        """
        return generate_latest(self.registry if purposes is None else _Share(self.registry, purposes))


class _Dropped(Collector):
    """The events that each listener with a queue has dropped."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = [each for each in listeners if hasattr(each, "dropped")]

    def collect(self) -> Iterable[Metric]:
        """Yield the metric."""
        found = CounterMetricFamily(
            "otpkit_listener_dropped", "Events that a listener did not pass on.", labels=("listener",)
        )
        for listener in self._listeners:
            found.add_metric((type(listener).__name__,), listener.dropped)
        yield found


class _Share:
    def __init__(self, registry: CollectorRegistry, purposes: AbstractSet[str]) -> None:
        self._registry = registry
        self._purposes = purposes

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [each for each in metric.samples if each.labels.get("purpose") in self._purposes]
            if metric.samples:
                yield metric
