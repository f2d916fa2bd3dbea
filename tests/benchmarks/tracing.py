"""What traces cost: calls with `OpenTelemetryListener` beside calls without a listener, by turns.

The costs are those of the whole process: with the SDK, they include the background thread that would export the spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import redis
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from otpkit import OTP
from otpkit.telemetry import OpenTelemetryListener
from tests.benchmarks.measure import ratio
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, Bench, Codes, open_bench, tcp_server
from tests.benchmarks.table import Row, at_least


class _Nowhere(SpanExporter):
    """An exporter that drops the spans: the cost of a protocol is that of the exporter."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def tracing(server: str, sizes: Sizes) -> Iterator[Row]:
    """Measure calls with traces: by the API alone, with one call of a hundred sampled, and with every call sampled."""
    listeners = {
        "traced, without an SDK": (OpenTelemetryListener(), 0.75),
        "traced, 1 % sampled": (_listener(0.01), 0.50),
        "traced, all sampled": (_listener(1), 0.25),
    }
    with tcp_server(server) as url:
        plain = open_bench(url)
        for what, (listener, goal) in listeners.items():
            traced = _traced(url, listener)

            def speed(run: Callable[[Bench], Callable[[], None]], traced: Bench = traced) -> float:
                return ratio(lambda: run(plain), lambda: run(traced), sizes.rounds)

            verify = speed(lambda it: it.verifying(it.issued(sizes.calls)))
            yield at_least(f"verify, {what} / without a listener", verify, goal)
            issue = speed(lambda it: it.issuing(sizes.calls))
            yield at_least(f"issue, {what} / without a listener", issue, goal)


def _listener(share: float) -> OpenTelemetryListener:
    tracers = TracerProvider(ParentBased(TraceIdRatioBased(share)), shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(_Nowhere()))
    return OpenTelemetryListener(tracer_provider=tracers, meter_provider=MeterProvider(shutdown_on_exit=False))


def _traced(url: str, listener: OpenTelemetryListener) -> Bench:
    client, codes = redis.Redis.from_url(url), Codes()
    otp = OTP(url, codes, TEMPLATE, SECRET, policy=POLICY, namespace="traced", listeners=[listener])
    return Bench(client, otp, codes, client.script_load("return 1"))
