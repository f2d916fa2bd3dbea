"""Tencent Cloud's calls, tested with its official SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from push_receiver import Receiver, receiving
from sandbox_client import Client, Clock
from tencent_client import TencentCloud, TencentCloudSDKException

from otpkit.gateways.tencent import signing
from otpkit.sandbox import Fault, Sandbox, running
from otpkit.sandbox.providers.shared import time_text


@pytest.fixture
def tencent(client: Client) -> TencentCloud:
    return TencentCloud(client)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("sign", ["TC3-HMAC-SHA256", "HmacSHA256", "HmacSHA1"])
def test_sdk_makes_each_call_with_each_signature(client: Client, sign: str, method: str) -> None:
    tencent = TencentCloud(client, sign=sign, method=method, token="temporary")
    [status] = tencent.send()
    assert (status["Code"], status["Message"]) == ("Ok", "send success")
    client.clock.now += 1
    [row] = tencent.pull_by_number()
    assert tencent.pull() == [row]
    assert (row["SerialNo"], row["ReportStatus"]) == (status["SerialNo"], "SUCCESS")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("sign", ["TC3-HMAC-SHA256", "HmacSHA1"])
def test_sdk_makes_each_call_of_the_older_version(client: Client, sign: str, method: str) -> None:
    """The SDK contains version 2019-07-11 too, whose fields have other names."""
    tencent = TencentCloud(client, sign=sign, method=method)
    app = {"SmsSdkAppid": "1400006666"}
    sms = {"PhoneNumberSet": ["+8613800138000"], "TemplateID": "1110", "Sign": "腾讯云", "TemplateParamSet": ["123456"]}
    [status] = tencent.call_old("SendSms", SessionContext="send-1", **sms, **app)["SendStatusSet"]
    assert (status["Code"], status["SessionContext"]) == ("Ok", "send-1")
    [message] = client.sandbox.messages()
    assert (message.text, message.biz_id) == ("【腾讯云】1=123456", status["SerialNo"])
    client.clock.now += 1
    asked = {"SendDateTime": int(client.clock.now) - 3600, "Offset": 0, "Limit": 10, "PhoneNumber": "+8613800138000"}
    [row] = tencent.call_old("PullSmsSendStatusByPhoneNumber", **asked, **app)["PullSmsSendStatusSet"]
    assert row == {
        "UserReceiveTime": time_text(client.clock.now),
        "UserReceiveUnixTime": int(client.clock.now),
        "NationCode": "86",
        "PurePhoneNumber": "13800138000",
        "PhoneNumber": "+8613800138000",
        "SerialNo": status["SerialNo"],
        "ReportStatus": "SUCCESS",
        "Description": "DELIVRD",
    }
    assert tencent.call_old("PullSmsSendStatus", Limit=10, **app)["PullSmsSendStatusSet"] == [row]


def test_accepted_message_has_the_documented_reply(client: Client, tencent: TencentCloud) -> None:
    first, second = tencent.send("+8613800138000", "13700137000")
    assert first["SerialNo"] != second["SerialNo"]
    assert second == {
        "SerialNo": second["SerialNo"],
        "PhoneNumber": "+8613700137000",
        "Fee": 1,
        "SessionContext": "send-1",
        "Code": "Ok",
        "Message": "send success",
        "IsoCode": "CN",
    }
    shown = client.api("GET", "/api/messages?phone=13800138000").json()[0]
    assert {name: shown[name] for name in ("provider", "channel", "biz_id", "code", "extend", "text", "template")} == {
        "provider": "tencent",
        "channel": "sms",
        "biz_id": first["SerialNo"],
        "code": "123456",
        "extend": "send-1",
        "text": "【腾讯云】1=123456, 2=5",
        "template": "1110",
    }
    assert "Tencent Cloud, SendSms" in client.api("GET", "/").text


@pytest.mark.parametrize(
    ("spelt", "phone", "iso"),
    [
        ("13800138000", "13800138000", "CN"),
        ("8613800138000", "13800138000", "CN"),
        ("008613800138000", "13800138000", "CN"),
        ("+85251234567", "+85251234567", "DEF"),
        ("+12125551234", "+12125551234", "DEF"),
    ],
)
def test_number_is_taken_as_documented(client: Client, tencent: TencentCloud, spelt: str, phone: str, iso: str) -> None:
    [status] = tencent.send(spelt)
    assert (status["Code"], status["IsoCode"]) == ("Ok", iso)
    assert client.sandbox.messages()[0].phone == phone
    assert client.sandbox.stats()["tencent.SendSms"] == {"total": 1, "by_phone": {phone: 1}}


def test_number_that_is_none_is_refused_by_itself(client: Client, tencent: TencentCloud) -> None:
    statuses = tencent.send("+8613800138000", "+86138", "13700137000")
    bad = "InvalidParameterValue.IncorrectPhoneNumber"
    assert [status["Code"] for status in statuses] == ["Ok", bad, "Ok"]
    assert (statuses[1]["SerialNo"], statuses[1]["Fee"]) == ("", 0)
    assert [message.phone for message in client.sandbox.messages()] == ["13700137000", "13800138000"]
    assert [status["Code"] for status in tencent.send("x")] == [bad]


def test_numbers_of_both_kinds_are_refused(client: Client, tencent: TencentCloud) -> None:
    codes = {status["Code"] for status in tencent.send("+8613800138000", "+85251234567")}
    assert codes == {"UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber"}
    assert client.sandbox.messages() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PhoneNumberSet": []}, "MissingParameter.EmptyPhoneNumberSet"),
        ({"PhoneNumberSet": ["13800138000"] * 201}, "LimitExceeded.PhoneNumberCountLimit"),
        ({"PhoneNumberSet": [13800138000]}, "InvalidParameter"),
        ({"SmsSdkAppId": None}, "MissingParameter"),
        ({"TemplateId": ""}, "MissingParameter"),
        ({"SignName": None}, "MissingParameter"),
        ({"TemplateParamSet": [1]}, "InvalidParameter"),
    ],
)
def test_what_is_wrong_with_a_call_has_its_code(
    client: Client, tencent: TencentCloud, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(TencentCloudSDKException) as caught:
        tencent.send(**changes)
    assert caught.value.code == code
    assert client.sandbox.messages() == []


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ({"secret_id": "stranger"}, "AuthFailure.SecretIdNotFound"),
        ({"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
    ],
)
@pytest.mark.parametrize("sign", ["TC3-HMAC-SHA256", "HmacSHA256"])
def test_strangers_are_turned_away(client: Client, sign: str, credentials: dict[str, str], code: str) -> None:
    with pytest.raises(TencentCloudSDKException) as caught:
        TencentCloud(client, sign=sign, **credentials).send()
    assert caught.value.code == code


BODY = json.dumps({"PhoneNumberSet": ["13800138000"], "SmsSdkAppId": "1", "TemplateId": "1", "SignName": "一"}).encode()


def post(client: Client, body: bytes = BODY, *, after: int = 0, **changes: str | None) -> str:
    """Change a correctly signed request, send it, and return the code of its error or status."""
    host, now = f"{client.address.host}:{client.address.port}", int(client.clock.now) + after
    signed = signing.authorization("sandbox", "sandbox-secret", service="sms", host=host, body=BODY, timestamp=now)
    headers = {
        "Content-Type": "application/json",
        "Authorization": signed,
        "X-TC-Action": "SendSms",
        "X-TC-Version": "2021-01-11",
        "X-TC-Timestamp": str(now),
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    reply = requests.post(client.address.base_url, data=body, headers=headers, timeout=5)
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()["Response"]
    code: str = answer["Error"]["Code"] if "Error" in answer else answer["SendStatusSet"][0]["Code"]
    return code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "Ok"),
        ({"body": BODY + b" "}, "AuthFailure.SignatureFailure"),
        ({"body": b"[]"}, "InvalidParameter"),
        ({"Content_Type": "application/json; charset=utf-8"}, "AuthFailure.SignatureFailure"),
        ({"Authorization": None}, "AuthFailure.InvalidAuthorization"),
        ({"Authorization": "TC3-HMAC-SHA256 Credential=sandbox"}, "AuthFailure.InvalidAuthorization"),
        ({"X_TC_Timestamp": None}, "MissingParameter"),
        ({"X_TC_Timestamp": "today"}, "MissingParameter"),
        ({"after": 301}, "AuthFailure.SignatureExpire"),
        ({"after": -301}, "AuthFailure.SignatureExpire"),
        ({"after": 299}, "Ok"),
        ({"X_TC_Action": "AddSmsTemplate"}, "InvalidAction"),
        ({"X_TC_Version": "2013-01-01"}, "NoSuchVersion"),
    ],
)
def test_request_changed_on_its_way_is_refused(client: Client, changes: dict[str, Any], code: str) -> None:
    assert post(client, **changes) == code
    assert len(client.sandbox.messages()) == (code == "Ok")


def test_templates_have_numbered_variables() -> None:
    clock = Clock()
    sandbox = Sandbox(clock=clock, templates={"1110": "{1}为您的验证码，${2}分钟内有效"}, sign_names={"腾讯云"})
    with running(sandbox) as address:
        tencent = TencentCloud(Client(address, sandbox, clock))
        assert tencent.send()[0]["Code"] == "Ok"
        assert tencent.send(TemplateId="2")[0]["Code"] == "FailedOperation.TemplateIncorrectOrUnapproved"
        assert tencent.send(SignName="别人")[0]["Code"] == "FailedOperation.SignatureIncorrectOrUnapproved"
        few = tencent.send(TemplateParamSet=["1"])[0]["Code"]
        assert few == "FailedOperation.TemplateParamSetNotMatchApprovedTemplate"
    assert [(message.text, message.code) for message in sandbox.messages()] == [
        ("【腾讯云】123456为您的验证码，5分钟内有效", "123456")
    ]


# Receipts


def test_receipts_are_pulled_once(client: Client, tencent: TencentCloud) -> None:
    serials = [tencent.send(f"+861370000{n:04d}")[0]["SerialNo"] for n in range(5)]
    assert tencent.pull() == []
    client.clock.now += 1
    pulled = [[row["SerialNo"] for row in tencent.pull(Limit=2)] for _ in range(4)]
    assert pulled == [serials[:2], serials[2:4], serials[4:], []]


def test_receipt_has_the_documented_fields(client: Client, tencent: TencentCloud) -> None:
    serial = tencent.send("+85251234567")[0]["SerialNo"]
    client.clock.now += 1
    assert tencent.pull_by_number("+85251234567") == [
        {
            "UserReceiveTime": int(client.clock.now),
            "CountryCode": "852",
            "SubscriberNumber": "51234567",
            "PhoneNumber": "+85251234567",
            "SerialNo": serial,
            "ReportStatus": "SUCCESS",
            "Description": "DELIVRD",
            "SessionContext": "send-1",
        }
    ]
    assert tencent.pull_by_number("+85251234567", BeginTime=int(client.clock.now) + 1) == []
    assert tencent.pull_by_number("+85251234567", EndTime=int(client.clock.now) - 10) == []
    assert tencent.pull_by_number("+8613800138000") == []


@pytest.mark.parametrize("changes", [{"Limit": 0}, {"Limit": 101}])
def test_limit_is_at_most_hundred(tencent: TencentCloud, changes: dict[str, Any]) -> None:
    for call in (tencent.pull, tencent.pull_by_number):
        with pytest.raises(TencentCloudSDKException) as caught:
            call(**changes)
        assert caught.value.code == "InvalidParameterValue"


@pytest.fixture
def receiver(client: Client) -> Iterator[Receiver]:
    with receiving() as receiver:
        client.sandbox.push_receipts_to(receiver.url)
        yield receiver
        client.sandbox.push_receipts_to(None)


def test_receipts_are_pushed_as_an_array(client: Client, tencent: TencentCloud, receiver: Receiver) -> None:
    serial = tencent.send("+8613900100071")[0]["SerialNo"]
    client.clock.now += 1
    assert receiver.wait_for(1) == [
        {
            "user_receive_time": "2027-01-15 12:00:01",
            "nationcode": "86",
            "mobile": "13900100071",
            "report_status": "FAIL",
            "errmsg": "UNDELIV",
            "description": "用户短信送达失败",
            "sid": serial,
        }
    ]
    assert receiver.pushes[0].path == "/hook/secret?via=tencent"


# Faults


def look(tencent: TencentCloud, phone: str) -> str:
    try:
        return str(tencent.send(phone)[0]["Code"])
    except TencentCloudSDKException as exc:
        return str(exc.code)


@pytest.mark.parametrize(
    ("phone", "sent", "seen"),
    [
        ("+8613900100010", False, "ServerNetworkError"),
        ("+8613900100011", True, "ServerNetworkError"),
        ("+8613900100020", False, "RequestLimitExceeded"),
        ("+8613900100030", False, "InternalError.OtherError"),
        ("+8613900100031", True, "InternalError.OtherError"),
        ("+8613900100040", False, "ClientNetworkError"),
        ("+8613900100050", False, "ChunkedEncodingError"),
        ("+8613900100071", True, "Ok"),
        ("+8613900100090", False, "Ok"),
        ("+8613900050001", False, "FailedOperation.InsufficientBalanceInSmsPackage"),
        ("+8613900050009", False, "InvalidParameterValue.IncorrectPhoneNumber"),
    ],
)
def test_number_plays_its_fault(client: Client, tencent: TencentCloud, phone: str, sent: bool, seen: str) -> None:
    assert look(tencent, phone) == seen
    assert len(client.sandbox.messages()) == sent


def test_queued_fault_is_played_once(client: Client, tencent: TencentCloud) -> None:
    limit = "LimitExceeded.PhoneNumberDailyLimit"
    client.sandbox.add_fault(Fault("reject", api="tencent.SendSms", code=limit))
    assert look(tencent, "+8613800138000") == limit
    assert look(tencent, "+8613800138000") == "Ok"
    assert Fault("reject", api="tencent.SendSms").code == "FailedOperation.InsufficientBalanceInSmsPackage"
    client.sandbox.add_fault(Fault("throttled", api="tencent.PullSmsSendStatusByPhoneNumber"))
    with pytest.raises(TencentCloudSDKException):
        tencent.pull_by_number()
    assert tencent.pull_by_number() == []
