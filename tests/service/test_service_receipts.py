"""Receipts that gateways push: whose URL is believed, and what they are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from service_stage import RECEIPTS_SECRET, Stage, serving

from otpkit.effects import Flow
from otpkit.gateways import Gateway, Message, Push, Receipt, Receipts
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
def pushed(gateway: Pushing) -> Iterator[Stage]:
    """A service that is known by another URL from outside."""
    with serving(
        "memory://", gateway=gateway, receipts_secret=RECEIPTS_SECRET, public_url="https://otp.example.com/in/"
    ) as served:
        yield served


def push(stage: Stage, path: str, body: Any, **headers: str) -> requests.Response:
    return stage.session.post(stage.base_url + path, json=body, headers=headers, timeout=10)


def test_a_receipt_is_recorded_and_answered_as_its_provider_wants(pushed: Stage, gateway: Pushing) -> None:
    phone = "+8613800138000"
    assert pushed.post("/v1/challenges", {"phone": phone}).status_code == 201
    told = {"state": "failed", "phone": phone, "send_id": gateway.sent[0].send_id}
    answer = push(pushed, f"/receipts/{RECEIPTS_SECRET}/pushing?a=%20b", told, **{"X-Signed": "yes"})
    assert (answer.status_code, answer.content) == (200, b"<Thanks/>")
    assert answer.headers["content-type"].startswith("text/xml")
    assert gateway.urls == [f"https://otp.example.com/in/receipts/{RECEIPTS_SECRET}/pushing?a=%20b"]
    assert pushed.post("/v1/challenges/status", {"phone": phone}).json()["delivery"] == "failed"


def test_a_stranger_learns_nothing(pushed: Stage, gateway: Pushing) -> None:
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


def test_without_a_secret_no_receipts_are_taken() -> None:
    with serving("memory://") as stage:
        for secret in ("", "None", RECEIPTS_SECRET):
            assert push(stage, f"/receipts/{secret}/outbox", {}).status_code == 404


def test_a_gateway_that_is_pushed_none_is_not_found(stage: Stage) -> None:
    assert push(stage, f"/receipts/{RECEIPTS_SECRET}/outbox", {}).status_code == 404
