"""Aliyun from end to end: an SMS, then a call, by the local gateway, with receipts pushed over HTTP to `receive`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from otpkit import OTP, Event, Policy, Template
from otpkit.gateways import Aliyun, AliyunVoice, Failover, Push
from otpkit.sandbox import Fault, Sandbox, running

PHONE = "+8613800138000"
SECRET = "a secret of these tests, longer than 32 bytes"
TEMPLATE = Template("SMS_585014", "otpkit")
OFTEN = Policy(sends="32/day", ttl=600, max_age=600, regions={"CN", "HK"}, region_sends={"HK": "9/day"})
KEY = ("sandbox", "sandbox-secret")
NAMES = {"dysmsapi": "aliyun", "dyvmsapi": "aliyun-voice"}


class Site:
    """A user's site: its OTP, and the view that receives pushed receipts."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.answers: list[tuple[int, bytes]] = []
        site = self

        class View(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                gateway = NAMES[self.path.rpartition("/")[2]]
                told = site.otp.receive(Push(self.path, dict(self.headers), body), gateway=gateway)
                site.answers.append((told.status, told.body))
                self.send_response(told.status)
                self.send_header("Content-Type", told.content_type)
                self.end_headers()
                self.wfile.write(told.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), View)
        self.sandbox = Sandbox(
            receipt_after=0.05,
            receipts_url=f"http://127.0.0.1:{self.server.server_port}/a-secret-path/{{provider}}",
        )
        self.otp: Any = None

    def build(self, base_url: str, **options: Any) -> OTP:
        sms, voice = Aliyun(*KEY, base_url=base_url), AliyunVoice(*KEY, base_url=base_url)
        return OTP(
            "memory://",
            Failover([sms, voice], **options),
            TEMPLATE,
            SECRET,
            policy=OFTEN,
            on_event=self.events.append,
        )

    def wait_for(self, state: str, purpose: str = "signup") -> None:
        until = time.monotonic() + 10
        while self.otp.status(PHONE, purpose).delivery != state:
            assert time.monotonic() < until, self.otp.status(PHONE, purpose)
            time.sleep(0.02)

    def codes(self) -> list[tuple[str, str | None]]:
        """Return the channel and the code of each message, oldest first."""
        return [(message.channel, message.code) for message in reversed(self.sandbox.messages(PHONE))]


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        with running(site.sandbox) as local, site.build(local.base_url, undelivered_after=20) as site.otp:
            yield site
    finally:
        site.server.shutdown()
        thread.join()
        site.server.server_close()


def test_a_message_is_sent_delivered_and_verified(site: Site) -> None:
    """The receipt is pushed. A query returns the same state."""
    challenge = site.otp.issue(PHONE)
    assert (challenge.delivery, challenge.gateway) == ("accepted", "aliyun")
    site.wait_for("delivered")
    assert site.otp.delivery(PHONE).state == "delivered"
    assert site.answers == [(200, b'{"code":0,"msg":"ok"}')]
    assert site.otp.verify(PHONE, site.codes()[0][1])
    assert [event.name for event in site.events if event.operation == "receive"] == ["delivered"]


def test_a_code_is_spoken_where_the_message_did_not_arrive(site: Site) -> None:
    """The receipt reports a failure. The resend is a call with the same code."""
    site.sandbox.add_fault(Fault("receipt_failed"))
    site.otp.issue(PHONE)
    site.wait_for("failed")
    assert site.otp.issue(PHONE).gateway == "aliyun-voice"
    site.wait_for("delivered")
    (_, written), (channel, spoken) = site.codes()
    assert (channel, spoken) == ("voice", written)
    assert site.otp.delivery(PHONE).state == "delivered"
    assert [event.name for event in site.events if event.operation == "receive"] == ["undelivered", "delivered"]


def test_a_call_can_be_asked_for(site: Site) -> None:
    """The caller requests the channel. The call's id then returns its delivery."""
    challenge = site.otp.issue(PHONE, "login", channel="voice")
    assert challenge.gateway == "aliyun-voice"
    site.wait_for("delivered", "login")
    assert site.otp.delivery(PHONE, "login").gateway == "aliyun-voice"
    assert site.otp.verify(PHONE, site.codes()[0][1], "login")


def test_a_receipt_that_comes_twice_is_told_once(site: Site) -> None:
    """Aliyun may push a receipt twice."""
    site.sandbox.add_fault(Fault("receipt_twice"))
    site.otp.issue(PHONE)
    until = time.monotonic() + 10
    while len(site.answers) < 2:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert [event.name for event in site.events if event.operation == "receive"] == ["delivered"]


def test_an_account_that_is_out_of_service_is_mended_by_a_call(site: Site) -> None:
    """The rejection carries its code, and the next gateway sends."""
    site.sandbox.add_fault(Fault("reject", code="isv.OUT_OF_SERVICE", api="SendSms"))
    assert site.otp.issue(PHONE).gateway == "aliyun-voice"
    failed = [event.detail for event in site.events if event.name == "gateway_failed"]
    assert failed == ["aliyun isv.OUT_OF_SERVICE"]


def test_hong_kong_is_served(site: Site) -> None:
    """Its receipt has the number without a plus."""
    phone = "+85251234567"
    assert site.otp.issue(phone).gateway == "aliyun"
    until = time.monotonic() + 10
    while site.otp.status(phone).delivery != "delivered":
        assert time.monotonic() < until
        time.sleep(0.02)
    assert site.otp.delivery(phone).state == "delivered"
    assert site.otp.verify(phone, site.sandbox.messages(phone)[0].code)
