"""Dyvmsapi's calls, tested with its official SDK.

The current SDK lacks ClickToDial, so only its signature is tested.
"""

from __future__ import annotations

from typing import Any

import pytest
from alibaba_client import PRODUCTS, Alibaba, AlibabaCloudException
from sandbox_client import Client

from otpkit.sandbox import Fault

DAY = 86_400  # Seconds.
DIAL = {
    "CallerNumber": "13700137000",
    "CalledNumber": "13800138000",
    "CallerShowNumber": "057100000001",
    "CalledShowNumber": "057100000002",
}


@pytest.fixture
def alibaba(client: Client) -> Alibaba:
    return Alibaba(client)


def test_an_accepted_call_has_the_documented_reply(alibaba: Alibaba) -> None:
    body = alibaba.say()
    assert set(body) == {"Code", "Message", "CallId", "RequestId"}
    assert (body["Code"], body["Message"]) == ("OK", "OK")
    left, _, right = body["CallId"].partition("^")
    assert left.isdigit()
    assert right.isdigit()
    assert body["CallId"] != alibaba.say()["CallId"]


def test_a_call_is_in_the_inbox(client: Client, alibaba: Alibaba) -> None:
    call_id = alibaba.say(called_show_number="057100000000")["CallId"]
    [shown] = client.api("GET", "/api/messages").json()
    assert {name: shown[name] for name in ("provider", "channel", "biz_id", "code", "text", "template", "extend")} == {
        "provider": "dyvmsapi",
        "channel": "voice",
        "biz_id": call_id,
        "code": "123456",
        "text": "code=123456, product=alidayu",
        "template": "TTS_1",
        "extend": "1234",
    }
    page = client.api("GET", "/").text
    assert "Voice call from <bdi>057100000000</bdi>" in page
    assert "code=123456, product=alidayu" in page


def test_a_file_is_played(client: Client, alibaba: Alibaba) -> None:
    assert alibaba.play()["Code"] == "OK"
    [message] = client.sandbox.messages()
    assert (message.template, message.channel, message.api) == ("a.wav", "voice", "SingleCallByVoice")


def test_two_people_are_connected(client: Client, alibaba: Alibaba) -> None:
    call_id = alibaba.call("ClickToDial", {**DIAL, "RecordFlag": "false", "OutId": "1"})["CallId"]
    [message] = client.sandbox.messages()
    assert (message.phone, message.text, message.code) == ("13800138000", "13700137000 ↔ 13800138000", None)
    client.clock.now += 1
    detail = alibaba.state(call_id, PRODUCTS["ClickToDial"])
    assert (detail["caller"], detail["callee"]) == ("13700137000", "13800138000")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"phone": "1300000000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": "+8613800138000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": "8613800138000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": "13800138000,13700137000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"tts_param": "{'code':'1'}"}, "isv.INVALID_JSON_PARAM"),
        ({"tts_param": '{"code":1}'}, "isv.INVALID_JSON_PARAM"),
        ({"out_id": ""}, "isv.INVALID_PARAMETERS"),
        ({"out_id": "1234567890123456"}, "isv.INVALID_PARAMETERS"),
        ({"out_id": "六个汉字太长"}, "isv.INVALID_PARAMETERS"),
        ({"play_times": 0}, "isv.INVALID_PARAMETERS"),
        ({"play_times": 4}, "isv.INVALID_PARAMETERS"),
        ({"play_times": "two"}, "isv.INVALID_PARAMETERS"),
        ({"volume": 101}, "isv.INVALID_PARAMETERS"),
        ({"speed": -501}, "isv.INVALID_PARAMETERS"),
    ],
)
def test_what_is_wrong_with_a_call_has_its_code(alibaba: Alibaba, changes: dict[str, Any], code: str) -> None:
    body = alibaba.say(**changes)
    assert body["Code"] == code
    assert "CallId" not in body
    assert alibaba.client.sandbox.messages() == []


@pytest.mark.parametrize("number", ["85251234567", "0085366123456", "6591234567", "447700900123", "12125551234"])
def test_call_to_another_region_is_made(alibaba: Alibaba, number: str) -> None:
    """The document writes such numbers as country code and number."""
    call_id = alibaba.say(phone=number)["CallId"]
    [message] = alibaba.client.sandbox.messages()
    assert message.phone == f"+{number.removeprefix('00')}"
    alibaba.client.clock.now += 1
    assert alibaba.state(call_id, PRODUCTS["SingleCallByTts"])["callee"] == number.removeprefix("00")


@pytest.mark.parametrize("out_id", [None, "1", "123456789012345", "五个汉字长"])
def test_an_out_id_has_at_most_fifteen_bytes(alibaba: Alibaba, out_id: str | None) -> None:
    assert alibaba.say(out_id=out_id, play_times=3, volume=0, speed=-500)["Code"] == "OK"


