"""The gateway's two calls over HTTP, as any client makes them."""

from __future__ import annotations

import json

import pytest
import requests
from sandbox_client import NOON, Client

DAY = 86_400  # Seconds.


def test_an_accepted_message_has_the_documented_reply(client: Client) -> None:
    reply = client.send()
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    body = reply.json()
    assert {**body, "model": ""} == {"code": "0", "model": "", "success": True, "msg": "成功"}
    left, caret, right = body["model"].partition("^")
    assert left.isdigit()
    assert caret
    assert right.isdigit()


def test_every_accepted_message_has_an_id_of_its_own(client: Client) -> None:
    assert len({client.send().json()["model"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Ca-Key": "sandbox"},
        {"X-Ca-Secret": "sandbox-secret"},
        {"X-Ca-Key": "sandbox", "X-Ca-Secret": "wrong"},
        {"X-Ca-Key": "wrong", "X-Ca-Secret": "sandbox-secret"},
        {"X-Ca-Key": "sandböx", "X-Ca-Secret": "sandbox-secret"},
    ],
)
@pytest.mark.parametrize("api", ["sendSms", "querySmsDetail"])
def test_wrong_credentials_get_the_system_envelope(client: Client, api: str, headers: dict[str, str]) -> None:
    encoded = {name: value.encode() for name, value in headers.items()}
    reply = requests.get(f"{client.address.gateway_url}/{api}", headers=encoded, timeout=10)
    assert reply.status_code == 403
    assert reply.json() == {"errorCode": "InvalidAppKey", "errorMessage": "Invalid AppKey or AppSecret"}
    assert reply.headers["X-Ca-Error-Code"] == "InvalidAppKey"
    assert reply.headers["X-Ca-Error-Message"] == "Invalid AppKey or AppSecret"


def test_a_call_that_does_not_exist_gets_the_system_envelope(client: Client) -> None:
    reply = client.call("ttsCall", {})
    assert (reply.status_code, reply.json()["errorCode"]) == (404, "ApiNotFound")


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT"])
def test_a_method_other_than_get_sends_nothing(client: Client, method: str) -> None:
    reply = client.api(method, "/gw/alidayu/sendSms", headers=client.headers)
    assert reply.status_code == 405
    assert client.sandbox.messages() == []


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"sms_type": None}, "99998"),
        ({"sms_type": "voice"}, "99998"),
        ({"sms_free_sign_name": None}, "99998"),
        ({"sms_free_sign_name": " "}, "99998"),
        ({"sms_template_code": None}, "99998"),
        ({"rec_num": None}, "99998"),
        ({"rec_num": ""}, "99998"),
        ({"sms_param": "{'code':'1234','product':'alidayu'}"}, "99998"),
        ({"sms_param": '{"code":123456}'}, "99998"),
        ({"sms_param": '["123456"]'}, "99998"),
        ({"sms_param": '{"code":'}, "99998"),
        ({"sms_param": r'{"code":"\ud800"}'}, "99998"),
        ({"sms_param": "[" * 20_000}, "99998"),
        ({"rec_num": "1300000000"}, "50009"),
        ({"rec_num": "+8613800138000"}, "50009"),
        ({"rec_num": "013800138000"}, "50009"),
        ({"rec_num": "23800138000"}, "50009"),
        ({"rec_num": "1380013800０"}, "50009"),
        ({"rec_num": "13800138000\n"}, "50009"),
        ({"rec_num": " 13800138000"}, "50009"),
        ({"rec_num": "13800138000,"}, "50009"),
        ({"rec_num": "13800138000, 13800138001"}, "50009"),
        ({"rec_num": ",".join(["13800138000"] * 201)}, "50010"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_code(client: Client, params: dict[str, str], code: str) -> None:
    reply = client.send(**params)
    assert reply.status_code == 200
    body = reply.json()
    assert (body["success"], body["code"], body["model"]) == (False, code, "")
    assert body["msg"]
    assert client.sandbox.messages() == []


@pytest.mark.parametrize(
    "query", ["rec_num=%FF", "rec_num=13800138000&rec_num=13800138001", "&".join("abcdefghij" * 20)]
)
def test_an_unreadable_query_is_a_wrong_parameter(client: Client, query: str) -> None:
    reply = client.api("GET", f"/gw/alidayu/sendSms?{query}", headers=client.headers)
    assert reply.json()["code"] == "99998"


def test_two_hundred_numbers_are_one_call_with_one_id(client: Client) -> None:
    phones = [f"137{n:08d}" for n in range(200)]
    biz_id = client.send(",".join(phones)).json()["model"]
    messages = client.sandbox.messages()
    assert [message.phone for message in messages] == phones[::-1]
    assert {message.biz_id for message in messages} == {biz_id}


def test_any_template_and_signature_pass_where_none_is_registered(client: Client) -> None:
    client.send(sms_template_code="SMS_1", sms_free_sign_name="测试签名001", sms_param=None)
    client.send()
    assert [message.text for message in client.sandbox.messages()] == [
        "【阿里大鱼】code=123456, product=alidayu",
        "【测试签名001】",
    ]


def test_a_registered_template_is_filled_in(strict_client: Client) -> None:
    strict_client.send()
    assert strict_client.sent()[0]["sms_content"] == (
        "【阿里大鱼】验证码123456,您正在进行alidayu身份验证,打死不要告诉别人哦!"
    )


def test_a_value_that_looks_like_a_variable_stays_as_it_is(strict_client: Client) -> None:
    strict_client.send(sms_param=json.dumps({"code": "${product}", "product": r"\1"}))
    assert r"验证码${product},您正在进行\1身份" in str(strict_client.sent()[0]["sms_content"])


@pytest.mark.parametrize(
    ("params", "code", "msg"),
    [
        ({"sms_template_code": "SMS_1"}, "70001", "模板不合法"),
        ({"sms_free_sign_name": "别人"}, "70002", "签名不合法"),
        ({"sms_param": '{"code":"123456"}'}, "70003", "短信模板变量缺少参数"),
        ({"sms_param": None}, "70003", "短信模板变量缺少参数"),
    ],
)
def test_what_is_not_registered_is_refused(strict_client: Client, params: dict[str, str], code: str, msg: str) -> None:
    assert strict_client.send(**params).json() == {"code": code, "model": "", "success": False, "msg": msg}


def test_a_record_has_the_documented_fields(client: Client) -> None:
    client.send()
    client.clock.now += 1
    assert client.query().json() == {
        "current_page": 1,
        "page_size": 50,
        "total_count": 1,
        "total_page": 1,
        "values": [
            {
                "extend": "1234",
                "rec_num": "13800138000",
                "result_code": "000",
                "sms_code": "SMS_585014",
                "sms_content": "【阿里大鱼】code=123456, product=alidayu",
                "sms_receiver_time": "2027-01-15 12:00:01",
                "sms_send_time": "2027-01-15 12:00:00",
                "sms_status": 3,
            }
        ],
    }


def test_a_record_waits_for_its_receipt_until_the_clock_has_moved(client: Client) -> None:
    client.send()
    assert client.sent()[0]["sms_status"] == 1
    client.clock.now += 0.9
    assert client.sent()[0]["sms_status"] == 1
    client.clock.now += 0.1
    assert client.sent()[0]["sms_status"] == 3


def test_records_come_newest_first_and_in_pages(client: Client) -> None:
    for n in range(7):
        client.send(extend=str(n))
    pages = [client.query(current_page=str(page), page_size="3").json() for page in (1, 2, 3, 4)]
    assert [[row["extend"] for row in page["values"]] for page in pages] == [
        ["6", "5", "4"],
        ["3", "2", "1"],
        ["0"],
        [],
    ]
    assert {(page["total_count"], page["total_page"], page["page_size"]) for page in pages} == {(7, 3, 3)}
    assert [page["current_page"] for page in pages] == [1, 2, 3, 4]


def test_a_phone_without_records_has_an_empty_page(client: Client) -> None:
    body = client.query("13700137000").json()
    assert (body["values"], body["total_count"], body["total_page"]) == ([], 0, 0)


def test_biz_id_narrows_the_records(client: Client) -> None:
    first, _ = client.send(extend="a").json()["model"], client.send(extend="b")
    assert [row["extend"] for row in client.query(biz_id=first).json()["values"]] == ["a"]
    assert client.query(biz_id="1^1").json()["values"] == []
    assert len(client.query(biz_id="").json()["values"]) == 2


def test_a_day_is_a_day_in_shanghai(client: Client) -> None:
    client.clock.now = NOON + 12 * 3600 - 1  # The last second of the 15th in Shanghai is 15:59:59 in UTC.
    client.send(extend="before midnight")
    client.clock.now += 1
    client.send(extend="at midnight")
    days = {day: client.query(query_date=day).json()["values"] for day in ("20270115", "20270116")}
    assert [row["extend"] for row in days["20270115"]] == ["before midnight"]
    assert [row["sms_send_time"] for row in days["20270116"]] == ["2027-01-16 00:00:00"]


def test_records_are_kept_for_thirty_days(client: Client) -> None:
    client.send()
    client.clock.now += 30 * DAY
    assert len(client.sent()) == 1
    client.clock.now += DAY
    assert client.query().json() == {"success": False, "code": "80001", "msg": "查询时间非法"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"rec_num": None}, "99998"),
        ({"query_date": None}, "99998"),
        ({"current_page": None}, "99998"),
        ({"page_size": None}, "99998"),
        ({"rec_num": "1300000000"}, "50009"),
        ({"rec_num": "13800138000,13800138001"}, "50009"),
        ({"query_date": "20270116"}, "80001"),
        ({"query_date": "20261215"}, "80001"),
        ({"query_date": "2027-01-15"}, "80001"),
        ({"query_date": "2027115"}, "80001"),
        ({"query_date": "20270132"}, "80001"),
        ({"query_date": "２０２７０１１５"}, "80001"),
        ({"current_page": "0"}, "80002"),
        ({"current_page": "-1"}, "80002"),
        ({"current_page": "one"}, "80002"),
        ({"current_page": " 1"}, "80002"),
        ({"page_size": "0"}, "80002"),
        ({"page_size": "51"}, "80002"),
        ({"page_size": "100"}, "80002"),
        ({"page_size": "1.5"}, "80002"),
        ({"page_size": "9" * 5000}, "80002"),
    ],
)
def test_a_wrong_query_is_refused_with_its_code(client: Client, params: dict[str, str], code: str) -> None:
    reply = client.query(**params)
    assert reply.status_code == 200
    body = reply.json()
    assert (body["success"], body["code"]) == (False, code)
    assert set(body) == {"success", "code", "msg"}
