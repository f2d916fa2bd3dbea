"""`otpkit serve` with `[telemetry] otel = true`: the SDK's own variables, and a collector that decodes what arrives."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from serve_command import SECONDS, Slow, config, environment, serving
from support.otlp import Collector, labels
from support.service import KEY, PHONE, RECEIPTS_SECRET, SECRET

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def webhook() -> Iterator[Slow]:
    with Slow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.answer.set()
        yield server
        server.shutdown()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def traced(tmp_path: Path, webhook: Slow) -> Path:
    """Write a settings file that turns traces on."""
    file = config(tmp_path, "memory://", webhook)
    text = file.read_text(encoding="utf-8").replace("[service]", f'[service]\nreceipts_secret = "{RECEIPTS_SECRET}"')
    file.write_text(f"{text}\n[telemetry]\notel = true\n", encoding="utf-8")
    return file


def variables(collector: Collector, **more: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"} | more


def stopped(process: subprocess.Popen[str]) -> tuple[int, float, str]:
    """Stop the service; return its status, the seconds that it took, and what it wrote to stderr."""
    before = time.monotonic()
    process.terminate()
    _, errors = process.communicate(timeout=SECONDS)
    return process.returncode, time.monotonic() - before, errors


def test_request_continues_the_callers_trace(tmp_path: Path, webhook: Slow, collector: Collector) -> None:
    """From the caller's header over the request, the call and its scripts to the header of the gateway."""
    traceparent = f"00-{TRACE}-{PARENT}-01"
    env = variables(collector, OTEL_SERVICE_NAME="otp-of-the-shop")
    with serving(traced(tmp_path, webhook), env=env) as (process, url):
        headers = HEADERS | {"traceparent": traceparent}
        answer = requests.post(f"{url}/v1/challenges", json={"phone": PHONE}, headers=headers, timeout=SECONDS)
        assert answer.status_code == 201
        assert stopped(process)[::2] == (0, "")
    request, call, sent = map(collector.span, ("POST /v1/challenges", "otpkit.issue", "POST webhook"))
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert request.kind == Span.SPAN_KIND_SERVER
    assert labels(request) == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "http.route": "/v1/challenges",
        "otpkit.request_id": answer.headers["x-request-id"],
        "url.path": "/v1/challenges",
        "url.scheme": "http",
    }
    assert call.parent_span_id == request.span_id
    assert sent.parent_span_id == call.span_id
    assert (webhook.traceparents[0] or "")[:-3] == f"00-{TRACE}-{sent.span_id.hex()}"
    resource = collector.received[0][1].resource_spans[0].resource
    assert labels(resource)["service.name"] == "otp-of-the-shop"
    assert webhook.codes[0] not in str(collector.spans)
    assert PHONE[3:] not in str(collector.spans)


def test_problem_names_its_trace(tmp_path: Path, webhook: Slow, collector: Collector) -> None:
    """The body of an error leads to its trace: that of a call, of the service itself, and of a wrong body."""
    bodies: list[Any] = [{"phone": PHONE, "code": "123456"}, {"phone": "1"}, {"phne": PHONE}]
    with serving(traced(tmp_path, webhook), env=variables(collector)) as (process, url):
        for body in bodies:
            answer = requests.post(f"{url}/v1/verifications", json=body, headers=HEADERS, timeout=SECONDS)
            trace_id = answer.json()["trace_id"]
            collector.span("POST /v1/verifications")
            assert trace_id in {span.trace_id.hex() for span in _until(collector, trace_id)}
        assert stopped(process)[0] == 0
    failed = next(span for span in collector.spans if span.name == "otpkit.verify")
    assert failed.status.message == "expired_code"


def _until(collector: Collector, trace_id: str) -> list[Span]:
    until = time.monotonic() + 10
    while time.monotonic() < until and trace_id not in {span.trace_id.hex() for span in collector.spans}:
        time.sleep(0.02)
    return collector.spans


