"""Tencent Cloud and Twilio from end to end, through the local gateway, with receipts pushed over HTTP to `receive`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from otpkit import OTP, Policy, Template
from otpkit.errors import GatewayRejectedError
from otpkit.gateways import Failover, Gateway, Push, Tencent, Twilio
from otpkit.sandbox import Fault, Sandbox, running

PHONE, HONG_KONG = "+8613800138000", "+85251234567"
SECRET = "Yb7vQ2m9Xc4Lr8Td1Wk6Zp3Hs5Nf0GjA"
TEMPLATE = Template("1110", "otpkit", body="Your code is ${code}.")
OFTEN = Policy(sends="32/day", ttl=600, max_age=600, regions={"CN", "HK"}, region_sends={"HK": "9/day"})
Build = Callable[[str, str], Gateway]


def tencent(base_url: str, _: str) -> Gateway:
    return Tencent("sandbox", "sandbox-secret", sdk_app_id="1400006666", base_url=base_url)


def twilio(base_url: str, callback: str) -> Gateway:
    return Twilio(
        "ACsandbox",
        "sandbox-secret",
        sender="+15005550006",
        voice_sender="+15005550006",
        status_callback=callback,
        base_url=base_url,
    )


BOTH = [pytest.param(tencent, id="tencent"), pytest.param(twilio, id="twilio")]


class Site:
    """A user's site: its OTP, and the view that receives pushed receipts."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.otp: Any = None
        site = self

        class View(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                push = Push(f"{site.url}{self.path}", dict(self.headers), body)
                told = site.otp.receive(push, gateway=self.path.partition("?")[0].rpartition("/")[2])
                site.answers.append(told.status)
                self.send_response(told.status)
                self.end_headers()
                self.wfile.write(told.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), View)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.sandbox = Sandbox(receipt_after=0.05, receipts_url=f"{self.url}/a-secret/{{provider}}")

    def wait_for(self, state: str, phone: str = PHONE) -> None:
        until = time.monotonic() + 10
        while self.otp.status(phone).delivery != state:
            assert time.monotonic() < until, self.otp.status(phone)
            time.sleep(0.02)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        thread.join()
        site.server.server_close()


@pytest.fixture(params=BOTH)
def built(site: Site, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Return a site that sends by one of the two gateways."""
    with running(site.sandbox) as local:
        gateway = request.param(local.base_url, f"{site.url}/a-secret/twilio")
        with OTP("memory://", gateway, TEMPLATE, SECRET, policy=OFTEN) as site.otp:
            yield site


def test_message_is_sent_delivered_and_verified(built: Site) -> None:
    """The receipt is pushed. A query returns the same state."""
    assert built.otp.issue(PHONE).delivery == "accepted"
    built.wait_for("delivered")
    assert built.otp.delivery(PHONE).state == "delivered"
    assert built.answers == [200]
    assert built.otp.verify(PHONE, built.sandbox.messages(PHONE)[0].code)


def test_failed_receipt_is_told(built: Site) -> None:
    built.sandbox.add_fault(Fault("receipt_failed"))
    built.otp.issue(PHONE)
    built.wait_for("failed")
    found = built.otp.delivery(PHONE)
    assert (found.state, found.result_code in {"UNDELIV", "30003"}) == ("failed", True)


@pytest.mark.parametrize("fault", ["http_500", "success_false", "drop", "half", "not_json"])
def test_unclear_answer_is_uncertain(built: Site, fault: Any) -> None:
    built.sandbox.add_fault(Fault(fault))
    assert built.otp.issue(PHONE).delivery == "uncertain"


@pytest.mark.parametrize(("fault", "category"), [("throttled", "quota"), ("reject", "account")])
def test_refusal_has_its_category(built: Site, fault: Any, category: str) -> None:
    built.sandbox.add_fault(Fault(fault))
    with pytest.raises(GatewayRejectedError) as caught:
        built.otp.issue(PHONE)
    assert caught.value.category == category


def test_hong_kong_is_served(built: Site) -> None:
    assert built.otp.issue(HONG_KONG).delivery == "accepted"
    built.wait_for("delivered", HONG_KONG)
    assert built.otp.verify(HONG_KONG, built.sandbox.messages(HONG_KONG)[0].code)


def test_call_is_made_delivered_and_verified(site: Site) -> None:
    with running(site.sandbox) as local:
        gateway = Failover([tencent(local.base_url, ""), twilio(local.base_url, f"{site.url}/a-secret/twilio")])
        with OTP("memory://", gateway, TEMPLATE, SECRET, policy=OFTEN) as site.otp:
            assert site.otp.issue(PHONE, channel="voice").gateway == "twilio"
            site.wait_for("delivered")
            [message] = site.sandbox.messages(PHONE)
            assert (message.channel, message.provider) == ("voice", "twilio")
            assert site.otp.verify(PHONE, message.code)
