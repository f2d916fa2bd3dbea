"""The listener for OpenTelemetry: a trace of each call, and metrics of events. Extra: `otel`.

It needs the API of OpenTelemetry alone. Without an SDK, nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeVar

from otpkit.core.tracing import Server
from otpkit.effects import Flow
from otpkit.errors import ConfigurationError
from otpkit.models import Event
from otpkit.telemetry.metrics import METRICS, Counting, Metric
from otpkit.telemetry.queue import CAPACITY, QueuedListener

try:
    from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider, get_meter
    from opentelemetry.trace import TracerProvider, get_tracer

    from otpkit.telemetry.spans import Spans, start
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"OpenTelemetryListener needs {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[otel]'."
    ) from missing

__all__ = ["OpenTelemetryListener"]

T = TypeVar("T")
_SCOPE: Final = "otpkit"
_SCHEMA: Final = "https://opentelemetry.io/schemas/1.34.0"  # The version of the semantic conventions.


class OpenTelemetryListener(QueuedListener):
    """A listener that traces calls and counts events by OpenTelemetry.

        otp = OTP(…, listeners=[OpenTelemetryListener()])

    Each call is a span, such as `otpkit.issue`, below the current span of its caller. Its children are the scripts in
    Redis, the HTTP requests of gateways, and the functions that were passed in. The metrics are those of
    `PrometheusListener`. No span or metric holds a code, a phone, a pseudonym of one, a secret, an address or a bind.
    If a span can't be made, the call runs without it. Events are counted on a thread.

    Args:
        tracer_provider: the provider of tracers; None is the one that your program set for the process.
        meter_provider: the provider of meters; None is the one that your program set for the process.
        capacity: the events that may wait to be counted. Further ones are dropped.

    Raises:
        ConfigurationError: `capacity` is not a whole number above 0.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        capacity: int = CAPACITY,
    ) -> None:
        try:
            release = version("otpkit")
        except PackageNotFoundError:
            release = ""
        self._tracer = get_tracer(_SCOPE, release, tracer_provider, _SCHEMA)
        meter = get_meter(_SCOPE, release, meter_provider, _SCHEMA)
        self._metrics = {name: _made(metric, meter) for name, metric in METRICS.items()}
        self._count = Counting(self._find)
        super().__init__(capacity=capacity)

    def deliver(self, event: Event) -> None:
        """Count an event."""
        self._count(event)

    def _find(self, metric: Metric, values: tuple[str, ...]) -> Callable[[float], object]:
        instrument = self._metrics[metric.name]
        add: Callable[..., None] = instrument.record if isinstance(instrument, Histogram) else instrument.add
        labels = {name: value for name, value in zip(metric.labels, values, strict=True) if value}
        return partial(add, attributes=labels)

    def trace_call(self, operation: str, begin: Callable[[], Flow[T]], server: Server | None) -> Flow[T]:
        """Return a flow that runs a call in a span, with a child for each of its effects; see `Tracing.trace_call`."""
        span = start(self._tracer, f"otpkit.{operation}")
        if span is None or not (span.is_recording() or span.get_span_context().is_valid):
            return begin()  # There is no SDK, and no trace to continue.
        return _traced(Spans(self._tracer, span, server), begin)


def _traced(spans: Spans, begin: Callable[[], Flow[T]]) -> Flow[T]:
    reply: Any = None
    failure: Exception | None = None
    flow: Flow[T] | None = None
    try:
        flow = begin()
        while True:
            effect = flow.send(reply) if failure is None else flow.throw(failure)
            reply = failure = None
            effect = spans.begin(effect)
            try:
                reply = yield effect
            except Exception as error:  # noqa: BLE001 - The flow decides what it means.
                failure = error
            if spans.child is not None:
                spans.end(reply, failure)
    except StopIteration as stop:
        spans.finish(None)
        value: T = stop.value
        return value
    except BaseException as error:
        spans.finish(error)
        raise
    finally:
        if flow is not None:
            flow.close()


def _made(metric: Metric, meter: Meter) -> Counter | Histogram:
    if metric.kind == "histogram":
        buckets = metric.buckets
        return meter.create_histogram(metric.name, "s", metric.about, explicit_bucket_boundaries_advisory=buckets)
    return meter.create_counter(metric.name, description=metric.about)
