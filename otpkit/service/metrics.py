"""Prometheus metrics of events and requests, in their own registry. They contain no phone and no pseudonym of one.

Several workers keep their counters in files of one directory, by the multiprocess mode of `prometheus_client`. Any of
them then answers with the sum of all. A worker that replaces a dead one goes on with its file, so no counter falls.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from otpkit import Event
from otpkit.telemetry import Listener, PrometheusListener

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one service. Pass `on_event` to the `AsyncOTP` that it serves.

    Args:
        listeners: the other listeners of the `AsyncOTP`. The events that they drop are counted.
        shared: the directory in which workers keep their counters, after `share_counters`; None for a single process.
    """

    def __init__(self, listeners: Iterable[Listener] = (), *, shared: str | None = None) -> None:
        self.registry = CollectorRegistry()
        collector: Any = MultiProcessCollector  # The library does not annotate it.
        self._read: Any = self.registry if shared is None else collector(None, shared)
        self._listener = PrometheusListener(self.registry)
        self._dropped = Counter(
            "otpkit_listener_dropped",
            "Events that a listener did not pass on.",
            ("listener",),
            registry=self.registry,
        )
        self._watched: list[tuple[Any, int]] = []  # Listeners, with the drops that are counted already.
        self.watch((self._listener, *listeners))
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

    def watch(self, listeners: Iterable[Listener]) -> None:
        """Count the events that listeners drop from now on."""
        for each in listeners:
            if hasattr(each, "dropped") and all(each is not other for other, _ in self._watched):
                self._dropped.labels(type(each).__name__)  # It is shown as 0 at first.
                self._watched.append((each, each.dropped))

    def forget(self, listeners: Iterable[Listener]) -> None:
        """Count no more drops of listeners: they are closed."""
        self.refresh()
        gone = {id(each) for each in listeners}
        self._watched = [(each, seen) for each, seen in self._watched if id(each) not in gone]

    def refresh(self) -> None:
        """Count the drops since the last time. Workers do so once a second, for those that answer `/metrics`."""
        for place, (each, seen) in enumerate(self._watched):
            if (now := each.dropped) > seen:
                self._dropped.labels(type(each).__name__).inc(now - seen)
                self._watched[place] = (each, now)

    def close(self) -> None:
        """Count the events that wait."""
        self._listener.close()
        self.refresh()

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
        self.refresh()
        if self._read is not self.registry:
            list(self.registry.collect())  # It counts the events of this process that wait.
        return generate_latest(self._read if purposes is None else _Share(self._read, purposes))


def share_counters(directory: str, worker: int) -> None:
    """Keep the counters of this process in files that other workers read. It must run before there is a counter.

    Args:
        directory: the directory of all workers.
        worker: the worker's number. No other living process may have it.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    library: Any = values  # The library does not annotate it.
    library.ValueClass = library.MultiProcessValue(lambda: worker)


class _Share:
    def __init__(self, registry: Any, purposes: AbstractSet[str]) -> None:
        self._registry = registry
        self._purposes = purposes

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [each for each in metric.samples if each.labels.get("purpose") in self._purposes]
            if metric.samples:
                yield metric