def test_no_path_is_recorded(tmp_path: Path, webhook: Slow, collector: Collector) -> None:
    """The path of a receipt holds a secret, and an unknown path may hold anything. Health checks have no span."""
    with serving(traced(tmp_path, webhook), env=variables(collector)) as (process, url):
        requests.get(f"{url}/healthz", timeout=SECONDS)
        requests.post(f"{url}/receipts/{RECEIPTS_SECRET}/webhook?to={PHONE}", timeout=SECONDS)
        requests.post(f"{url}/v1/challenges/{PHONE}", headers=HEADERS, timeout=SECONDS)
        collector.span("POST /receipts/{secret}/{gateway}")
        collector.span("POST")
        assert stopped(process)[0] == 0
    texts = str([message for _, message in collector.received])
    assert RECEIPTS_SECRET not in texts
    assert PHONE[1:] not in texts
    assert "healthz" not in texts


def test_without_the_setting_nothing_is_exported(tmp_path: Path, webhook: Slow, collector: Collector) -> None:
    """Even if the variables of the SDK are set, as they are for all programs on some hosts."""
    with serving(config(tmp_path, "memory://", webhook), env=variables(collector)) as (process, url):
        answer = requests.post(f"{url}/v1/verifications", json={"phone": "1"}, headers=HEADERS, timeout=SECONDS)
        assert "trace_id" not in answer.json()
        assert stopped(process)[::2] == (0, "")
    assert collector.asked == 0


def test_dead_collector_delays_neither_calls_nor_the_end(tmp_path: Path, webhook: Slow, collector: Collector) -> None:
    """The service ends within its bound, although the last spans could not be exported."""
    collector.hangs = True
    with serving(traced(tmp_path, webhook), env=variables(collector)) as (process, url), requests.Session() as session:
        for _ in range(10):
            before = time.monotonic()
            session.post(f"{url}/v1/verifications", json={"phone": PHONE, "code": "123456"}, headers=HEADERS, timeout=5)
            assert time.monotonic() - before < 2
        status, seconds, _ = stopped(process)
    assert status == 0
    assert seconds < 6
    assert collector.asked


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
)
def test_unsupported_exporter_is_refused(name: str, value: str, tmp_path: Path, webhook: Slow) -> None:
    """Before anything is served. The error names the variable and the way to use it all the same."""
    command = [sys.executable, "-m", "otpkit", "serve", "--config", str(traced(tmp_path, webhook))]
    env = environment({name: value})
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode != 0
    assert f"{name} is '{value}'" in done.stderr
    assert "opentelemetry-instrument" in done.stderr


def test_variable_turns_traces_on(tmp_path: Path, webhook: Slow, collector: Collector) -> None:
    """And `OTEL_METRICS_EXPORTER=none` exports traces alone."""
    env = variables(collector, OTPKIT_TELEMETRY_OTEL="1", OTEL_METRICS_EXPORTER="none")
    with serving(config(tmp_path, "memory://", webhook), env=env) as (process, url):
        requests.post(f"{url}/v1/verifications", json={"phone": "1"}, headers=HEADERS, timeout=SECONDS)
        collector.span("POST /v1/verifications")
        assert stopped(process)[::2] == (0, "")
    assert {path for path, _ in collector.received} == {"/v1/traces"}


_OWN_PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from otpkit import OTP, Template
from otpkit.service.tracing import Exporting
from otpkit.testing import Outbox

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")))
trace.set_tracer_provider(provider)
exporting = Exporting()
with OTP("memory://", Outbox(), Template("1"), "SECRET", listeners=[exporting.listener]) as otp:
    otp.status("13800138000")
exporting.close()
"""


def test_providers_of_the_process_are_used(collector: Collector) -> None:
    """Those that `opentelemetry-instrument` sets, with any exporter. The service adds none of its own."""
    program = _OWN_PROVIDER.replace("SECRET", SECRET)
    env = environment(variables(collector, OTEL_TRACES_EXPORTER="console"))
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.stdout.splitlines(), done.stderr) == (["EVALSHA status", "otpkit.status"], "")
    assert collector.asked == 0
