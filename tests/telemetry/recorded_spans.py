"""The spans and metrics that calls record by the real SDK, and what a test asks of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from otpkit.telemetry import OpenTelemetryListener


class Recorded:
    """A listener with a tracer of its own, and the ended spans."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self.provider = TracerProvider(sampler=sampler)
        self._kept = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracer = self.provider.get_tracer("tests")
        self.meters = InMemoryMetricReader()
        self.listener = OpenTelemetryListener(
            tracer_provider=self.provider, meter_provider=MeterProvider([self.meters], shutdown_on_exit=False)
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        """The ended spans, in the order of their start."""
        return sorted(self._kept.get_finished_spans(), key=lambda span: span.start_time or 0)

    def clear(self) -> None:
        self._kept.clear()

    def call(self, name: str) -> ReadableSpan:
        """Return the only span with a name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found

    def children(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """Return the spans whose parent is `parent`, in the order of their start."""
        own = parent.get_span_context()
        assert own is not None
        found = [span for span in self.spans if span.parent is not None and span.parent.span_id == own.span_id]
        assert all(span.get_span_context().trace_id == own.trace_id for span in found)
        return found

    def names(self, parent: str) -> list[str]:
        """Return the names of the children of the only span with a name."""
        return [span.name for span in self.children(self.call(parent))]

    def texts(self) -> Iterator[str]:
        """Yield everything that is recorded, as text."""
        for span in self.spans:
            yield json.dumps(json.loads(span.to_json()), ensure_ascii=False)
        if (metrics := self.meters.get_metrics_data()) is not None:
            yield json.dumps(json.loads(metrics.to_json()), ensure_ascii=False)


def seconds(span: ReadableSpan) -> float:
    """Return the duration of a span."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
