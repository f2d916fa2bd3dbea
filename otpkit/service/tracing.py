"""Export the service's traces and metrics by OpenTelemetry's SDK, and trace its requests. Extra: `otlp`.

The SDK reads its own variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER` and others.
"""

from __future__ import annotations

import os
import threading
import uuid
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otpkit.errors import ConfigurationError
from otpkit.service.middleware import OTHER, ROUTE
from otpkit.service.request_log import REQUEST_ID, TRACE_ID
from otpkit.telemetry import OpenTelemetryListener

try:
    from opentelemetry import context as contexts
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import (
        ProxyTracerProvider,
        SpanKind,
        Status,
        StatusCode,
        get_tracer,
        get_tracer_provider,
        set_span_in_context,
    )
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"telemetry.otel needs {missing.name!r}, which is not installed.", "Run: pip install 'otpkit[otlp]'."
    ) from missing

CLOSE_S: Final = 3.0
"""Seconds in which the spans that wait are exported when the service stops."""
_W3C: Final = TraceContextTextMapPropagator()
_EXPORTERS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER")
_CONSOLE: Final = "/console"  # Its pages stay open, and are no calls of a program.
_UNTRACED: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})


class Exporting:
    """The SDK of one service, and the listener for its `AsyncOTP`.

    If the program set the SDK's providers already, as `opentelemetry-instrument -- otpkit serve` does, these are used.

    Args:
        is_one_of_many: True in one of several workers: each reports figures of its own, as an instance of the service.

    Raises:
        ConfigurationError: a variable of the SDK has a value that the service does not support.
    """

    def __init__(self, *, is_one_of_many: bool = False) -> None:
        self._tracers: TracerProvider | None = None
        self._meters: MeterProvider | None = None
        if isinstance(get_tracer_provider(), ProxyTracerProvider):
            exports = {name: _exports(name) for name in _EXPORTERS}
            resource = _resource(is_one_of_many=is_one_of_many)
            self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            if exports["OTEL_TRACES_EXPORTER"]:
                self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            readers = [PeriodicExportingMetricReader(OTLPMetricExporter())] if exports["OTEL_METRICS_EXPORTER"] else []
            self._meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self.listener = OpenTelemetryListener(tracer_provider=self._tracers, meter_provider=self._meters)
        self._tracer = get_tracer("otpkit.service", tracer_provider=self._tracers)

    def traced(self, app: ASGIApp) -> ASGIApp:
        """Return an application with a span for each request. The header `traceparent` names the parent.

        `app` is the result of `create_app`. The console, and requests for health, metrics and the OpenAPI document have
        no span.
        """

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in _UNTRACED or scope["path"].startswith(_CONSOLE):
                await app(scope, receive, send)
                return
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            span = self._tracer.start_span(
                scope["method"] if scope["method"] in {"GET", "HEAD", "POST"} else "HTTP",
                _W3C.extract(headers),
                SpanKind.SERVER,
                {"http.request.method": scope["method"], "url.scheme": scope["scheme"]},
                record_exception=False,
                set_status_on_exception=False,
            )

            async def noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route, status = scope.get(ROUTE, OTHER), message["status"]
                    span.set_attribute("http.response.status_code", status)
                    span.set_attribute("otpkit.request_id", REQUEST_ID.get())
                    if route != OTHER:
                        # The path of a request may hold the receipts' secret, so the route's path stands for it.
                        span.set_attributes({"http.route": route, "url.path": route})
                        span.update_name(f"{scope['method']} {route}")
                    if status >= 500:
                        span.set_attribute("error.type", str(status))
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            token = contexts.attach(set_span_in_context(span))
            if span.is_recording():
                TRACE_ID.set(f"{span.get_span_context().trace_id:032x}")
            try:
                await app(scope, receive, noted)
            finally:
                contexts.detach(token)
                span.end()

        return call

    def close(self, within: float = CLOSE_S) -> None:
        """Export what waits. A collector that does not answer delays the end of the service by `within` seconds."""
        thread = threading.Thread(target=self._shut_down, args=(within,), name="otpkit-otel-close", daemon=True)
        thread.start()
        thread.join(within)

    def _shut_down(self, within: float) -> None:
        if self._tracers is not None:
            self._tracers.force_flush(int(within * 1000))
        if self._meters is not None:
            self._meters.shutdown(within * 1000)


def _exports(variable: str) -> bool:
    """Return whether a signal is exported, by one of the SDK's variables."""
    value = os.environ.get(variable, "").strip() or "otlp"
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or "http/protobuf"
    if value not in {"none", "otlp"} or protocol != "http/protobuf":
        name, shown = (variable, value) if value not in {"none", "otlp"} else ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        raise ConfigurationError(
            f"{name} is {shown!r:.40}, and otpkit serve exports by OTLP over HTTP.",
            "Remove it, or install opentelemetry-distro and run: opentelemetry-instrument -- otpkit serve.",
        )
    return value == "otlp"


def _resource(*, is_one_of_many: bool) -> Any:
    """Return what identifies this service. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come first."""
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in given
    found = {} if named else {"service.name": "otpkit"}
    if is_one_of_many and "service.instance.id=" not in given:
        found["service.instance.id"] = str(uuid.uuid4())
    return Resource.create(found)
