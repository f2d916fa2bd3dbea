"""The real SDK and its exporters, with a collector that decodes what they send."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from math import inf
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry
from prometheus_client.utils import floatToGoString
from support.callers import calling, result
from support.otlp import Collector, labels
from support.rig import PHONE, wrong

from otpkit import Template
from otpkit.gateways import Message
from otpkit.telemetry import OpenTelemetryListener, PrometheusListener
from otpkit.testing import Outbox

SHELLS = ("sync-url", "async-url")


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


class Exported:
    """A listener whose spans and metrics go to a collector."""

    def __init__(self, url: str, timeout: float = 5) -> None:
        self.tracers = TracerProvider(shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{url}/v1/traces", timeout=timeout)
        self.tracers.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=50))
        self._reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{url}/v1/metrics", timeout=timeout), export_interval_millis=60_000
        )
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.listener = OpenTelemetryListener(tracer_provider=self.tracers, meter_provider=self.meters)

    def flush(self) -> None:
        assert self.tracers.force_flush(10_000)
        assert self.meters.force_flush(10_000)

    def stop(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown(1)


@pytest.mark.parametrize("shell", SHELLS)
async def test_collector_receives_the_trace(shell: str, redis_url: str, namespace: str, collector: Collector) -> None:
    """With its kinds, parents, attributes and status, as the protocol encodes them."""
    exported, outbox = Exported(collector.url), Outbox()
    async with calling(shell, redis_url, outbox, namespace=namespace, listeners=[exported.listener]) as caller:
        await caller.issue(PHONE)
        await result(caller.verify(PHONE, wrong(outbox[-1].code)))
    exported.flush()
    issue, reserve, verify = map(collector.span, ("otpkit.issue", "EVALSHA reserve", "otpkit.verify"))
    assert (issue.kind, reserve.kind) == (Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_CLIENT)
    assert (reserve.trace_id, reserve.parent_span_id) == (issue.trace_id, issue.span_id)
    assert labels(issue)["otpkit.outcome"] == "accepted"
    assert labels(reserve)["db.system.name"] == "redis"
    assert (verify.status.code, verify.status.message) == (Status.STATUS_CODE_ERROR, "wrong_code")
    assert issue.start_time_unix_nano <= reserve.start_time_unix_nano
    assert reserve.end_time_unix_nano <= issue.end_time_unix_nano
    exported.stop()


async def test_collector_receives_the_metrics_of_prometheus(
    redis_url: str, namespace: str, collector: Collector
) -> None:
    """The same names, labels, buckets and values: a dashboard works with either of them."""
    exported, registry, sent = Exported(collector.url), CollectorRegistry(), list[Message]()
    options: dict[str, Any] = {
        "namespace": namespace,
        "listeners": [exported.listener, PrometheusListener(registry)],
        "template": Template("SMS_1", "otpkit", {"code": "{code}"}, body="Your code is ${code}."),
        "prices": {"CN": "0.045 CNY"},
    }
    async with calling("async-url", redis_url, sent.append, **options) as caller:
        for number in range(5):
            phone = f"+86138{number:08d}"
            await caller.issue(phone, "login" if number % 2 else "signup", idempotency_key=f"{number}")
            await caller.issue(phone, "login" if number % 2 else "signup", idempotency_key=f"{number}")
            await result(caller.verify(phone, wrong(sent[-1].code), "login" if number % 2 else "signup"))
            await result(caller.verify(phone, sent[-1].code, "login" if number % 2 else "signup"))
        await result(caller.issue("+86138", "login"))
    exported.flush()
    assert _of_collector(collector) == _of_registry(registry)
    assert len(_of_collector(collector)) > 20
    exported.stop()


def _of_collector(collector: Collector) -> dict[Any, float]:
    """Return the samples in Prometheus' form: names with suffixes, and cumulative buckets."""
    found: dict[Any, float] = {}
    for name, metric in collector.metrics.items():
        if metric.HasField("sum"):
            assert metric.sum.is_monotonic
            found |= {
                (f"{name}_total", frozenset(labels(point).items())): point.as_double or point.as_int
                for point in metric.sum.data_points
            }
        else:
            assert metric.unit == "s"
            for point in metric.histogram.data_points:
                own, total = labels(point), 0
                found[f"{name}_count", frozenset(own.items())] = point.count
                for bound, count in zip((*point.explicit_bounds, inf), point.bucket_counts, strict=True):
                    total += count
                    found[f"{name}_bucket", frozenset((own | {"le": floatToGoString(bound)}).items())] = total
    return found


def _of_registry(registry: CollectorRegistry) -> dict[Any, float]:
    return {
        (sample.name, frozenset((name, value) for name, value in sample.labels.items() if value)): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith(("_created", "_sum")) and (sample.labels or sample.value)
    }


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("how", ["hangs", "refuses"])
async def test_dead_collector_slows_no_call(
    how: str, shell: str, redis_url: str, namespace: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans are exported in the background: calls go on while the collector hangs, or while nothing listens there."""
    caplog.set_level(logging.CRITICAL, "opentelemetry")
    collector.hangs = True
    exported = Exported(collector.url if how == "hangs" else "http://127.0.0.1:9", timeout=0.5)
    outbox = Outbox()
    async with calling(shell, redis_url, outbox, namespace=namespace, listeners=[exported.listener]) as caller:
        await caller.status(PHONE)
        until = time.monotonic() + 10
        while how == "hangs" and not collector.asked:
            assert time.monotonic() < until, "nothing was exported"
            await asyncio.sleep(0.02)
        before = time.monotonic()
        for number in range(20):
            phone = f"+86138{number:08d}"
            await caller.issue(phone)
            assert (await caller.verify(phone, outbox[-1].code)).phone == phone
        assert time.monotonic() - before < 5
    exported.stop()
