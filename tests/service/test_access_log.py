"""The id of a request in header, problem, log and trace, and the access log in JSON."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from serve_command import SECONDS, Slow, config
from serve_command import serving as serve
from support.otlp import Collector, labels
from support.service import KEY, OTHER_KEY, PHONE, RECEIPTS_SECRET, Served, serving

MADE = re.compile(r"[0-9a-f]{32}")
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def logged() -> Iterator[Served]:
    with serving("memory://", receipts_secret=RECEIPTS_SECRET, access_log=True) as served:
        yield served


def lines(caplog: pytest.LogCaptureFixture, count: int) -> list[Any]:
    """Return so many lines. A client may have its answer before the line is written."""
    until = time.monotonic() + SECONDS
    while sum(each.name == "otpkit.access" for each in caplog.records) < count:
        assert time.monotonic() < until
        time.sleep(0.01)
    return [json.loads(each.getMessage()) for each in caplog.records if each.name == "otpkit.access"]


def test_line_has_the_route_and_no_number(logged: Served, phone: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither path nor query nor body is in it: they hold numbers and secrets."""
    with caplog.at_level(logging.INFO, "otpkit.access"):
        logged.issue(phone, bind="my-bind")
        answer = logged.post(f"/v1/challenges/{phone}?phone={phone}")
        logged.post(f"/receipts/{RECEIPTS_SECRET}/outbox", key=None)
        logged.get("/openapi.json")
        logged.get("/healthz")
        logged.get("/metrics", key=OTHER_KEY)
        logged.get("/metrics")  # It is refused, so it is logged.
        found = lines(caplog, 5)
    first = found[0]
    assert list(first) == ["time", "method", "route", "status", "ms", "bytes", "key", "request_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert (first["method"], first["route"], first["status"], first["key"]) == ("POST", "/v1/challenges", 201, "shop")
    assert first["ms"] > 0
    assert first["bytes"] > 100
    assert MADE.fullmatch(first["request_id"])
    assert [(each["route"], each["status"], each["key"]) for each in found[1:]] == [
        ("other", 404, None),
        ("/receipts/{secret}/{gateway}", 404, None),
        ("/openapi.json", 200, None),
        ("/metrics", 401, None),
    ]
    assert found[1]["request_id"] == answer.headers["x-request-id"] == answer.json()["request_id"]
    assert found[1]["bytes"] == len(answer.content)
    text = "\n".join(each.getMessage() for each in caplog.records)
    assert not any(each in text for each in (phone[1:], "my-bind", RECEIPTS_SECRET, KEY, "Bearer"))


@pytest.mark.parametrize(
    "given", ["4bf92f35-77b3.4da6:a3ce/92=9d_0e0e~4736@x", "a" * 128, "Root=1-67891233-abcdef012345678912345678"]
)
def test_id_of_the_caller_is_kept(logged: Served, given: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "otpkit.access"):
        answer = logged.post("/v1/verifications", {}, headers={"X-Request-Id": given})
        found = lines(caplog, 1)
    assert (answer.headers["x-request-id"], answer.json()["request_id"]) == (given, given)
    assert [each["request_id"] for each in found] == [given]


def test_id_that_could_break_a_log_is_replaced(logged: Served, phone: str, caplog: pytest.LogCaptureFixture) -> None:
    """So is one that could be a number: no log may show one. Two headers have no right one."""
    values = [b"", b"a b", b'a","key":"x', b"a\\n", b"a\tb", b"caf\xc3\xa9", b"a\x85b", b"a" * 129, phone.encode()]
    values += [phone[1:].encode(), b"123456", b"a\r\nX-Request-Id: b", b"{}", b"%0a", b"<script>"]
    with caplog.at_level(logging.INFO, "otpkit.access"):
        for value in values:
            with socket.create_connection(("127.0.0.1", logged.port)) as client:
                head = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: " + value
                client.sendall(head + b"\r\n\r\n")
                answer = b"".join(iter(lambda client=client: client.recv(65536), b"")).decode()
            ids = re.findall(r"(?m)^x-request-id: (.*)\r$", answer)
            assert len(ids) == 1, (value, answer)
            assert MADE.fullmatch(ids[0]), value
            assert json.loads(answer.rpartition("\r\n\r\n")[2])["request_id"] == ids[0]
        found = lines(caplog, len(values))
    assert len(found) == len(values)
    assert all(MADE.fullmatch(each["request_id"]) for each in found)


def test_client_that_leaves_has_no_status(logged: Served, caplog: pytest.LogCaptureFixture) -> None:
    """The response to a HEAD has no body."""
    head = "POST /v1/challenges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    with caplog.at_level(logging.INFO, "otpkit.access"):
        logged.session.head(f"{logged.base_url}/openapi.json", timeout=SECONDS)
        with socket.create_connection(("127.0.0.1", logged.port)) as client:
            client.sendall(f"{head}Authorization: Bearer {KEY}\r\n\r\n".encode())
        found = lines(caplog, 2)
    assert [(each["method"], each["status"], each["bytes"]) for each in found] == [("HEAD", 200, 0), ("POST", None, 0)]
    assert found[1]["key"] == "shop"


def test_command_writes_a_line_with_the_id_of_the_span(tmp_path: Path) -> None:
    """It is off by default, and a reload turns it on. The trace has the same id."""
    with Slow() as webhook, Collector() as collector:
        threading.Thread(target=webhook.serve_forever, daemon=True).start()
        webhook.answer.set()
        file = config(tmp_path, "memory://", webhook)
        text = f"{file.read_text(encoding='utf-8')}access_log = {{}}\n\n[telemetry]\notel = true\n"
        file.write_text(text.format("false"), encoding="utf-8")
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with serve(file, env=env) as (process, url):
            requests.post(f"{url}/v1/verifications", json={"phone": PHONE}, headers=HEADERS, timeout=SECONDS)
            file.write_text(text.format("true"), encoding="utf-8")
            process.send_signal(1)
            assert process.stderr is not None
            assert process.stderr.readline() == "otpkit: The settings were reloaded.\n"
            headers = HEADERS | {"X-Request-Id": "mine-1"}
            requests.post(f"{url}/v1/challenges", json={"phone": PHONE}, headers=headers, timeout=SECONDS)
            span = collector.span("POST /v1/challenges")
            process.terminate()
            _, log = process.communicate(timeout=SECONDS)
        webhook.shutdown()
    line = json.loads(log)
    assert (line["route"], line["request_id"], line["trace_id"]) == ("/v1/challenges", "mine-1", span.trace_id.hex())
    assert labels(span)["otpkit.request_id"] == "mine-1"
    assert process.returncode == 0
