"""Tencent Cloud SMS: the official SDK's request and signature, each documented code, traces and pushed receipts."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from provider_lab import CODE, NOW, NUMBER, PHONE, SECRET, SEND_ID, TEMPLATE, message, refused
from support.transports import AnyTransport
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sms.v20210111 import errorcodes
from tencentcloud.sms.v20210111.models import PullSmsSendStatusByPhoneNumberRequest, SendSmsRequest
from tencentcloud.sms.v20210111.sms_client import SmsClient
from wire_server import Act, Request, WireServer, reply

from otpkit.effects import HttpRequest
from otpkit.errors import ConfigurationError
from otpkit.gateways import Delivery, Push, Receipt, Receipts, Tencent
from otpkit.gateways.tencent import errors as tencent_errors
from otpkit.gateways.tencent.errors import REFUSALS
from otpkit.template import Template
from otpkit.transport.http import drive

# The SDK itself warns, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings(
    "ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning:tencentcloud.common.abstract_client"
)
SERIAL = "5000:1045710669157053657849499619"
UNCERTAIN = Receipt("tencent", "", "uncertain")


def gateway_at(server: WireServer | str, **changes: Any) -> Tencent:
    url = server if isinstance(server, str) else server.url
    return Tencent("the-id", SECRET, **({"sdk_app_id": "1400006666", "base_url": url, "timeout": 5} | changes))


def said(code: str, **changes: object) -> dict[str, Any]:
    status = {"SerialNo": SERIAL, "PhoneNumber": PHONE, "Fee": 1, "SessionContext": SEND_ID, "Code": code}
    return {"Response": {"SendStatusSet": [status | {"Message": f"{NUMBER} {CODE}", "IsoCode": "CN"} | changes]}}


def failed(code: str) -> dict[str, Any]:
    return {"Response": {"Error": {"Code": code, "Message": f"{NUMBER} {CODE}"}, "RequestId": "r"}}


def rows(*rows: object) -> Act:
    return reply({"Response": {"PullSmsSendStatusSet": rows, "RequestId": "r"}})


def row(**changes: object) -> dict[str, object]:
    return {
        "UserReceiveTime": 1620734188,
        "CountryCode": "86",
        "SubscriberNumber": NUMBER,
        "PhoneNumber": PHONE,
        "SerialNo": SERIAL,
        "ReportStatus": "SUCCESS",
        "Description": "DELIVRD",
        "SessionContext": "",
    } | changes


class Sdk:
    """The official SDK at a fixed time, with a server on loopback."""

    def __init__(self, server: WireServer, monkeypatch: pytest.MonkeyPatch, token: str | None = None) -> None:
        monkeypatch.setattr(time, "time", NOW.timestamp)
        http = HttpProfile(protocol="http", endpoint=server.url.removeprefix("http://"))
        profile = ClientProfile(httpProfile=http)
        self.client = SmsClient(Credential("the-id", SECRET, token), "ap-guangzhou", profile)


def signed(request: Request) -> dict[str, str]:
    """Return the signed parts of a request, and the parts that Tencent Cloud uses."""
    names = [
        *("content-type", "host", "authorization"),
        *("x-tc-action", "x-tc-timestamp", "x-tc-version", "x-tc-region", "x-tc-token"),
    ]
    return {name: request.headers[name] for name in names if name in request.headers}


HARD = [
    ("验证码", "大鱼 😀"),
    ("a b", "+~*%"),
    ("", "'\"\\/<>&"),
    ("\u00e9\u2028", "x" * 500),
]


class TestSending:
    @pytest.mark.parametrize("values", HARD)
    @pytest.mark.parametrize("token", [None, "temporary/token+=="])
    def test_makes_the_sdks_request_and_signature(
        self, transport: AnyTransport, monkeypatch: pytest.MonkeyPatch, values: tuple[str, str], token: str | None
    ) -> None:
        template = Template("585014", "阿里 大鱼+~", {"code": "{code}", "b": "", "c": ""})
        with WireServer(reply(said("Ok"))) as server:
            params = {"code": CODE, "b": values[0], "c": values[1]}
            drive(gateway_at(server, token=token).send(message(template=template, params=params)), transport)
            theirs = SendSmsRequest()
            theirs.PhoneNumberSet, theirs.SmsSdkAppId, theirs.TemplateId = [PHONE], "1400006666", "585014"
            theirs.SignName, theirs.TemplateParamSet, theirs.SessionContext = (
                template.sign_name,
                [CODE, *values],
                SEND_ID,
            )
            Sdk(server, monkeypatch, token).client.SendSms(theirs)
        ours, sdks = server.requests
        assert ours.line == sdks.line == "POST / HTTP/1.1"
        assert ours.body == sdks.body
        assert signed(ours) == signed(sdks)
        assert ours.headers["x-tc-timestamp"] == str(int(NOW.timestamp()))
        assert "x-tc-token" in ours.headers or token is None
        assert SECRET.encode() not in ours.raw

    def test_is_accepted_with_the_serial_number(self, transport: AnyTransport) -> None:
        with WireServer(reply(said("Ok"))) as server:
            receipt = drive(gateway_at(server).send(message()), transport)
        assert receipt == Receipt("tencent", SERIAL)
        assert server.requests[0].json == {
            "PhoneNumberSet": [PHONE],
            "SmsSdkAppId": "1400006666",
            "TemplateId": "585014",
            "SignName": "阿里大鱼",
            "TemplateParamSet": [CODE, '大鱼 "x" <&>+~*%😀'],
            "SessionContext": SEND_ID,
        }

    def test_passes_the_variables_in_the_templates_order(self) -> None:
        template = Template("1", "签名", {"product": "p", "code": "{code}", "minutes": "{minutes}"})
        what = message(template=template, params=template.sms_params(CODE))
        request = next(gateway_at("https://x.example").send(what))
        assert isinstance(request, HttpRequest)
        assert json.loads(request.body or b"")["TemplateParamSet"] == ["p", CODE, "5"]

    def test_signs_by_this_hosts_clock_where_a_message_has_no_time(self) -> None:
        request = next(gateway_at("https://x.example").send(message(sent_at=None)))
        assert isinstance(request, HttpRequest)
        assert abs(int(request.headers["X-TC-Timestamp"]) - time.time()) < 60

    @pytest.mark.parametrize("code", REFUSALS)
    @pytest.mark.parametrize("envelope", [said, failed])
    def test_refuses_with_each_documented_code_in_either_envelope(
        self, transport: AnyTransport, code: str, envelope: Any
    ) -> None:
        with WireServer(reply(envelope(code))) as server:
            error = refused(lambda: drive(gateway_at(server).send(message()), transport), "tencent")
        assert (error.category, error.gateway_code) == (REFUSALS[code].category, code)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("pattern", "category"),
        [
            (r"LimitExceeded\.PhoneNumber(?!Count)\w+|LimitExceeded\.DeliveryFrequencyLimit", "rate_limit"),
            (r"LimitExceeded\.(App\w+|Daily)Limit|LimitExceeded\.Global\w+|RequestLimitExceeded.*", "quota"),
            (r"UnauthorizedOperation(?!\.Individual).*|AuthFailure(?!\.InvalidAuth).*|.*Insufficient.*", "account"),
            (r"InvalidParameterValue\.IncorrectPhoneNumber|.*PhoneNumberInBlacklist", "number"),
            (r"FailedOperation\.(Template|Signature)\w+|InvalidParameterValue\.Template\w+", "configuration"),
            (r"UnsupportedOperation\..*|.*RegionInBlacklist", "configuration"),
        ],
    )
    def test_says_who_must_act(self, pattern: str, category: str) -> None:
        found = {REFUSALS[code].category for code in REFUSALS if re.fullmatch(pattern, code)}
        assert found == {category}

    def test_knows_the_codes_that_the_sdk_does(self) -> None:
        known = {value for name, value in vars(errorcodes).items() if name.isupper() and isinstance(value, str)}
        assert known <= set(REFUSALS) | set(tencent_errors.UNCERTAIN)
        of_the_product = {
            code
            for code in REFUSALS | tencent_errors.UNCERTAIN
            if "." in code and not re.match("AuthFailure|Request", code)
        }
        assert of_the_product <= known

    @pytest.mark.parametrize(
        "code",
        [
            *tencent_errors.UNCERTAIN,
            *("InternalError.New", "Something.New", "ok", "", "0"),
        ],
    )
    @pytest.mark.parametrize("envelope", [said, failed])
    def test_is_uncertain_with_any_other_code(self, transport: AnyTransport, code: str, envelope: Any) -> None:
        with WireServer(reply(envelope(code))) as server:
            assert drive(gateway_at(server).send(message()), transport) == UNCERTAIN
        assert len(server.requests) == 1

    @pytest.mark.parametrize("code", ["Something.New", "", None, f"{NUMBER} {CODE}"])
    def test_is_uncertain_where_one_envelope_contradicts_the_other(self, transport: AnyTransport, code: Any) -> None:
        both = {"Response": said("Ok")["Response"] | failed(code)["Response"]}
        with WireServer(reply(both)) as server:
            assert drive(gateway_at(server).send(message()), transport) == UNCERTAIN

    def test_reads_the_code_of_a_4xx(self, transport: AnyTransport) -> None:
        with WireServer(reply(failed("AuthFailure.SignatureFailure"), 403)) as server:
            error = refused(lambda: drive(gateway_at(server).send(message()), transport), "tencent")
        assert (error.category, error.gateway_code) == ("account", "AuthFailure.SignatureFailure")


class TestTracing:
    def trace(self, server: WireServer, transport: AnyTransport, message_id: str = SERIAL) -> Delivery:
        return drive(gateway_at(server).trace(PHONE, SEND_ID, NOW, message_id), transport)

    def test_makes_the_sdks_request(self, transport: AnyTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        with WireServer(rows()) as server:
            self.trace(server, transport)
            theirs = PullSmsSendStatusByPhoneNumberRequest()
            theirs.BeginTime, theirs.Offset, theirs.Limit = int(NOW.timestamp()) - 600, 0, 100
            theirs.PhoneNumber, theirs.SmsSdkAppId = PHONE, "1400006666"
            Sdk(server, monkeypatch).client.PullSmsSendStatusByPhoneNumber(theirs)
        ours, sdks = server.requests
        assert ours.body == sdks.body
        assert ours.headers["x-tc-action"] == sdks.headers["x-tc-action"]
        assert abs(int(ours.headers["x-tc-timestamp"]) - datetime.now(UTC).timestamp()) < 60

    def test_finds_the_row_by_serial_number_or_by_session(self, transport: AnyTransport) -> None:
        mine = row(ReportStatus="FAIL", Description="MK:0001")
        with WireServer(rows(row(SerialNo="other"), mine), rows(row(SerialNo="", SessionContext=SEND_ID))) as server:
            found = self.trace(server, transport)
            by_session = self.trace(server, transport, "")
        received_at = datetime(2021, 5, 11, 11, 56, 28, tzinfo=UTC)
        assert found.state == "failed"
        assert by_session == Delivery(
            state="delivered", gateway="tencent", result_code="DELIVRD", received_at=received_at
        )

    @pytest.mark.parametrize(
        ("found", "message_id", "state"),
        [
            ([], SERIAL, "pending"),
            ([], "", "unknown"),
            ([row(SerialNo="")], "", "unknown"),
            ([row(ReportStatus=None)], SERIAL, "pending"),
            ([row(ReportStatus="NEW")], SERIAL, "unknown"),
            ([None, 3, row(UserReceiveTime="soon")], SERIAL, "delivered"),
        ],
    )
    def test_says_what_is_known(self, transport: AnyTransport, found: list[Any], message_id: str, state: str) -> None:
        with WireServer(rows(*found)) as server:
            assert self.trace(server, transport, message_id).state == state

    def test_raises_where_the_gateway_refuses_to_say(self, transport: AnyTransport) -> None:
        acts = [
            reply(failed("AuthFailure.SecretIdNotFound")),
            reply(failed("Something.New")),
            reply("", 401),
            reply(failed("InternalError.Timeout")),
        ]
        with WireServer(*acts) as server:
            categories = [refused(lambda: self.trace(server, transport), "tencent").category for _ in acts[:3]]
            assert self.trace(server, transport).state == "unknown"
        assert categories == ["account", "request", "account"]


class TestReceipts:
    def push(self, body: object) -> Receipts:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return gateway_at("https://x.example").receipts(Push("https://me.example/secret", {}, data))

    def test_are_read_and_thanked_for(self) -> None:
        sample = {
            "user_receive_time": "2015-10-17 08:03:04",
            "nationcode": "86",
            "mobile": NUMBER,
            "report_status": "SUCCESS",
            "errmsg": "DELIVRD",
            "description": "用户短信送达成功",
            "sid": SERIAL,
        }
        read = self.push([sample, sample | {"report_status": "FAIL", "errmsg": "MK:0001"}])
        received_at = datetime(2015, 10, 17, 0, 3, 4, tzinfo=UTC)
        delivered = Delivery(
            state="delivered",
            gateway="tencent",
            result_code="DELIVRD",
            received_at=received_at,
            phone=PHONE,
            message_id=SERIAL,
        )
        assert read.deliveries[0] == delivered
        assert read.deliveries[1].state == "failed"
        assert (read.status, json.loads(read.body)) == (200, {"result": 0, "errmsg": "OK"})
        assert NUMBER not in repr(read)

    def test_of_a_time_that_utc_has_not_lose_the_time_alone(self) -> None:
        row = {"nationcode": "86", "mobile": NUMBER, "report_status": "SUCCESS", "sid": SERIAL}
        (delivery,) = self.push([row | {"user_receive_time": "0001-01-01 07:59:59"}]).deliveries
        assert (delivery.state, delivery.received_at) == ("delivered", None)

    @pytest.mark.parametrize(
        "row",
        [
            None,
            [],
            {},
            {"sid": SERIAL},
            {"sid": SERIAL, "nationcode": "86", "mobile": "x"},
            {"sid": "a b", "nationcode": "86", "mobile": NUMBER},
            {"sid": 7, "nationcode": "86", "mobile": NUMBER},
        ],
    )
    def test_of_nobody_are_left_out(self, row: object) -> None:
        assert self.push([row]).deliveries == ()

    @pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"\xff", b"[" * 100_000])
    def test_that_are_none_are_refused(self, body: bytes) -> None:
        read = self.push(body)
        assert (read.deliveries, read.status) == ((), 400)


class TestSettings:
    def test_are_the_documents_by_default(self) -> None:
        gateway = Tencent("the-id", SECRET, sdk_app_id="1400006666")
        assert (gateway.name, gateway.can_trace, gateway.knows_message_id) == ("tencent", True, True)
        assert repr(gateway) == "Tencent(base_url='https://sms.tencentcloudapi.com', timeout=(3, 10))"
        gateway.check(TEMPLATE)

    @pytest.mark.parametrize("field", ["secret_id", "secret_key", "sdk_app_id", "region", "token"])
    @pytest.mark.parametrize("value", ["", "a\r\nX: y", " a", "秘密", b"a", 7])
    def test_refuse_what_no_header_can_carry(self, field: str, value: Any) -> None:
        settings = {"secret_id": "id", "secret_key": "key", "sdk_app_id": "1"} | {field: value}
        with pytest.raises(ConfigurationError, match=f"{field} "):
            Tencent(**settings)

    def test_refuse_an_address_that_is_not_safe(self) -> None:
        with pytest.raises(ConfigurationError, match="base_url "):
            gateway_at("http://sms.example")
