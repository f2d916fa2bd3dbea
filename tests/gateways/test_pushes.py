"""Providers' pushes in the forms of their documents, and the reasons for which a push is ignored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from provider_lab import SECRET, SEND_ID
from support.secrets import SECRET as OTP_SECRET
from wire_server import WireServer, reply

from otpkit import OTP, Policy, Template
from otpkit.gateways import Aliyun, AliyunVoice, Delivery, Gateway, Push, Tencent, Twilio

POLICY = Policy(regions={"CN", "HK"})
CALLED = "https://internal.example:8000/receipts/a-secret-in-the-path/x"
# The sample of help.aliyun.com/zh/sms/smsreport-http-intl, with a complete number.
ABROAD = {
    "To": "85251234567",
    "SendDate": "Thu, 25 Nov 2021 10:25:00 +0800",
    "ReceiveDate": "Thu, 25 Nov 2021 10:25:33 +0800",
    "Status": "1",
    "ErrorCode": "success",
    "ErrorDescription": "success",
    "TaskId": "67890",
    "SmsSize": "2",
    "MessageId": "123450000001",
}


def push(body: Any, url: str = CALLED, **headers: str) -> Push:
    return Push(url, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.fixture
def aliyun() -> Aliyun:
    return Aliyun("key", SECRET)


class TestAliyunAbroad:
    def test_documented_sample_is_read_whole(self, aliyun: Aliyun) -> None:
        read = aliyun.receipts(push([ABROAD]))
        assert read.deliveries == (
            Delivery(
                state="delivered",
                gateway="aliyun",
                result_code="success",
                sent_at=datetime(2021, 11, 25, 2, 25, tzinfo=UTC),
                received_at=datetime(2021, 11, 25, 2, 25, 33, tzinfo=UTC),
                phone="+85251234567",
                send_id="67890",
                message_id="123450000001",
            ),
        )
        assert (read.status, read.body, read.problem) == (200, b'{"code":0,"msg":"ok"}', "")

    @pytest.mark.parametrize(
        ("status", "state"), [("1", "delivered"), (1, "delivered"), ("2", "failed"), (6, "failed"), ("6", "failed")]
    )
    def test_each_documented_status_is_read(self, aliyun: Aliyun, status: object, state: str) -> None:
        (delivery,) = aliyun.receipts(push([ABROAD | {"Status": status}])).deliveries
        assert delivery.state == state

    @pytest.mark.parametrize(
        "changes",
        [
            {"Status": "3"},
            {"Status": None},
            {"Status": True},
            {"To": "nobody"},
            {"To": None},
            {"To": ""},
            {"TaskId": "", "MessageId": ""},
            {"TaskId": None, "MessageId": ["x"]},
        ],
        ids=str,
    )
    def test_verdict_of_nothing_or_on_nobody_says_nothing(self, aliyun: Aliyun, changes: dict[str, Any]) -> None:
        assert aliyun.receipts(push([ABROAD | changes])).deliveries == ()

    def test_dates_that_are_none_lose_the_dates_alone(self, aliyun: Aliyun) -> None:
        (delivery,) = aliyun.receipts(push([ABROAD | {"SendDate": "soon", "ReceiveDate": 7}])).deliveries
        assert (delivery.state, delivery.sent_at, delivery.received_at) == ("delivered", None, None)

    @pytest.mark.parametrize("names", ["its own id", "the send's id", "both, the task another's"])
    def test_message_is_found_by_either_id(self, names: str) -> None:
        """The id is that of the SendSms answer, or the send id if the task's id carries it."""
        with WireServer(reply({"Code": "OK", "BizId": "1234^0"})) as server:
            gateway = Aliyun("key", SECRET, base_url=server.url)
            with OTP("memory://", gateway, Template("SMS_1", "x"), OTP_SECRET, policy=POLICY) as otp:
                otp.issue("+85251234567", idempotency_key="one")
                send_id = server.requests[0].params["OutId"]
                told = {
                    "its own id": {"MessageId": "1234^0", "TaskId": ""},
                    "the send's id": {"MessageId": "", "TaskId": send_id},
                    "both, the task another's": {"MessageId": "1234^0", "TaskId": "67890"},
                }[names]
                otp.receive(push([ABROAD | {"MessageId": "another's", "TaskId": ""}]))
                assert otp.status("+85251234567").delivery == "accepted"  # type: ignore[union-attr]
                otp.receive(push([ABROAD | told]))
                assert otp.status("+85251234567").delivery == "delivered"  # type: ignore[union-attr]

    def test_mainland_rows_stand_beside_those_of_other_regions(self, aliyun: Aliyun) -> None:
        mainland = {"phone_number": "13800138000", "success": False, "err_code": "UNDELIV", "out_id": SEND_ID}
        read = aliyun.receipts(push([mainland, 7, ABROAD])).deliveries
        assert [(each.phone, each.state) for each in read] == [
            ("+8613800138000", "failed"),
            ("+85251234567", "delivered"),
        ]


PUSHED: list[Gateway] = [
    Aliyun("key", SECRET),
    AliyunVoice("key", SECRET),
    Tencent("key", SECRET, sdk_app_id="1"),
    Twilio("AC0", SECRET, sender="+15551234567"),
]


@pytest.mark.parametrize("gateway", PUSHED, ids=lambda gateway: gateway.name)
@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"{}", b'"x"', b"[" * 100_000], ids=["empty", "not UTF-8", "object", "text", "nested"]
)
def test_push_that_can_not_be_read_says_why(gateway: Gateway, body: bytes) -> None:
    """The problem shows nothing of the body or of the URL's path."""
    read = gateway.receipts(push(body, **{"X-Twilio-Signature": "x"}))
    assert read.deliveries == ()
    assert read.problem
    assert "a-secret-in-the-path" not in read.problem


class TestTwilio:
    def problem(self, url: str, **headers: str) -> str:
        return Twilio("AC0", SECRET, sender="+15551234567").receipts(push(b"a=b", url, **headers)).problem

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            (CALLED, "https://internal.example:8000"),
            ("http://10.0.0.1/receipts/a-secret-in-the-path", "http://10.0.0.1"),
            ("http://localhost:8000?a-secret-in-the-path", "http://localhost:8000"),
            ("http://13800138000/a-secret-in-the-path", ""),
            ("http://x.example\n/a-secret-in-the-path", ""),
            (f"http://{'x' * 999}/a-secret-in-the-path", ""),
            ("a-secret-in-the-path", ""),
        ],
    )
    def test_wrong_signature_names_where_it_was_read(self, url: str, shown: str) -> None:
        """The problem shows scheme and host, which a proxy changes, but no path and no host that may be a number."""
        problem = self.problem(url, **{"X-Twilio-Signature": "x"})
        assert f"the URL as received, {shown}/…; " in problem if shown else "the URL; " in problem
        assert "public_url" in problem
        assert "auth_token" in problem
        assert "a-secret-in-the-path" not in problem
        assert "138" not in problem

    def test_missing_signature_is_told_apart(self) -> None:
        assert "X-Twilio-Signature" in self.problem(CALLED)
