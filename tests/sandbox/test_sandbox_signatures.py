"""The credentials of signed calls, with the official SDK, and with requests that are changed after the signature."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime

import pytest
import requests
from alibaba_client import CODE, Alibaba, AlibabaCloudException
from sandbox_client import Client

from otpkit.sandbox.storage import MAX_NONCES, Nonces

SMS = {"PhoneNumbers": "13800138000", "SignName": "签名", "TemplateCode": "SMS_1", "TemplateParam": CODE}


@pytest.fixture
def alibaba(client: Client) -> Alibaba:
    return Alibaba(client)


def signed(client: Client, monkeypatch: pytest.MonkeyPatch, **config: str) -> requests.PreparedRequest:
    """Return the SDK's request for SendSms without sending it."""
    caught: list[requests.PreparedRequest] = []

    def catch(_: requests.Session, request: requests.PreparedRequest, **__: object) -> None:
        caught.append(request)
        raise requests.ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(requests.Session, "send", catch)
        with contextlib.suppress(Exception):
            Alibaba(client, **config).call("SendSms", SMS)
    return caught[0]


def replay(request: requests.PreparedRequest) -> tuple[int, str]:
    with requests.Session() as session:
        reply = session.send(request, timeout=5)
    return reply.status_code, reply.json()["Code"]


def test_a_wrong_secret_does_not_match(client: Client) -> None:
    with pytest.raises(AlibabaCloudException) as caught:
        Alibaba(client, secret="wrong").send()
    assert (caught.value.status_code, caught.value.code) == (400, "SignatureDoesNotMatch")
    assert client.sandbox.messages() == []


def test_an_error_has_alibabas_envelope(client: Client) -> None:
    with pytest.raises(AlibabaCloudException) as caught:
        Alibaba(client, access_key_id="stranger").send()
    assert (caught.value.status_code, caught.value.code) == (404, "InvalidAccessKeyId.NotFound")
    assert set(caught.value.data) >= {"RequestId", "HostId", "Code", "Message", "Recommend"}
    assert caught.value.data["HostId"] == f"{client.address.host}:{client.address.port}"
    assert re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", caught.value.data["RequestId"])


def test_temporary_credentials_are_taken(client: Client) -> None:
    assert Alibaba(client, security_token="temporary").send()["Code"] == "OK"


@pytest.mark.parametrize("off", [-901, 901])
def test_a_date_is_good_for_a_quarter_of_an_hour(client: Client, alibaba: Alibaba, off: int) -> None:
    moved = client.clock.now + off
    date = f"{datetime.fromtimestamp(moved, UTC):%Y-%m-%dT%H:%M:%SZ}"
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.call("SendSms", SMS, **{"x-acs-date": date})
    assert (caught.value.status_code, caught.value.code) == (400, "InvalidTimeStamp.Expired")
    near = f"{datetime.fromtimestamp(moved - off / 901, UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert alibaba.call("SendSms", SMS, **{"x-acs-date": near})["Code"] == "OK"


def test_a_date_that_is_none_is_refused(alibaba: Alibaba) -> None:
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.call("SendSms", SMS, **{"x-acs-date": "today"})
    assert (caught.value.status_code, caught.value.code) == (400, "InvalidTimeStamp.Format")


def test_a_replayed_request_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    request = signed(client, monkeypatch)
    assert replay(request) == (200, "OK")
    assert replay(request) == (400, "SignatureNonceUsed")
    assert len(client.sandbox.messages()) == 1


