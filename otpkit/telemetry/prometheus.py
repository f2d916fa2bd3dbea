"""The listener that counts events for Prometheus. Extra: `prometheus`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from otpkit.errors import ConfigurationError
from otpkit.models import Event
from otpkit.telemetry.metrics import METRICS, Counting, Metric
from otpkit.telemetry.queue import CAPACITY, EventQueue, HasQueue

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"PrometheusListener needs {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[prometheus]'."
    ) from missing

__all__ = ["PrometheusListener"]


class PrometheusListener(HasQueue):
    """A listener that counts events in a registry of `prometheus_client`.

    The labels are region, gateway, channel, purpose and outcome, and no others. Each has a bounded number of values:
    the 33rd purpose and all further ones are counted as `other`. Listeners of one registry share its metrics.

    Events are counted on a thread, which costs a call a third of what counting costs. When the registry is
    read, what waits is counted first, so its figures are complete.

    Args:
        registry: the registry; None is the default one of `prometheus_client`.
        capacity: the events that may wait. Further ones are dropped, and counted in `dropped`.

    Raises:
        ConfigurationError: `registry` is no registry, or it has another metric with one of the names.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, capacity: int = CAPACITY) -> None:
        registry = REGISTRY if registry is None else registry
        if not isinstance(registry, CollectorRegistry):
            raise ConfigurationError("registry must be a CollectorRegistry or None.", "Leave it out.")
        found = _known.get(registry)
        if found is None:
            found = _known[registry] = _Family(registry)
        self._queue: EventQueue[Event] = EventQueue(type(self).__name__, found.count, capacity)
        found.pending.add(self._queue)

    def __call__(self, event: Event) -> None:
        """Queue an event."""
        self._queue.put(event)


class _Family(Collector):
    """The metrics of one registry. As its first collector, it counts what waits before the others are read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pending: WeakSet[EventQueue[Event]] = WeakSet()
        registry.register(self)
        try:
            self._metrics: dict[str, Counter | Histogram] = {
                name: _made(metric, registry) for name, metric in METRICS.items()
            }
        except ValueError:  # Its text names the metric.
            raise ConfigurationError(
                "registry has a metric with the name of one of otpkit's.", "Pass a registry of its own."
            ) from None
        self.count = Counting(self._find)

    def collect(self) -> Iterable[Any]:
        """Count what waits; return no metrics."""
        for queue in list(self.pending):
            queue.drain()
        return ()

    def _find(self, metric: Metric, values: tuple[str, ...]) -> Callable[[float], object]:
        opened: Callable[[float], object] | None = None

        def add(value: float) -> None:
            nonlocal opened
            if opened is None:  # A time series begins with its first value.
                child: Any = self._metrics[metric.name].labels(*values)
                opened = child.observe if metric.kind == "histogram" else child.inc
            opened(value)

        return add


def _made(metric: Metric, registry: CollectorRegistry) -> Counter | Histogram:
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.about, metric.labels, registry=registry, buckets=metric.buckets)
    return Counter(metric.name, metric.about, metric.labels, registry=registry)


_known: WeakKeyDictionary[CollectorRegistry, _Family] = WeakKeyDictionary()
