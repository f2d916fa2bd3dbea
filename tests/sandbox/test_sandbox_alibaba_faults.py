"""Faults on demand for each call of Dysmsapi and Dyvmsapi: by a phone number, and queued."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from alibaba_client import PRODUCTS, Alibaba, AlibabaCloudException
from sandbox_client import Client

from otpkit.sandbox import Fault
from otpkit.sandbox.calls import calls_of

Calling = Callable[[Alibaba, str], dict[str, Any]]
DIAL = {"CallerNumber": "13700137000", "CallerShowNumber": "1", "CalledShowNumber": "2"}

SENDING: dict[str, Calling] = {
    "SendSms": lambda alibaba, phone: alibaba.send(phone),
    "SendBatchSms": lambda alibaba, phone: alibaba.send_batch(phone),
    "SingleCallByTts": lambda alibaba, phone: alibaba.say(phone),
    "SingleCallByVoice": lambda alibaba, phone: alibaba.play(phone),
    "ClickToDial": lambda alibaba, phone: alibaba.call("ClickToDial", {**DIAL, "CalledNumber": phone}),
}
ASKING: dict[str, Calling] = {
    "QuerySendDetails": lambda alibaba, phone: alibaba.details(phone),
    "QueryCallDetailByCallId": lambda alibaba, phone: alibaba.call_detail(call_to(alibaba, phone)),
}

# The name of each fault, its number, whether the message is sent, and the outcome for the SDK.
SPOILT = [
    ("http_500", "13900100011", True, "500 InternalError"),
    ("http_500", "13900100010", False, "500 InternalError"),
    ("throttled", "13900100020", False, "400 Throttling.User"),
    ("success_false", "13900100031", True, "isp.SYSTEM_ERROR"),
    ("success_false", "13900100030", False, "isp.SYSTEM_ERROR"),
    ("drop", "13900100041", True, "broken"),
    ("drop", "13900100040", False, "broken"),
    ("half", "13900100051", True, "broken"),
    ("half", "13900100050", False, "broken"),
    ("not_json", "13900100061", True, "broken"),
    ("not_json", "13900100060", False, "broken"),
    ("late", "13900100100", True, "OK"),
    ("receipt_failed", "13900100071", True, "OK"),
    ("receipt_never", "13900100081", True, "OK"),
    ("receipt_twice", "13900100072", True, "OK"),
    ("receipt_late", "13900100082", True, "OK"),
    ("lost", "13900100090", False, "OK"),
]
QUERY_SPOILT = [row for row in SPOILT if not row[0].startswith("receipt_") and row[0] not in {"lost", "late"}]


@pytest.fixture
def alibaba(client: Client) -> Alibaba:
    return Alibaba(client)


def call_to(alibaba: Alibaba, phone: str) -> str:
    """Return the id of an earlier call to a phone."""
    return next((message.biz_id for message in alibaba.client.sandbox.messages(phone)), "1^1")


def look(calling: Calling, alibaba: Alibaba, phone: str = "13800138000") -> str:
    """Make a call, and return its outcome in words."""
    try:
        return str(calling(alibaba, phone)["Code"])
    except AlibabaCloudException as exc:
        return f"{exc.status_code} {exc.code}"
    except Exception:
        return "broken"


def test_the_table_of_calls_is_tested_whole() -> None:
    assert {*SENDING, *ASKING} == set(calls_of("dysmsapi", "dyvmsapi"))


@pytest.mark.parametrize(("fault", "phone", "sent", "seen"), SPOILT)
@pytest.mark.parametrize("api", SENDING)
def test_a_number_plays_its_fault(
    client: Client, alibaba: Alibaba, api: str, fault: str, phone: str, sent: bool, seen: str
) -> None:
    assert look(SENDING[api], alibaba, phone) == seen, fault
    assert len(client.sandbox.messages()) == sent


@pytest.mark.parametrize(("fault", "phone", "sent", "seen"), SPOILT)
@pytest.mark.parametrize("api", SENDING)
def test_a_queued_fault_is_played_once(
    client: Client, alibaba: Alibaba, api: str, fault: str, phone: str, sent: bool, seen: str
) -> None:
    delay = {"delay": 0} if fault == "late" else {}
    assert (
        client.api("POST", "/api/faults", json={"fault": fault, "api": api, "sent": sent, **delay}).status_code == 201
    )
    assert look(SENDING[api], alibaba) == seen, phone
    assert len(client.sandbox.messages()) == sent
    assert look(SENDING[api], alibaba) == "OK"


@pytest.mark.parametrize(("fault", "phone", "sent", "seen"), QUERY_SPOILT)
@pytest.mark.parametrize("api", ASKING)
def test_a_query_can_be_spoilt_too(
    client: Client, alibaba: Alibaba, api: str, fault: str, phone: str, sent: bool, seen: str
) -> None:
    number = phone.replace("139001", "139003")
    assert (alibaba.send(number)["Code"], alibaba.say(number)["Code"]) == ("OK", "OK")
    assert look(ASKING[api], alibaba, number) == seen, (fault, sent)
    client.sandbox.add_fault(Fault(fault, api=api))  # type: ignore[arg-type]
    assert look(ASKING[api], alibaba) == seen
    assert look(ASKING[api], alibaba) == "OK"


@pytest.mark.parametrize("code", ["isv.BUSINESS_LIMIT_CONTROL", "isv.AMOUNT_NOT_ENOUGH", "isv.UNHEARD_OF"])
@pytest.mark.parametrize("api", [*SENDING, *ASKING])
def test_a_queued_rejection_has_its_code(client: Client, alibaba: Alibaba, api: str, code: str) -> None:
    client.sandbox.add_fault(Fault("reject", api=api, code=code))  # type: ignore[arg-type]
    assert look({**SENDING, **ASKING}[api], alibaba) == code
    assert client.sandbox.messages() == []


@pytest.mark.parametrize("api", [*SENDING, *ASKING])
def test_a_rejection_without_a_code_is_one_of_its_provider(client: Client, alibaba: Alibaba, api: str) -> None:
    client.sandbox.add_fault(Fault("reject", times=2))
    assert look({**SENDING, **ASKING}[api], alibaba) == "isv.OUT_OF_SERVICE"
    assert client.send().json()["code"] == "50001"
    assert Fault("reject", api=api).code == "isv.OUT_OF_SERVICE"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("api", "spelt", "code"),
    [
        ("SendSms", "50001", "isv.OUT_OF_SERVICE"),
        ("SendSms", "50002", "isv.PRODUCT_UN_SUBSCRIPT"),
        ("SendSms", "50009", "isv.MOBILE_NUMBER_ILLEGAL"),
        ("SendSms", "70001", "isv.SMS_TEMPLATE_ILLEGAL"),
        ("SendSms", "70002", "isv.SMS_SIGNATURE_ILLEGAL"),
        ("SendSms", "70003", "isv.TEMPLATE_MISSING_PARAMETERS"),
        ("SendSms", "99998", "isv.INVALID_PARAMETERS"),
        ("SendSms", "12345", "12345"),
        ("SingleCallByTts", "70001", "isv.TTS_TEMPLATE_ILLEGAL"),
        ("SingleCallByTts", "70002", "isv.DISPLAY_NUMBER_ILLEGAL"),
        ("SingleCallByVoice", "70001", "isv.VOICE_FILE_ILLEGAL"),
    ],
)
def test_a_number_rejects_with_the_providers_code_of_that_meaning(
    client: Client, alibaba: Alibaba, api: str, spelt: str, code: str
) -> None:
    assert look(SENDING[api], alibaba, f"139000{spelt}") == code
    assert client.sandbox.messages() == []


def test_a_late_answer_comes_late_and_whole(client: Client, alibaba: Alibaba) -> None:
    client.sandbox.add_fault(Fault("late", delay=0.3))
    before = time.monotonic()
    assert alibaba.send()["Code"] == "OK"
    assert time.monotonic() - before >= 0.3


def test_a_late_receipt_holds_no_answer_back(client: Client, alibaba: Alibaba) -> None:
    client.sandbox.add_fault(Fault("receipt_late", delay=600))
    before = time.monotonic()
    call_id = alibaba.say()["CallId"]
    assert time.monotonic() - before < 5
    client.clock.now += 600
    assert alibaba.state(call_id) == {}
    client.clock.now += 1
    assert alibaba.state(call_id)["state"] == "200000"


def test_a_fault_for_one_call_leaves_the_others_alone(client: Client, alibaba: Alibaba) -> None:
    client.sandbox.add_fault(Fault("throttled", api="SingleCallByTts"))
    assert client.send().json()["success"] is True
    assert alibaba.send()["Code"] == alibaba.play()["Code"] == "OK"
    assert look(SENDING["SingleCallByTts"], alibaba) == "400 Throttling.User"


def test_a_fault_for_one_phone_waits_for_its_calls(client: Client, alibaba: Alibaba) -> None:
    call_id = alibaba.say("13700137000")["CallId"]
    client.sandbox.add_fault(Fault("http_500", phone="+86 137 0013 7000", api="QueryCallDetailByCallId"))
    assert alibaba.call_detail("1^1")["Code"] == "OK"
    with pytest.raises(AlibabaCloudException):
        alibaba.call_detail(call_id, PRODUCTS["SingleCallByTts"])


def test_a_call_that_is_refused_spends_no_fault(client: Client, alibaba: Alibaba) -> None:
    client.sandbox.add_fault(Fault("drop"))
    assert alibaba.send("1")["Code"] == "isv.MOBILE_NUMBER_ILLEGAL"
    with pytest.raises(AlibabaCloudException):
        Alibaba(client, secret="wrong").send()
    assert len(client.sandbox.faults()) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"fault": "lost", "api": "QuerySendDetails"}, "only applies to SendSms, SendBatchSms"),
        ({"fault": "receipt_twice", "api": "QueryCallDetailByCallId"}, "SingleCallByVoice, ClickToDial"),
        ({"fault": "receipt_twice", "code": "1"}, "'reject' and 'receipt_failed'"),
        ({"fault": "drop", "api": "SendCardSms"}, "SingleCallByTts"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_by_name(client: Client, body: dict[str, str], words: str) -> None:
    reply = client.api("POST", "/api/faults", json=body)
    assert (reply.status_code, words in reply.json()["error"]) == (422, True)
