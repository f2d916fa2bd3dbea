"""A collector on loopback: an HTTP server that decodes OTLP's protobuf, as the real exporters send it."""

from __future__ import annotations

import gzip
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_MESSAGES: dict[str, tuple[type, type]] = {
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
}


class Collector:
    """A collector. While `hangs` is set, it accepts requests and does not answer."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Any]] = []
        """The path and the decoded message of each request."""
        self.hangs = False
        self.asked = 0
        self._stopping = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.asked += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.hangs:
                    collector._stopping.wait(60)
                    return
                assert self.headers["Content-Type"] == "application/x-protobuf"
                encoding = self.headers.get("Content-Encoding", "")
                body = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(encoding, bytes)(body)
                request, response = _MESSAGES[self.path]
                message = request()
                message.ParseFromString(body)
                collector.received.append((self.path, message))
                answer = response().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def spans(self) -> list[Span]:
        """The spans of otpkit, in the order of their start."""
        found = [
            span
            for path, message in list(self.received)
            if path == "/v1/traces"
            for resource in message.resource_spans
            for scope in resource.scope_spans
            if scope.scope.name.startswith("otpkit")
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    @property
    def metrics(self) -> dict[str, Metric]:
        """The latest state of each of otpkit's metrics, by name."""
        return {
            metric.name: metric
            for path, message in list(self.received)
            if path == "/v1/metrics"
            for resource in message.resource_metrics
            for scope in resource.scope_metrics
            if scope.scope.name.startswith("otpkit")
            for metric in scope.metrics
        }

    def span(self, name: str, seconds: float = 10) -> Span:
        """Wait for a span, and return the first one with a name."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for span in self.spans:
                if span.name == name:
                    return span
            time.sleep(0.02)
        raise AssertionError(f"no span {name!r} among {[span.name for span in self.spans]}")


def labels(point: Any) -> dict[str, Any]:
    """Return the attributes of a span or of a metric's point."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in point.attributes
    }
