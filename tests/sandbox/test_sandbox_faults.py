"""Faults on demand over HTTP: by a phone number, and queued through the interface."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlencode

import pytest
import requests
from sandbox_client import Client, lookup, sms

from otpkit.sandbox import Fault

SEND_CODES = [
    "50001",
    "50002",
    "50003",
    "50004",
    "70001",
    "70002",
    "50009",
    "50010",
    "70003",
    "99998",
    "12345",
]
QUERY_CODES = ["50001", "50009", "80001", "80002", "99998", "50003", "12345"]

# The name of each fault, its number, whether the message is sent, and the outcome for the client.
SPOILT = [
    ("http_500", "13900100011", True, "500 InternalError"),
    ("http_500", "13900100010", False, "500 InternalError"),
    ("throttled", "13900100020", False, "403 Throttled"),
    ("success_false", "13900100031", True, "success:false 0 成功"),
    ("success_false", "13900100030", False, "success:false 0 成功"),
    ("drop", "13900100041", True, "ConnectionError"),
    ("drop", "13900100040", False, "ConnectionError"),
    ("half", "13900100051", True, "ChunkedEncodingError"),
    ("half", "13900100050", False, "ChunkedEncodingError"),
    ("not_json", "13900100061", True, "not JSON"),
    ("not_json", "13900100060", False, "not JSON"),
    ("late", "13900100100", True, "success:true 0 成功"),
    ("receipt_failed", "13900100071", True, "success:true 0 成功"),
    ("receipt_never", "13900100081", True, "success:true 0 成功"),
    ("lost", "13900100090", False, "success:true 0 成功"),
]
QUERY_SPOILT = [row for row in SPOILT if row[0] not in {"receipt_failed", "receipt_never", "lost", "late"}]


def look(client: Client, api: str, phone: str) -> str:
    """Make a call, and return its outcome in words."""
    try:
        reply = client.call(api, sms(phone) if api == "sendSms" else lookup(phone))
    except requests.RequestException as exc:
        return type(exc).__name__
    try:
        body = reply.json()
    except requests.JSONDecodeError:
        return "not JSON"
    if reply.status_code != 200:
        assert reply.headers["X-Ca-Error-Code"] == body["errorCode"]
        assert reply.headers["X-Ca-Error-Message"] == body["errorMessage"]
        return f"{reply.status_code} {body['errorCode']}"
    if "values" in body:
        return f"{len(body['values'])} rows"
    return f"success:{str(body['success']).lower()} {body['code']} {body['msg']}"


def queue(client: Client, fault: str, **fields: object) -> None:
    reply = client.api("POST", "/api/faults", json={"fault": fault, **fields})
    assert reply.status_code == 201, reply.text


@pytest.mark.parametrize("code", SEND_CODES)
def test_a_number_rejects_with_the_code_that_it_spells(client: Client, code: str) -> None:
    body = client.send(f"139000{code}").json()
    assert (body["success"], body["code"], body["model"]) == (False, code, "")
    assert body["msg"]
    assert client.sent(f"139000{code}") == []


@pytest.mark.parametrize("code", QUERY_CODES)
def test_a_number_rejects_its_query_with_the_code_that_it_spells(client: Client, code: str) -> None:
    phone = f"139002{code}"
    assert client.send(phone).json()["success"] is True
    body = client.query(phone).json()
    assert (body["success"], body["code"], set(body)) == (False, code, {"success", "code", "msg"})


@pytest.mark.parametrize("code", SEND_CODES)
def test_a_queued_rejection_has_its_code(client: Client, code: str) -> None:
    queue(client, "reject", code=code, api="sendSms")
    assert client.send().json()["code"] == code
    assert client.sent() == []


@pytest.mark.parametrize("code", QUERY_CODES)
def test_a_queued_rejection_of_a_query_has_its_code(client: Client, code: str) -> None:
    queue(client, "reject", code=code, api="querySmsDetail")
    assert client.query().json()["code"] == code


def test_the_two_calls_word_a_code_as_their_tables_do(client: Client) -> None:
    assert client.send("1").json()["msg"] == "手机号码格式错误"
    assert client.query("1").json()["msg"] == "手机号码格式非法"


@pytest.mark.parametrize(("fault", "phone", "sent", "seen"), SPOILT)
def test_a_number_plays_its_fault(client: Client, fault: str, phone: str, sent: bool, seen: str) -> None:
    assert look(client, "sendSms", phone) == seen
    assert len(client.sent(phone)) == sent, fault


@pytest.mark.parametrize(("fault", "phone", "sent", "seen"), SPOILT)
def test_a_queued_fault_is_played_once(client: Client, fault: str, phone: str, sent: bool, seen: str) -> None:
    queue(client, fault, sent=sent, **({"delay": 0} if fault == "late" else {}))
    assert look(client, "sendSms", "13800138000") == seen
    assert len(client.sent()) == sent
    assert client.send().json()["success"] is True


@pytest.mark.parametrize(("fault", "phone", "sent", "seen"), QUERY_SPOILT)
def test_a_query_can_be_spoilt_too(client: Client, fault: str, phone: str, sent: bool, seen: str) -> None:
    number = phone.replace("139001", "139003")
    assert client.send(number).json()["success"] is True
    assert look(client, "querySmsDetail", number) == seen
    queue(client, fault, api="querySmsDetail")
    assert look(client, "querySmsDetail", "13800138000") == seen
    assert look(client, "querySmsDetail", "13800138000") == "0 rows"


@pytest.mark.parametrize(
    "phone", ["13900000000", "13900001234", "13900100000", "13900199999", "13900300071", "13900400010"]
)
def test_a_number_beside_the_table_is_an_ordinary_one(client: Client, phone: str) -> None:
    assert client.send(phone).json()["success"] is True
    assert len(client.sent(phone)) == 1


@pytest.mark.parametrize(("phone", "after_a_day"), [("13900100071", 2), ("13900100081", 1), ("13800138000", 3)])
def test_a_number_decides_how_its_receipt_turns_out(client: Client, phone: str, after_a_day: int) -> None:
    client.send(phone)
    assert client.sent(phone)[0]["sms_status"] == 1
    client.clock.now += 3600
    assert client.sent(phone)[0]["sms_status"] == after_a_day


def test_in_one_call_each_message_has_the_receipt_of_its_own_number(client: Client) -> None:
    client.send("13900100071,13800138000,13900100081")
    client.clock.now += 60
    assert {message.phone: message.status(client.clock.now) for message in client.sandbox.messages()} == {
        "13900100071": "failed",
        "13800138000": "delivered",
        "13900100081": "waiting",
    }


def test_in_one_call_a_number_spoils_the_answer_for_all(client: Client) -> None:
    assert client.send("13800138000,13900050002").json()["code"] == "50002"
    assert client.sandbox.messages() == []


def test_a_queued_receipt_fault_fails_the_message(client: Client) -> None:
    queue(client, "receipt_failed")
    client.send()
    client.clock.now += 1
    row = client.sent()[0]
    assert (row["sms_status"], row["result_code"]) == (2, "UNDELIV")


def test_a_late_answer_comes_late_and_whole(client: Client) -> None:
    queue(client, "late", delay=0.3)
    before = time.monotonic()
    assert client.send().json()["success"] is True
    assert time.monotonic() - before >= 0.3


def test_a_client_that_waits_no_longer_finds_its_message_sent(client: Client) -> None:
    queue(client, "late", delay=600, api="sendSms")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{client.address.gateway_url}/sendSms", params=sms(), headers=client.headers, timeout=(5, 0.1))
    assert len(client.sent()) == 1


def test_any_fault_can_be_held_back(client: Client) -> None:
    queue(client, "drop", delay=0.2, sent=False)
    before = time.monotonic()
    assert look(client, "sendSms", "13800138000") == "ConnectionError"
    assert time.monotonic() - before >= 0.2
    assert client.sent() == []


def raw_call(client: Client, phone: str) -> bytes:
    """Write a request on a bare socket, and read until the server closes it."""
    request = f"GET /gw/alidayu/sendSms?{urlencode(sms(phone))} HTTP/1.1\r\nHost: localhost\r\n"
    request += "".join(f"{name}: {value}\r\n" for name, value in client.headers.items())
    with socket.create_connection((client.address.host, client.address.port), timeout=5) as connection:
        connection.sendall(f"{request}\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_dropped_connection_carries_not_one_byte(client: Client) -> None:
    assert raw_call(client, "13900100041") == b""
    assert len(client.sent("13900100041")) == 1


def test_half_an_answer_promises_more_than_it_brings(client: Client) -> None:
    head, _, body = raw_call(client, "13900100051").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    promised = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    assert 0 < len(body) < int(promised.split(b":")[1])
    assert b'{"code": "0"'.startswith(body[:12])


def test_faults_are_played_in_order_and_as_often_as_asked(client: Client) -> None:
    queue(client, "reject", code="50003", times=2)
    queue(client, "http_500")
    assert [look(client, "sendSms", "13800138000") for _ in range(4)] == [
        "success:false 50003 账户信息不存在",
        "success:false 50003 账户信息不存在",
        "500 InternalError",
        "success:true 0 成功",
    ]


def test_a_fault_for_one_phone_waits_for_it_in_any_spelling(client: Client) -> None:
    queue(client, "reject", phone="+86 137-0013-7000")
    assert client.send().json()["success"] is True
    assert client.send("13800138000,13700137000").json()["code"] == "50001"


def test_a_fault_for_one_call_leaves_the_other_alone(client: Client) -> None:
    queue(client, "throttled", api="querySmsDetail")
    assert client.send().json()["success"] is True
    assert client.query().status_code == 403


def test_a_fault_for_any_call_takes_the_first(client: Client) -> None:
    queue(client, "throttled", api=None)
    assert client.query().status_code == 403
    assert client.send().status_code == 200


def test_a_fault_of_receipts_is_not_spent_on_a_query(client: Client) -> None:
    queue(client, "lost")
    assert client.query().json()["total_count"] == 0
    assert client.send().json()["success"] is True
    assert client.sent() == []


@pytest.mark.parametrize("params", [{"sms_param": "x"}, {"rec_num": "1"}])
def test_an_invalid_call_gets_its_error_and_spends_no_fault(client: Client, params: dict[str, str]) -> None:
    queue(client, "drop")
    assert client.send(**params).json()["success"] is False
    assert len(client.sandbox.faults()) == 1


def test_a_queued_fault_comes_before_that_of_the_number(client: Client) -> None:
    queue(client, "throttled")
    assert client.send("13900050001").status_code == 403
    assert client.send("13900050001").json()["code"] == "50001"


def test_queued_faults_are_listed_with_what_is_left_of_them(client: Client) -> None:
    queue(client, "reject", times=2, code="50004")
    queue(client, "late", api="querySmsDetail", phone="+8613800138000")
    client.send()
    rejecting = {
        "fault": "reject",
        "times": 1,
        "api": None,
        "phone": None,
        "delay": 0.0,
        "code": "50004",
        "sent": False,
    }
    late = {
        "fault": "late",
        "times": 1,
        "api": "querySmsDetail",
        "phone": "13800138000",
        "delay": 5.0,
        "code": None,
        "sent": True,
    }
    assert client.api("GET", "/api/faults").json() == [rejecting, late]


def test_queued_faults_can_be_cleared(client: Client) -> None:
    queue(client, "drop", times=9)
    assert client.api("DELETE", "/api/faults").json() == {"deleted": 1}
    assert client.api("GET", "/api/faults").json() == []
    assert client.send().json()["success"] is True


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"fault": "explode"}, "explode"),
        ({"fault": ["drop"]}, "Unknown fault"),
        ({}, "missing"),
        ([], "JSON object"),
        ({"fault": "drop", "tiems": 2}, "tiems"),
        ({"fault": "drop", "times": 0}, "times"),
        ({"fault": "drop", "times": True}, "times"),
        ({"fault": "drop", "times": "2"}, "times"),
        ({"fault": "drop", "times": 10_001}, "times"),
        ({"fault": "drop", "api": "ttsCall"}, "ttsCall"),
        ({"fault": "drop", "api": ["sendSms"]}, "api"),
        ({"fault": "lost", "api": "querySmsDetail"}, "only applies to sendSms"),
        ({"fault": "drop", "phone": "1380013800"}, "phone number"),
        ({"fault": "drop", "phone": 13800138000}, "phone number"),
        ({"fault": "late", "delay": -1}, "delay"),
        ({"fault": "late", "delay": 601}, "delay"),
        ({"fault": "late", "delay": True}, "delay"),
        ({"fault": "late", "delay": "1"}, "delay"),
        ({"fault": "drop", "code": "50001"}, "reject"),
        ({"fault": "reject", "code": 50001}, "code"),
        ({"fault": "reject", "code": "0\r\n"}, "code"),
        ({"fault": "drop", "sent": "yes"}, "sent"),
    ],
)
def test_a_fault_that_is_not_known_is_refused_by_name(client: Client, body: object, word: str) -> None:
    reply = client.api("POST", "/api/faults", json=body)
    assert reply.status_code == 422
    assert word in reply.json()["error"]
    assert client.sandbox.faults() == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"fault": "late", "delay": NaN}', b" " * 70_000, b"[" * 50_000])
def test_a_body_that_is_no_fault_at_all_is_refused(client: Client, body: bytes) -> None:
    reply = client.api("POST", "/api/faults", data=body)
    assert reply.status_code == 422
    assert reply.json()["error"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("http_500"), "HTTP 500; not sent"),
        (Fault("http_500", sent=True), "HTTP 500; sent"),
        (Fault("reject", code="50002"), "rejected; not sent; code 50002"),
        (Fault("late", delay=1.5), "the answer comes late; sent; 1.5 s"),
        (Fault("receipt_late"), "accepted, the receipt comes late; 5 s"),
        (Fault("lost"), "accepted, never sent"),
    ],
)
def test_a_fault_says_what_it_does(fault: Fault, words: str) -> None:
    assert fault.in_words == words