def test_templates_and_files_must_be_registered_where_any_are(strict_client: Client) -> None:
    alibaba = Alibaba(strict_client)
    assert alibaba.say(tts_code="TTS_2")["Code"] == "isv.TTS_TEMPLATE_ILLEGAL"
    assert alibaba.say(tts_param='{"product":"1"}')["Code"] == "isv.TEMPLATE_MISSING_PARAMETERS"
    assert alibaba.play(voice_code="b.wav")["Code"] == "isv.VOICE_FILE_ILLEGAL"
    assert (alibaba.say()["Code"], alibaba.play()["Code"]) == ("OK", "OK")
    assert [message.text for message in strict_client.sandbox.messages()] == ["您好", "您的验证码是123456"]


@pytest.mark.parametrize("left_out", DIAL)
def test_a_missing_parameter_is_named(alibaba: Alibaba, left_out: str) -> None:
    query = {name: value for name, value in DIAL.items() if name != left_out}
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.call("ClickToDial", query)
    assert (caught.value.status_code, caught.value.code) == (400, f"Missing{left_out}")


@pytest.mark.parametrize(("field", "name"), [("tts_code", "TtsCode"), ("phone", "CalledNumber")])
def test_a_missing_parameter_of_a_call_is_named(alibaba: Alibaba, field: str, name: str) -> None:
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.say(**{field: None})
    assert caught.value.code == f"Missing{name}"


def test_a_call_that_was_heard_has_the_documented_detail(client: Client, alibaba: Alibaba) -> None:
    call_id = alibaba.say(called_show_number="057100000000")["CallId"]
    client.clock.now += 1
    assert alibaba.state(call_id) == {
        "caller": "057100000000",
        "callee": "13800138000",
        "callerShowNumber": "057100000000",
        "calleeShowNumber": "057100000000",
        "gmtCreate": "2027-01-15 12:00:00",
        "startDate": "2027-01-15 12:00:00",
        "endDate": "2027-01-15 12:00:01",
        "duration": 1,
        "state": "200000",
        "stateDesc": "用户听完",
    }


def test_data_is_a_text_and_empty_until_the_call_has_ended(client: Client, alibaba: Alibaba) -> None:
    call_id = alibaba.say()["CallId"]
    body = alibaba.call_detail(call_id)
    assert (body["Code"], body["Data"]) == ("OK", "")
    client.clock.now += 1
    assert isinstance(alibaba.call_detail(call_id)["Data"], str)


@pytest.mark.parametrize(
    ("phone", "state", "duration"),
    [
        ("13800138000", "200000", 1),
        ("13900100071", "200003", 0),
        ("13900120000", "200000", 1),
        ("13900120001", "200001", 1),
        ("13900120002", "200002", 0),
        ("13900120005", "200005", 0),
        ("13900120010", "200010", 0),
        ("13900120011", "200011", 0),
    ],
)
def test_a_number_decides_in_which_state_its_call_ends(
    client: Client, alibaba: Alibaba, phone: str, state: str, duration: int
) -> None:
    call_id = alibaba.say(phone)["CallId"]
    client.clock.now += 1
    detail = alibaba.state(call_id)
    assert (detail["state"], detail["duration"]) == (state, duration)
    assert detail["stateDesc"]
    assert client.sandbox.messages()[0].status(client.clock.now) == ("delivered" if state == "200000" else "failed")


def test_a_queued_fault_can_name_the_state(client: Client, alibaba: Alibaba) -> None:
    client.sandbox.add_fault(Fault("receipt_failed", api="SingleCallByTts", code="200010"))
    call_id = alibaba.say()["CallId"]
    client.clock.now += 1
    assert alibaba.state(call_id)["state"] == "200010"


@pytest.mark.parametrize("asked", [0, -DAY + 1, 3600, -18 * 3600])
def test_a_call_is_found_by_its_day_and_in_the_24_hours_after(client: Client, alibaba: Alibaba, asked: int) -> None:
    call_id = alibaba.say()["CallId"]
    client.clock.now += 1
    date = int((client.clock.now + asked) * 1000)
    assert alibaba.state(call_id, query_date=date)["state"] == "200000"


@pytest.mark.parametrize(
    "changes", [{"call_id": "1^1"}, {"product": PRODUCTS["SingleCallByVoice"]}, {"query_date": 1_500_000_000_000}]
)
def test_a_call_is_not_found_by_anything_else(client: Client, alibaba: Alibaba, changes: dict[str, Any]) -> None:
    call_id = alibaba.say()["CallId"]
    client.clock.now += 1
    body = alibaba.call_detail(**{"call_id": call_id, **changes})
    assert (body["Code"], body["Data"]) == ("OK", "")


@pytest.mark.parametrize("changes", [{"query_date": "today"}, {"query_date": 10**15 - 1}, {"product": "tts"}])
def test_a_query_that_makes_no_sense_is_refused(alibaba: Alibaba, changes: dict[str, Any]) -> None:
    call_id = alibaba.say()["CallId"]
    assert alibaba.call_detail(**{"call_id": call_id, **changes})["Code"] == "isv.INVALID_PARAMETERS"
