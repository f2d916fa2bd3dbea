"""Dysmsapi's two calls, tested with its official SDK."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from alibaba_client import CODE, Alibaba, AlibabaCloudException
from alibabacloud_dysmsapi20170525 import models as sms
from alibabacloud_dyvmsapi20170525 import models as voice
from sandbox_client import NOON, Client

DAY = 86_400  # Seconds.


@pytest.fixture
def alibaba(client: Client) -> Alibaba:
    return Alibaba(client)


@pytest.fixture
def strict(strict_client: Client) -> Alibaba:
    return Alibaba(strict_client)


def test_an_accepted_message_has_the_documented_reply(alibaba: Alibaba) -> None:
    body = alibaba.send()
    assert set(body) == {"Code", "Message", "BizId", "RequestId"}
    assert (body["Code"], body["Message"]) == ("OK", "OK")
    assert body["BizId"].endswith("^0")
    assert body["BizId"] != alibaba.send()["BizId"]


@pytest.mark.parametrize("phones", ["13800138000", "13800138000,85251234567"])
def test_sdk_makes_each_call_awaited(client: Client, alibaba: Alibaba, phones: str) -> None:
    """Its HTTP library then adds an unsigned Content-Type to a request without a body."""

    async def calls() -> list[dict[str, Any]]:
        send = sms.SendSmsRequest(phone_numbers=phones, sign_name="签 名", template_code="SMS_1", template_param=CODE)
        batch = sms.SendBatchSmsRequest(
            phone_number_json='["13700137000"]',
            sign_name_json='["签名"]',
            template_code="SMS_1",
            template_param_json=f"[{CODE}]",
        )
        details = sms.QuerySendDetailsRequest(
            phone_number="13700137000", send_date="20270115", page_size=10, current_page=1
        )
        say = voice.SingleCallByTtsRequest(called_number="13800138000", tts_code="TTS_1", tts_param=CODE)
        runtime = alibaba.runtime()
        answers = [
            await alibaba.sms.send_sms_with_options_async(send, runtime),
            await alibaba.sms.send_batch_sms_with_options_async(batch, runtime),
            await alibaba.sms.query_send_details_with_options_async(details, runtime),
            await alibaba.voice.single_call_by_tts_with_options_async(say, runtime),
        ]
        return [answer.body.to_map() for answer in answers]

    answers = asyncio.run(calls())
    assert [answer["Code"] for answer in answers] == ["OK"] * 4
    assert len(answers[2]["SmsSendDetailDTOs"]["SmsSendDetailDTO"]) == 1
    assert len(client.sandbox.messages()) == len(phones.split(",")) + 2


def test_messages_of_all_providers_are_in_one_inbox(client: Client, alibaba: Alibaba) -> None:
    biz_id = alibaba.send("+8613800138000")["BizId"]
    client.send("13800138000")
    shown = client.api("GET", "/api/messages?phone=13800138000").json()
    assert [(message["provider"], message["channel"]) for message in shown] == [("alidayu", "sms"), ("dysmsapi", "sms")]
    assert {name: shown[1][name] for name in ("biz_id", "code", "extend", "text", "template", "sign_name")} == {
        "biz_id": biz_id,
        "code": "123456",
        "extend": "1234",
        "text": "【阿里大鱼】code=123456, product=alidayu",
        "template": "SMS_585014",
        "sign_name": "阿里大鱼",
    }


def test_each_provider_finds_its_own_messages(client: Client, alibaba: Alibaba) -> None:
    alibaba.send(out_id="aliyun")
    client.send(extend="alidayu")
    assert [row["extend"] for row in client.sent()] == ["alidayu"]
    assert [row["OutId"] for row in alibaba.sent()] == ["aliyun"]


@pytest.mark.parametrize("phone", ["13800138000", "+8613800138000", "8613800138000", "008613800138000"])
def test_a_number_may_have_its_country_code(client: Client, alibaba: Alibaba, phone: str) -> None:
    assert alibaba.send(phone)["Code"] == "OK"
    assert client.sandbox.messages()[0].phone == "13800138000"


@pytest.mark.parametrize("left_out", ["phone_numbers", "sign_name", "template_code"])
@pytest.mark.parametrize("value", [None, "", " "])
def test_a_missing_parameter_is_named(alibaba: Alibaba, left_out: str, value: str | None) -> None:
    changes = {left_out: value}
    name = "".join(word.capitalize() for word in left_out.split("_"))
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.send(changes.pop("phone_numbers", "13800138000"), **changes)
    assert (caught.value.status_code, caught.value.code) == (400, f"Missing{name}")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"phone": "1300000000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": "+85213800138000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": "13800138000,"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": "13800138000\n"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": ",".join(["13800138000"] * 1001)}, "isv.MOBILE_COUNT_OVER_LIMIT"),
        ({"template_param": "{'code':'1'}"}, "isv.INVALID_JSON_PARAM"),
        ({"template_param": '{"code":123456}'}, "isv.INVALID_JSON_PARAM"),
        ({"template_param": '["123456"]'}, "isv.INVALID_JSON_PARAM"),
        ({"template_code": "SMS_1"}, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"sign_name": "别人"}, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"template_param": '{"code":"123456"}'}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"template_param": None}, "isv.TEMPLATE_MISSING_PARAMETERS"),
    ],
)
def test_what_is_wrong_with_a_message_has_its_code(strict: Alibaba, changes: dict[str, Any], code: str) -> None:
    body = strict.send(**changes)
    assert body["Code"] == code
    assert body["Message"] not in {"", code}
    assert "BizId" not in body
    assert strict.client.sandbox.messages() == []


def test_a_registered_template_is_filled_in(strict: Alibaba) -> None:
    strict.send()
    expected = "【阿里大鱼】验证码123456,您正在进行alidayu身份验证,打死不要告诉别人哦!"
    assert strict.sent()[0]["Content"] == expected


def test_many_numbers_are_one_call_with_one_id(client: Client, alibaba: Alibaba) -> None:
    biz_id = alibaba.send("13800138000,+8613700137000")["BizId"]
    assert {(message.phone, message.biz_id) for message in client.sandbox.messages()} == {
        ("13800138000", biz_id),
        ("13700137000", biz_id),
    }


def test_a_record_has_the_documented_fields(client: Client, alibaba: Alibaba) -> None:
    alibaba.send()
    client.clock.now += 1
    body = alibaba.details()
    assert (body["Code"], body["Message"], body["TotalCount"]) == ("OK", "OK", "1")
    assert body["SmsSendDetailDTOs"] == {
        "SmsSendDetailDTO": [
            {
                "PhoneNum": "13800138000",
                "SendStatus": 3,
                "ErrCode": "DELIVERED",
                "TemplateCode": "SMS_585014",
                "Content": "【阿里大鱼】code=123456, product=alidayu",
                "SendDate": "2027-01-15 12:00:00",
                "ReceiveDate": "2027-01-15 12:00:01",
                "OutId": "1234",
            }
        ]
    }


def test_a_record_waits_for_its_receipt(client: Client, alibaba: Alibaba) -> None:
    alibaba.send(out_id=None)
    assert alibaba.sent() == [
        {
            "PhoneNum": "13800138000",
            "SendStatus": 1,
            "TemplateCode": "SMS_585014",
            "Content": "【阿里大鱼】code=123456, product=alidayu",
            "SendDate": "2027-01-15 12:00:00",
        }
    ]


@pytest.mark.parametrize(
    ("phone", "seconds", "status", "code"),
    [
        ("13900100071", 1, 2, "UNDELIV"),
        ("13900100081", 3600, 1, None),
        ("13900100072", 1, 3, "DELIVERED"),
        ("13900100082", 5, 1, None),
        ("13900100082", 6, 3, "DELIVERED"),
    ],
)
def test_a_number_decides_how_its_receipt_turns_out(
    client: Client, alibaba: Alibaba, phone: str, seconds: int, status: int, code: str | None
) -> None:
    alibaba.send(phone)
    client.clock.now += seconds
    row = alibaba.sent(phone)[0]
    assert (row["SendStatus"], row.get("ErrCode")) == (status, code)


def test_records_come_newest_first_and_in_pages(alibaba: Alibaba) -> None:
    for n in range(7):
        alibaba.send(out_id=str(n))
    pages = [alibaba.details(current_page=page, page_size=3) for page in (1, 2, 3, 4)]
    shown = [[row["OutId"] for row in page["SmsSendDetailDTOs"]["SmsSendDetailDTO"]] for page in pages]
    assert shown == [["6", "5", "4"], ["3", "2", "1"], ["0"], []]
    assert {page["TotalCount"] for page in pages} == {"7"}


def test_biz_id_narrows_the_records(alibaba: Alibaba) -> None:
    first, _ = alibaba.send(out_id="a")["BizId"], alibaba.send(out_id="b")
    assert [row["OutId"] for row in alibaba.sent(biz_id=first)] == ["a"]
    assert alibaba.sent(biz_id="1^0") == []


def test_a_day_is_a_day_in_shanghai(client: Client, alibaba: Alibaba) -> None:
    client.clock.now = NOON + 12 * 3600
    alibaba.send()
    assert alibaba.sent() == []
    assert [row["SendDate"] for row in alibaba.sent(send_date="20270116")] == ["2027-01-16 00:00:00"]


def test_records_are_kept_for_thirty_days(client: Client, alibaba: Alibaba) -> None:
    alibaba.send()
    client.clock.now += 30 * DAY
    assert len(alibaba.sent()) == 1
    client.clock.now += DAY
    assert alibaba.details()["Code"] == "isv.INVALID_PARAMETERS"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"phone": "1300000000"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"phone": "13800138000,13800138001"}, "isv.MOBILE_NUMBER_ILLEGAL"),
        ({"send_date": "20270116"}, "isv.INVALID_PARAMETERS"),
        ({"send_date": "20261215"}, "isv.INVALID_PARAMETERS"),
        ({"send_date": "2027-01-15"}, "isv.INVALID_PARAMETERS"),
        ({"page_size": 0}, "isv.INVALID_PARAMETERS"),
        ({"page_size": 51}, "isv.INVALID_PARAMETERS"),
        ({"current_page": 0}, "isv.INVALID_PARAMETERS"),
    ],
)
def test_a_wrong_query_is_refused_with_its_code(alibaba: Alibaba, changes: dict[str, Any], code: str) -> None:
    assert alibaba.details(**changes)["Code"] == code


@pytest.mark.parametrize("left_out", ["PhoneNumber", "SendDate", "PageSize", "CurrentPage"])
def test_a_missing_parameter_of_a_query_is_named(alibaba: Alibaba, left_out: str) -> None:
    query = {"PhoneNumber": "13800138000", "SendDate": "20270115", "PageSize": "1", "CurrentPage": "1"}
    del query[left_out]
    with pytest.raises(AlibabaCloudException) as caught:
        alibaba.call("QuerySendDetails", query)
    assert (caught.value.status_code, caught.value.code) == (400, f"Missing{left_out}")


def test_requests_are_counted(client: Client, alibaba: Alibaba) -> None:
    alibaba.send("13800138000,+8613700137000")
    alibaba.send("13800138000", template_param="x")
    alibaba.details()
    stats = client.api("GET", "/api/stats").json()
    assert stats["SendSms"] == {"total": 2, "by_phone": {"13800138000": 2, "13700137000": 1}}
    assert stats["QuerySendDetails"] == {"total": 1, "by_phone": {"13800138000": 1}}
    assert stats["sendSms"] == {"total": 0, "by_phone": {}}


def test_a_value_that_looks_like_a_variable_stays_as_it_is(strict: Alibaba) -> None:
    strict.send(template_param=json.dumps({"code": "${product}", "product": r"\1"}))
    assert r"验证码${product},您正在进行\1身份" in strict.sent()[0]["Content"]
    assert json.loads(CODE)["code"] not in strict.sent()[0]["Content"]
