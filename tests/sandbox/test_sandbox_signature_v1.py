"""Aliyun's older clients with signature version 1.0: the official SDK for Python, and requests made by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
import xml.etree.ElementTree as ET
from typing import Any
from unittest import mock
from urllib.parse import quote, urlencode

import pytest
import requests
from alibaba_client import Alibaba
from alibabacloud_tea_openapi import client as tea_openapi
from aliyun_client import Aliyun, CommonRequest, ServerException
from sandbox_client import Client

from otpkit.sandbox import Fault
from otpkit.sandbox.providers.aliyun.signatures import sign, string_to_sign

SMS = {
    "PhoneNumbers": "13800138000",
    "SignName": "阿里 大鱼*~+",
    "TemplateCode": "SMS_585014",
    "TemplateParam": json.dumps({"code": "123456"}),
    "OutId": "1234",
}
CALLS: dict[str, dict[str, Any]] = {
    "SendSms": SMS,
    "SendBatchSms": {
        "PhoneNumberJson": '["13800138000","13700137000"]',
        "SignNameJson": '["一","二"]',
        "TemplateCode": "SMS_585014",
        "TemplateParamJson": '[{"code":"1"},{"code":"2"}]',
    },
    "QuerySendDetails": {"PhoneNumber": "13800138000", "SendDate": "20270115", "PageSize": 10, "CurrentPage": 1},
    "SingleCallByTts": {"CalledNumber": "13800138000", "TtsCode": "TTS_1", "TtsParam": '{"code":"123456"}'},
    "SingleCallByVoice": {"CalledNumber": "13800138000", "VoiceCode": "a.wav"},
    "ClickToDial": {
        "CallerNumber": "13700137000",
        "CalledNumber": "13800138000",
        "CallerShowNumber": "057100000001",
        "CalledShowNumber": "057100000002",
    },
    "QueryCallDetailByCallId": {"CallId": "1^1", "ProdId": 11010000138001, "QueryDate": 1_800_000_000_000},
}


@pytest.fixture
def aliyun(client: Client) -> Aliyun:
    return Aliyun(client)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("action", CALLS)
def test_older_sdk_makes_each_call(client: Client, aliyun: Aliyun, action: str, method: str) -> None:
    reply = aliyun.call(action, CALLS[action], method=method)
    assert (reply["Code"], reply["Message"]) == ("OK", "OK")
    assert len(client.sandbox.messages()) == {"SendBatchSms": 2}.get(action, not action.startswith("Query"))


def test_older_sdk_sees_what_it_sent(client: Client, aliyun: Aliyun) -> None:
    biz_id = aliyun.call("SendSms", SMS)["BizId"]
    client.clock.now += 1
    reply = aliyun.call("QuerySendDetails", {**CALLS["QuerySendDetails"], "BizId": biz_id})
    [row] = reply["SmsSendDetailDTOs"]["SmsSendDetailDTO"]
    assert (row["SendStatus"], row["OutId"], row["Content"]) == (3, "1234", "【阿里 大鱼*~+】code=123456")


def test_parameters_may_be_in_the_form(client: Client, aliyun: Aliyun) -> None:
    request = CommonRequest(domain="x", version="2017-05-25", action_name="SendSms", product="Dysmsapi")
    request.set_method("POST")
    for name, value in SMS.items():
        request.add_body_params(name, value)
    assert json.loads(aliyun.do(request))["Code"] == "OK"
    assert client.sandbox.messages()[0].sign_name == SMS["SignName"]


def test_temporary_credentials_are_signed_along(client: Client) -> None:
    assert Aliyun(client, token="CAIS+the/token==").call("SendSms", SMS)["Code"] == "OK"
    assert get(client, {**signed(client, SecurityToken="one"), "SecurityToken": "two"}) == (
        400,
        "SignatureDoesNotMatch",
    )


def test_todays_sdk_can_sign_as_the_older_ones_do(client: Client) -> None:
    alibaba = Alibaba(client, signature_algorithm="v2")
    date = mock.Mock(return_value=client.utc())
    with mock.patch.object(tea_openapi.Utils, "get_timestamp", date):
        assert alibaba.send()["Code"] == alibaba.say()["Code"] == alibaba.send_batch("13800138000")["Code"] == "OK"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_secrets_of_a_request_are_not_shown(client: Client, method: str) -> None:
    params = signed(client, method, SecurityToken="CAIS+the/token==", OutId="Signature=x")
    where = "params" if method == "GET" else "data"
    assert client.api(method, "/", **{where: params}).json()["Code"] == "OK"
    [message] = client.sandbox.messages()
    assert message.request is not None
    shown = f"{message.request.query}&{message.request.body}"
    assert shown.count("***") == 2
    assert "token" not in shown.replace("SecurityToken=***", "")
    assert quote(params["Signature"], safe="") not in shown
    assert "OutId=Signature%3Dx" in shown


@pytest.mark.parametrize(
    ("credentials", "seen"),
    [
        ({"secret": "wrong"}, (400, "InvalidAccessKeySecret")),  # The SDK turns SignatureDoesNotMatch into this.
        ({"key": "stranger"}, (404, "InvalidAccessKeyId.NotFound")),
    ],
)
def test_older_sdk_tells_what_is_wrong(client: Client, credentials: dict[str, str], seen: tuple[int, str]) -> None:
    with pytest.raises(ServerException) as caught:
        Aliyun(client, **credentials).call("SendSms", SMS)
    assert (caught.value.http_status, caught.value.error_code) == seen
    assert client.sandbox.messages() == []


def test_refusals_and_faults_have_the_same_envelope(client: Client, aliyun: Aliyun) -> None:
    assert aliyun.call("SendSms", {**SMS, "PhoneNumbers": "1"})["Code"] == "isv.MOBILE_NUMBER_ILLEGAL"
    client.sandbox.add_fault(Fault("throttled"))
    with pytest.raises(ServerException) as caught:
        aliyun.call("SendSms", SMS)
    assert caught.value.error_code == "Throttling.User"


# By hand


def encode(text: str) -> str:
    return quote(text, safe="-_.~")


def signed(
    client: Client, method: str = "GET", secret: str = "sandbox-secret", **changes: str | None
) -> dict[str, str]:
    """Return the parameters of a request, signed as in the document. A change to None removes a parameter."""
    said = {
        **SMS,
        "AccessKeyId": "sandbox",
        "Action": "SendSms",
        "Format": "JSON",
        "RegionId": "cn-hangzhou",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": str(uuid.uuid4()),
        "SignatureVersion": "1.0",
        "Timestamp": client.utc(),
        "Version": "2017-05-25",
        **changes,
    }
    params = {name: value for name, value in said.items() if value is not None}
    query = "&".join(f"{encode(name)}={encode(params[name])}" for name in sorted(params))
    text = f"{method}&{encode('/')}&{encode(query)}"
    digest = hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()
    return {**params, "Signature": base64.b64encode(digest).decode()}


def get(client: Client, params: dict[str, str]) -> tuple[int, str]:
    reply = client.api("GET", "/", params=params)
    return reply.status_code, reply.json()["Code"]


def test_document_s_own_example_is_signed_alike() -> None:
    """The example is on the page about signatures: access key `testid`, secret `testsecret`."""
    params = {
        "Timestamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
        "SignatureVersion": "1.0",
    }
    assert sign(string_to_sign("GET", params), "testsecret") == b"OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_request_made_by_hand_is_taken(client: Client) -> None:
    assert get(client, signed(client)) == (200, "OK")
    form = urlencode(signed(client, "POST"))
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert client.api("POST", "/", data=form, headers=headers).json()["Code"] == "OK"
    params = signed(client, "POST")
    query, form = dict(list(params.items())[:7]), dict(list(params.items())[7:])
    assert client.api("POST", "/", params=query, data=form).json()["Code"] == "OK"


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"secret": "wrong"}, (400, "SignatureDoesNotMatch")),
        ({"method": "POST"}, (400, "SignatureDoesNotMatch")),
        ({"AccessKeyId": "stranger"}, (404, "InvalidAccessKeyId.NotFound")),
        ({"SignatureMethod": "HMAC-MD5"}, (400, "InvalidSignatureMethod")),
        ({"SignatureVersion": "2.0"}, (400, "IncompleteSignature")),
        ({"Timestamp": "2027-01-15 04:00:00"}, (400, "InvalidTimeStamp.Format")),
        ({"Timestamp": "2027-01-15T03:44:59Z"}, (400, "InvalidTimeStamp.Expired")),
        ({"Timestamp": "2027-01-15T04:15:01Z"}, (400, "InvalidTimeStamp.Expired")),
        ({"Timestamp": "2027-01-15T03:45:00Z"}, (200, "OK")),
        ({"Version": "2018-05-01"}, (404, "InvalidVersion")),
        ({"Action": "SendCardSms"}, (404, "InvalidAction.NotFound")),
        ({"Action": "sendSms"}, (404, "InvalidAction.NotFound")),
        *(
            ({name: None}, (400, f"Missing{name}"))
            for name in ("AccessKeyId", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp", "Version")
        ),
    ],
)
def test_wrong_request_is_refused_by_its_code(client: Client, changes: dict[str, Any], seen: tuple[int, str]) -> None:
    assert get(client, signed(client, **changes)) == seen
    assert len(client.sandbox.messages()) == (seen == (200, "OK"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PhoneNumbers", "13900139000"),
        ("SignatureNonce", "another"),
        ("Signature", "AAAA"),
        ("Signature", "é"),
        ("Extra", "1"),
        ("SecurityToken", "unsigned"),
    ],
)
def test_request_changed_on_its_way_is_refused(client: Client, name: str, value: str) -> None:
    assert get(client, {**signed(client), name: value}) == (400, "SignatureDoesNotMatch")


def test_signature_left_out_is_missed(client: Client) -> None:
    params = signed(client)
    del params["Signature"]
    assert get(client, params) == (400, "MissingSignature")


def test_replayed_request_is_refused(client: Client) -> None:
    params = signed(client)
    assert (get(client, params), get(client, params)) == ((200, "OK"), (400, "SignatureNonceUsed"))
    assert len(client.sandbox.messages()) == 1


def test_wrong_signature_does_not_spend_a_nonce(client: Client) -> None:
    params = signed(client)
    assert get(client, {**params, "Signature": "AAAA"}) == (400, "SignatureDoesNotMatch")
    assert get(client, params) == (200, "OK")


def test_problem_names_what_the_server_signs(client: Client) -> None:
    params = signed(client, secret="wrong")
    message = client.api("GET", "/", params=params).json()["Message"]
    assert message.endswith(f" server string to sign is:{string_to_sign('GET', params)}")


@pytest.mark.parametrize("query", ["Action=SendSms&a=%FF", "Action=SendSms&Action=SendSms"])
def test_parameters_that_can_not_be_read_are_refused(client: Client, query: str) -> None:
    reply = client.api("GET", f"/?{query}")
    assert (reply.status_code, reply.json()["Code"]) == (400, "InvalidParameter")


def test_answer_is_xml_where_the_format_says_so(client: Client) -> None:
    reply = client.api("GET", "/", params=signed(client, Format="XML"))
    assert reply.headers["content-type"] == "text/xml;charset=utf-8"
    root = ET.fromstring(reply.content)
    assert (root.tag, root.findtext("Code"), root.findtext("BizId")) == (
        "SendSmsResponse",
        "OK",
        client.sandbox.messages()[0].biz_id,
    )
    query = {name: str(value) for name, value in CALLS["QuerySendDetails"].items()}
    send = dict.fromkeys(SMS)
    found = client.api("GET", "/", params=signed(client, **send, **query, Action="QuerySendDetails", Format="xml"))
    rows = ET.fromstring(found.content).findall("SmsSendDetailDTOs/SmsSendDetailDTO")
    assert [row.findtext("Content") for row in rows] == ["【阿里 大鱼*~+】code=123456"]
    wrong = client.api("GET", "/", params=signed(client, secret="wrong", Format="XML"))
    assert ET.fromstring(wrong.content).findtext("Code") == "SignatureDoesNotMatch"


def test_answer_is_json_where_no_format_is_named(client: Client) -> None:
    assert get(client, signed(client, Format=None)) == (200, "OK")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_page_of_another_site_sends_nothing(client: Client, site: str) -> None:
    """The default secret is public, so such a page could sign."""
    reply = client.api("GET", "/", params=signed(client), headers={"Sec-Fetch-Site": site})
    assert (reply.status_code, client.sandbox.messages()) == (403, [])
    url = f"{client.address.base_url}/2010-04-01/Accounts/ACsandbox/Messages.json"
    keys = ("ACsandbox", "sandbox-secret")
    form = {"To": "+8613800138000", "From": "1", "Body": "1", "StatusCallback": client.address.base_url}
    assert requests.post(url, data=form, auth=keys, headers={"Sec-Fetch-Site": site}, timeout=5).status_code == 403
    assert client.sandbox.messages() == []
    assert requests.post(url, data=form, auth=keys, timeout=5).status_code == 201
