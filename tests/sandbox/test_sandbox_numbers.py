"""Numbers of the mainland and of other regions, spelt as in the documents; and SendBatchSms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from alibaba_client import Alibaba, AlibabaCloudException
from sandbox_client import Client

from otpkit.errors import ConfigurationError
from otpkit.sandbox import Fault
from otpkit.sandbox.phones import country_and_number, subscriber


@pytest.fixture
def alibaba(client: Client) -> Alibaba:
    return Alibaba(client)


@pytest.fixture
def strict(strict_client: Client) -> Alibaba:
    return Alibaba(strict_client)


@pytest.mark.parametrize(
    ("spelt", "phone"),
    [
        ("13800138000", "13800138000"),
        ("+13800138000", "13800138000"),
        ("+8613800138000", "13800138000"),
        ("008613800138000", "13800138000"),
        ("85251234567", "+85251234567"),
        ("0085251234567", "+85251234567"),
        ("85366123456", "+85366123456"),
        ("886912345678", "+886912345678"),
        ("6591234567", "+6591234567"),
        ("4915123456789", "+4915123456789"),
        ("0012125551234", "+12125551234"),
        ("12125551234", "+12125551234"),
        ("12045551234", "+12045551234"),
    ],
)
def test_number_is_taken_as_documented(client: Client, alibaba: Alibaba, spelt: str, phone: str) -> None:
    assert alibaba.send(spelt)["Code"] == "OK"
    assert client.sandbox.messages()[0].phone == phone
    assert alibaba.send_batch(spelt)["Code"] == "OK"
    assert [message.phone for message in client.sandbox.messages()] == [phone, phone]
    assert client.sandbox.stats()["SendBatchSms"]["by_phone"] == {phone: 1}
    assert [row["PhoneNum"] for row in alibaba.sent(spelt)] == [phone.removeprefix("+")] * 2


@pytest.mark.parametrize(
    "spelt", ["1300000000", "852123", "+85251234567", "85213800138000", "0000852", "852 51234567", "861380013800", "a"]
)
def test_what_is_no_number_is_refused(alibaba: Alibaba, spelt: str) -> None:
    assert alibaba.send(spelt)["Code"] == "isv.MOBILE_NUMBER_ILLEGAL"
    assert alibaba.send_batch("13800138000", spelt)["Code"] == "isv.MOBILE_NUMBER_ILLEGAL"
    assert alibaba.client.sandbox.messages() == []


@pytest.mark.parametrize(
    "spelt", ["%2B85251234567", "+85251234567", "0085251234567", "85251234567", "%2B852 5123-4567"]
)
def test_messages_to_other_regions_are_found(client: Client, alibaba: Alibaba, spelt: str) -> None:
    alibaba.send("85251234567")
    alibaba.send("13800138000")
    shown = client.api("GET", f"/api/messages?phone={spelt}").json()
    assert [message["phone"] for message in shown] == ["+85251234567"]
    assert [message["phone"] for message in client.api("GET", f"/api/messages?q={spelt}").json()] == ["+85251234567"]
    assert "+85251234567" in client.api("GET", f"/?phone={spelt}").text


def test_fault_can_be_for_a_number_of_another_region(client: Client, alibaba: Alibaba) -> None:
    client.sandbox.add_fault(Fault("reject", phone="+852 5123 4567", code="isv.AMOUNT_NOT_ENOUGH"))
    assert alibaba.send("13800138000")["Code"] == "OK"
    assert alibaba.send("85251234567")["Code"] == "isv.AMOUNT_NOT_ENOUGH"


@pytest.mark.parametrize("phone", ["+", "+852", "+8521234567", "852 123", "+86123", "+1234567890123456", "+0123456789"])
def test_what_is_no_phone_of_another_region_is_refused(phone: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a phone number"):
        subscriber(phone)


@pytest.mark.parametrize(
    ("phone", "parts"),
    [
        ("13800138000", ("86", "13800138000")),
        ("+85251234567", ("852", "51234567")),
        ("+12125551234", ("1", "2125551234")),
        ("+79161234567", ("7", "9161234567")),
        ("+6591234567", ("65", "91234567")),
        ("+886912345678", ("886", "912345678")),
        ("+2348031234567", ("234", "8031234567")),
        ("+201001234567", ("20", "1001234567")),
    ],
)
def test_country_code_is_told_from_the_number(phone: str, parts: tuple[str, str]) -> None:
    assert country_and_number(phone) == parts


# SendBatchSms


def test_batch_has_a_signature_and_variables_for_each(client: Client, alibaba: Alibaba) -> None:
    body = alibaba.send_batch("13800138000", "13700137000", "85251234567", out_id="1234")
    assert set(body) == {"Code", "Message", "BizId", "RequestId"}
    sent = client.sandbox.messages()[::-1]
    assert [(message.phone, message.sign_name, message.code) for message in sent] == [
        ("13800138000", "签名0", "000000"),
        ("13700137000", "签名1", "000001"),
        ("+85251234567", "签名2", "000002"),
    ]
    assert {(message.biz_id, message.extend) for message in sent} == {(body["BizId"], "1234")}
    assert [row["Content"] for row in alibaba.sent("13700137000")] == ["【签名1】code=000001, product=alidayu"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"phone_number_json": "13800138000"}, "isv.INVALID_JSON_PARAM"),
        ({"phone_number_json": '["13800138000"'}, "isv.INVALID_JSON_PARAM"),
        ({"phone_number_json": "[13800138000,13700137000]"}, "isv.INVALID_JSON_PARAM"),
        ({"phone_number_json": "[]", "sign_name_json": "[]", "template_param_json": "[]"}, "isv.INVALID_PARAMETERS"),
        ({"phone_number_json": json.dumps(["13800138000"] * 101)}, "isv.MOBILE_COUNT_OVER_LIMIT"),
        ({"sign_name_json": '["阿里大鱼"]'}, "isv.INVALID_PARAMETERS"),
        ({"sign_name_json": '"阿里大鱼"'}, "isv.INVALID_JSON_PARAM"),
        ({"sign_name_json": '["阿里大鱼","别人"]'}, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"template_code": "SMS_1"}, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"template_param_json": '[{"code":"1","product":"2"}]'}, "isv.INVALID_PARAMETERS"),
        ({"template_param_json": '[{"code":"1","product":"2"},{"code":1}]'}, "isv.INVALID_JSON_PARAM"),
        ({"template_param_json": '[{"code":"1","product":"2"},{"code":"1"}]'}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"template_param_json": '{"code":"1","product":"2"}'}, "isv.INVALID_JSON_PARAM"),
        ({"template_param_json": None}, "isv.TEMPLATE_MISSING_PARAMETERS"),
    ],
)
def test_what_is_wrong_with_a_batch_has_its_code(strict: Alibaba, changes: dict[str, Any], code: str) -> None:
    """No message of the batch is sent."""
    fields = {"sign_name_json": '["阿里大鱼","阿里大鱼"]', **changes}
    assert strict.send_batch("13800138000", "13700137000", **fields)["Code"] == code
    assert strict.client.sandbox.messages() == []


@pytest.mark.parametrize("left_out", ["phone_number_json", "sign_name_json", "template_code"])
def test_missing_parameter_of_a_batch_is_named(alibaba: Alibaba, left_out: str) -> None:
    name = "".join(word.capitalize() for word in left_out.split("_"))
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.send_batch("13800138000", **{left_out: None})
    assert (caught.value.status_code, caught.value.code) == (400, f"Missing{name}")


def test_hundred_numbers_are_one_batch(client: Client, alibaba: Alibaba) -> None:
    phones = [f"137{n:08d}" for n in range(100)]
    assert alibaba.send_batch(*phones)["Code"] == "OK"
    assert len(client.sandbox.messages()) == 100
    assert client.sandbox.stats()["SendBatchSms"]["total"] == 1
