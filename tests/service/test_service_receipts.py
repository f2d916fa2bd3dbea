"""Receipts that gateways push: the URL that is verified, and the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from support.service import RECEIPTS_SECRET, Served, serving
from twilio.request_validator import RequestValidator

from otpkit.effects import Flow
from otpkit.gateways import Gateway, Message, Push, Receipt, Receipts, Tencent, Twilio
from otpkit.gateways.base import Delivery


class Pushing(Gateway):
    """A gateway whose provider pushes one receipt as JSON, and signs the URL."""

    name = "pushing"

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.urls: list[str] = []

    def send(self, message: Message) -> Flow[Receipt]:
        self.sent.append(message)
        return Receipt(self.name, message.send_id)
        yield

    def receipts(self, push: Push) -> Receipts:
        self.urls.append(push.url)
        if dict(push.headers).get("x-signed") != "yes":
            return Receipts((), 403, "text/plain")
        told = json.loads(push.body)
        delivery = Delivery(state=told["state"], gateway=self.name, phone=told["phone"], send_id=told["send_id"])
        return Receipts((delivery,), content_type="text/xml", body=b"<Thanks/>")


@pytest.fixture
def gateway() -> Pushing:
    return Pushing()


@pytest.fixture
def pushed(gateway: Pushing) -> Iterator[Served]:
    """Yield a service with another public URL."""
    with serving(
        "memory://", gateway=gateway, receipts_secret=RECEIPTS_SECRET, public_url="https://otp.example.com/in/"
    ) as served:
        yield served


def push(stage: Served, path: str, body: Any, **headers: str) -> requests.Response:
    return stage.session.post(stage.base_url + path, json=body, headers=headers, timeout=10)


def test_a_receipt_is_recorded_and_answered_as_its_provider_wants(pushed: Served, gateway: Pushing) -> None:
    phone = "+8613800138000"
    assert pushed.post("/v1/challenges", {"phone": phone}).status_code == 201
    told = {"state": "failed", "phone": phone, "send_id": gateway.sent[0].send_id}
    answer = push(pushed, f"/receipts/{RECEIPTS_SECRET}/pushing?a=%20b", told, **{"X-Signed": "yes"})
    assert (answer.status_code, answer.content) == (200, b"<Thanks/>")
    assert answer.headers["content-type"].startswith("text/xml")
    assert gateway.urls == [f"https://otp.example.com/in/receipts/{RECEIPTS_SECRET}/pushing?a=%20b"]
    assert pushed.post("/v1/challenges/status", {"phone": phone}).json()["delivery"] == "failed"


def test_a_stranger_learns_nothing(pushed: Served, gateway: Pushing) -> None:
    for path in (
        f"/receipts/{RECEIPTS_SECRET[:-1]}/pushing",
        f"/receipts/{RECEIPTS_SECRET}x/pushing",
        f"/receipts/{RECEIPTS_SECRET}/nobody",
        "/receipts/%FF/pushing",
        "/receipts//pushing",
        f"/receipts/{RECEIPTS_SECRET}",
    ):
        answer = push(pushed, path, {})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert gateway.urls == []
    answer = push(pushed, f"/receipts/{RECEIPTS_SECRET}/pushing", {})
    assert (answer.status_code, answer.content) == (403, b"")


def rows_of_tencent(count: int) -> list[dict[str, str]]:
    return [
        {
            "user_receive_time": "2015-10-17 08:03:04",
            "nationcode": "86",
            "mobile": f"139{number:08d}",
            "report_status": "SUCCESS",
            "errmsg": "DELIVRD",
            "description": "用户短信送达成功",
            "sid": f"2019:{number:030d}",
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_a_batch_of_the_size_that_providers_push_is_taken(count: int) -> None:
    """A hundred rows of Tencent's are 20 KB, which is more than any other body may have."""
    tencent = Tencent("id", "key", sdk_app_id="1")
    with serving("memory://", gateway=tencent, receipts_secret=RECEIPTS_SECRET) as stage:
        answer = push(stage, f"/receipts/{RECEIPTS_SECRET}/tencent", rows_of_tencent(count))
        assert (answer.status_code, answer.json()) == (200, {"result": 0, "errmsg": "OK"})


def test_a_longer_push_than_the_gateways_own_bound_is_refused(
    gateway: Pushing, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit is the gateway's, and the refusal is logged. An unknown name gets 404 before the body is read."""
    with serving("memory://", gateway=gateway, receipts_secret=RECEIPTS_SECRET) as stage:
        path = f"/receipts/{RECEIPTS_SECRET}/pushing"
        for size, status in ((gateway.max_push, 200), (gateway.max_push + 1, 413), (2_000_000, 413)):
            told = b'{"state":"pending","phone":"","send_id":""}'
            answer = stage.session.post(
                stage.base_url + path, data=told.ljust(size), headers={"X-Signed": "yes"}, timeout=10
            )
            assert answer.status_code == status
        assert [record.getMessage() for record in caplog.records].count(
            f"Rejected receipts for the gateway pushing: the push has more than {gateway.max_push} bytes."
        ) == 2
        long = b"x" * 600_000
        answer = stage.session.post(f"{stage.base_url}/receipts/{RECEIPTS_SECRET}/x", data=long, timeout=10)
        assert answer.status_code == 404


def test_receipts_of_twilio_behind_a_proxy_say_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    """The receipt is signed for the proxy's URL.

    Without `public_url` it is refused and logged once; with it, accepted.
    """
    twilio = Twilio("AC0", "auth-token", voice_sender="+15551234567")
    outside, path = "https://otp.example.com", f"/receipts/{RECEIPTS_SECRET}/twilio?send_id={'A' * 22}"
    params = {"MessageSid": f"SM{'1' * 32}", "MessageStatus": "delivered", "To": "+8613800138000"}
    headers = {"X-Twilio-Signature": RequestValidator("auth-token").compute_signature(outside + path, params)}
    for options, status, logged in (({}, 403, 1), ({"public_url": outside}, 200, 0)):
        caplog.clear()
        with serving("memory://", gateway=twilio, receipts_secret=RECEIPTS_SECRET, **options) as stage:
            for _ in range(20):
                answer = stage.session.post(stage.base_url + path, data=params, headers=headers, timeout=10)
                assert answer.status_code == status
        assert len(caplog.records) == logged
        assert "public_url" in caplog.text or not logged
        assert RECEIPTS_SECRET not in caplog.text


def test_without_a_secret_no_receipts_are_taken() -> None:
    with serving("memory://") as stage:
        for secret in ("", "None", RECEIPTS_SECRET):
            assert push(stage, f"/receipts/{secret}/outbox", {}).status_code == 404


def test_a_gateway_that_is_pushed_none_is_not_found(stage: Served) -> None:
    assert push(stage, f"/receipts/{RECEIPTS_SECRET}/outbox", {}).status_code == 404
