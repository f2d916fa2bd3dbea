"""The listener that counts events for Prometheus. Extra: `prometheus`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from otpkit.errors import ConfigurationError
from otpkit.models import Event
from otpkit.telemetry.metrics import METRICS, Counting, Metric

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"PrometheusListener needs {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[prometheus]'."
    ) from missing

__all__ = ["PrometheusListener"]


class PrometheusListener:
    """A listener that counts events in a registry of `prometheus_client`. It does no I/O.

    The labels are region, gateway, channel, purpose and outcome, and no others. Each has a bounded number of values:
    the 33rd purpose and all further ones are counted as `other`. Listeners of one registry share its metrics.

    Args:
        registry: the registry; None is the default one of `prometheus_client`.

    Raises:
        ConfigurationError: `registry` is no registry, or it has another metric with one of the names.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = REGISTRY if registry is None else registry
        if not isinstance(registry, CollectorRegistry):
            raise ConfigurationError("registry must be a CollectorRegistry or None.", "Leave it out.")
        found = _known.get(registry)
        if found is None:
            found = _known[registry] = _Family(registry)
        self._count = found.count

    def __call__(self, event: Event) -> None:
        """Count an event."""
        self._count(event)


class _Family:
    """The metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        try:
            self._metrics: dict[str, Counter | Histogram] = {
                name: _made(metric, registry) for name, metric in METRICS.items()
            }
        except ValueError:  # Its text names the metric.
            raise ConfigurationError(
                "registry has a metric with the name of one of otpkit's.", "Pass a registry of its own."
            ) from None
        self.count = Counting(self._find)

    def _find(self, metric: Metric, values: tuple[str, ...]) -> Callable[[float], object]:
        child: Any = self._metrics[metric.name].labels(*values)
        add: Callable[[float], object] = child.observe if metric.kind == "histogram" else child.inc
        return add


def _made(metric: Metric, registry: CollectorRegistry) -> Counter | Histogram:
    if metric.kind == "histogram":
        return Histogram(metric.name, metric.about, metric.labels, registry=registry, buckets=metric.buckets)
    return Counter(metric.name, metric.about, metric.labels, registry=registry)


_known: WeakKeyDictionary[CollectorRegistry, _Family] = WeakKeyDictionary()
