"""What the service reports of its events: metrics, a log, and a webhook that may hang."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from serve_command import SECONDS, Slow, config
from serve_command import serving as serve
from support.event_receiver import SECRET, Receiver, wait_for
from support.service import KEY, OTHER_KEY, PHONE, serving

from otpkit import Event
from otpkit.service import Metrics
from otpkit.telemetry import WebhookListener


@pytest.fixture
def gateway() -> Iterator[Slow]:
    """Yield a gateway that answers at once."""
    with Slow() as server:
        server.answer.set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_metrics_have_a_counter_for_each_kind_of_event() -> None:
    """They are complete when the call has returned. The metric of all events stays."""
    with serving("memory://", otp_options={"prices": {"*": "0.045 CNY"}}) as stage:
        code = stage.issue(PHONE)
        stage.post("/v1/verifications", {"phone": PHONE, "code": code})
        text = stage.get("/metrics", key=OTHER_KEY).text
        of_purpose = stage.get("/metrics", key=KEY).text
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    message = 'channel="sms",gateway="outbox"'
    labels = 'purpose="signup",region="CN"'
    assert counted[f'otpkit_sent_total{{{message},outcome="accepted",{labels}}}'] == "1.0"
    assert counted[f"otpkit_cost_total{{{message},{labels}}}"] == "0.045"
    assert counted[f'otpkit_verified_total{{gateway="outbox",{labels}}}'] == "1.0"
    assert counted['otpkit_verify_seconds_count{outcome=""}'] == "1.0"
    assert counted['otpkit_listener_dropped_total{listener="PrometheusListener"}'] == "0.0"
    assert any(line.startswith("otpkit_events_total{") and 'name="issued"' in line for line in counted)
    assert "otpkit_sent_total" in of_purpose


def test_dropped_events_are_a_metric() -> None:
    """An operator sees that a webhook does not keep up."""
    with Receiver(hangs=True) as receiver:
        listener = WebhookListener(receiver.url, SECRET, capacity=1)
        metrics = Metrics([listener, print])
        for _ in range(5):
            listener(Event(name="issued", operation="issue"))
        text = metrics.text().decode()
        receiver.released.set()
        listener.close()
    assert f'otpkit_listener_dropped_total{{listener="WebhookListener"}} {float(listener.dropped)}' in text
    assert listener.dropped >= 3


def telemetry(file: Path, table: str) -> Path:
    file.write_text(f"{file.read_text()}\n[telemetry]\n{table}\n")
    return file


def challenge(url: str, phone: str) -> Any:
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = requests.post(f"{url}/v1/challenges", json={"phone": phone}, headers=headers, timeout=SECONDS)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_events_are_logged_as_json_and_posted(valkey_url: str, namespace: str, tmp_path: Path, gateway: Slow) -> None:
    """What waits when the service ends is passed on first."""
    with Receiver() as receiver:
        table = f'log = "json"\nwebhook_url = "{receiver.url}"\nwebhook_secret = "{SECRET}"'
        file = telemetry(config(tmp_path, valkey_url, gateway, namespace), table)
        with serve(file) as (process, url):
            challenge(url, PHONE)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=SECONDS)
        assert receiver.names() == ["sent", "issued"]
    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["sent", "issued"]
    assert PHONE[1:] not in err
    assert gateway.codes[0] not in err


def test_a_webhook_that_hangs_stops_neither_start_nor_call_nor_end(
    valkey_url: str, namespace: str, tmp_path: Path, gateway: Slow
) -> None:
    """The service reports what it did not pass on, and ends within its bound."""
    with Receiver(hangs=True) as receiver:
        table = f'webhook_url = "{receiver.url}"\nwebhook_secret = "{SECRET}"'
        file = telemetry(config(tmp_path, valkey_url, gateway, namespace), table)
        with serve(file) as (process, url):
            challenge(url, PHONE)
            wait_for(lambda: receiver.requests == 1)
            started = time.monotonic()
            for number in range(5):
                challenge(url, f"{PHONE[:-1]}{number + 1}")
            assert time.monotonic() - started < 5
            assert receiver.requests == 1
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "did not pass on 12 events" in err