@pytest.mark.parametrize(
    ("header", "value", "seen"),
    [
        ("Authorization", None, (400, "IncompleteSignature")),
        ("Authorization", "ACS3-HMAC-SHA256 Credential=sandbox", (400, "IncompleteSignature")),
        ("x-acs-date", None, (400, "MissingParameter")),
        ("x-acs-signature-nonce", None, (400, "MissingParameter")),
        ("x-acs-signature-nonce", "another", (400, "SignatureDoesNotMatch")),
        ("x-acs-content-sha256", "0" * 64, (400, "SignatureDoesNotMatch")),
        ("x-acs-security-token", "unsigned", (400, "SignatureDoesNotMatch")),
        ("user-agent", "another", (400, "SignatureDoesNotMatch")),
        ("x-acs-version", "2018-05-01", (404, "InvalidVersion")),
        ("x-acs-version", None, (404, "InvalidVersion")),
        ("x-acs-action", "SendCardSms", (404, "InvalidAction.NotFound")),
        ("x-acs-action", "sendSms", (404, "InvalidAction.NotFound")),
        ("x-acs-action", "QuerySendDetails", (400, "SignatureDoesNotMatch")),
    ],
)
def test_a_request_changed_on_its_way_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch, header: str, value: str | None, seen: tuple[int, str]
) -> None:
    request = signed(client, monkeypatch)
    request.headers.pop(header, None)
    if value is not None:
        request.headers[header] = value
    assert replay(request) == seen
    assert client.sandbox.messages() == []


def test_parameters_changed_on_their_way_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    request = signed(client, monkeypatch)
    request.url = request.url.replace("13800138000", "13900139000")
    assert replay(request) == (400, "SignatureDoesNotMatch")


@pytest.mark.parametrize("query", ["a=%FF", "PhoneNumbers=1&PhoneNumbers=2"])
def test_parameters_that_can_not_be_read_are_refused(client: Client, query: str) -> None:
    headers = {"x-acs-action": "SendSms", "x-acs-version": "2017-05-25"}
    reply = client.api("POST", f"/?{query}", headers=headers)
    assert (reply.status_code, reply.json()["Code"]) == (400, "InvalidParameter")


def test_a_body_changed_on_its_way_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    request = signed(client, monkeypatch)
    request.prepare_body(b"x", None)
    assert replay(request) == (400, "SignatureDoesNotMatch")


def test_a_body_that_is_too_long_is_not_read(client: Client) -> None:
    headers = {"x-acs-action": "SendSms", "x-acs-version": "2017-05-25"}
    assert client.api("POST", "/", headers=headers, data=b"x" * 70_000).status_code == 413


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_methods_are_answered(alibaba: Alibaba, method: str) -> None:
    assert alibaba.call("SendSms", SMS, method=method)["Code"] == "OK"


def test_another_method_is_no_call(alibaba: Alibaba) -> None:
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.call("SendSms", SMS, method="PUT")
    assert (caught.value.status_code, caught.value.code) == (404, "InvalidAction.NotFound")


def test_parameters_may_be_in_a_form(client: Client, alibaba: Alibaba) -> None:
    phone = {"PhoneNumbers": SMS["PhoneNumbers"]}
    rest = {name: value for name, value in SMS.items() if name not in phone}
    assert alibaba.call("SendSms", phone, form=rest)["Code"] == "OK"
    assert client.sandbox.messages()[0].text == "【签名】code=123456, product=alidayu"


def test_strange_characters_are_signed_alike(client: Client, alibaba: Alibaba) -> None:
    out_id = "a b+~*/%'é中\t&=;"
    assert alibaba.call("SendSms", {**SMS, "OutId": out_id, "Empty": ""})["Code"] == "OK"
    assert client.sandbox.messages()[0].extend == out_id


def test_without_a_call_the_address_is_the_inbox(client: Client) -> None:
    assert "No messages yet" in client.api("GET", "/").text
    assert client.api("POST", "/").status_code == 405


def test_nonces_are_forgotten_when_their_dates_are_stale() -> None:
    nonces = Nonces()
    assert nonces.first_use("a", 0)
    assert not nonces.first_use("a", 1800)
    assert nonces.first_use("b", 1801)
    assert nonces.first_use("a", 1801)


def test_no_more_nonces_are_kept_than_there_is_room_for() -> None:
    nonces = Nonces()
    for n in range(MAX_NONCES + 10):
        assert nonces.first_use(str(n), 0)
    assert len(nonces._seen) == MAX_NONCES
    assert not nonces.first_use("10", 0)
