"""The inbox page, the JSON interface, and the access to them."""

from __future__ import annotations

import json
import re

import pytest
import requests
from sandbox_client import Client


def test_messages_tell_all_that_was_sent(client: Client) -> None:
    biz_id = client.send().json()["model"]
    reply = client.api("GET", "/api/messages")
    assert reply.headers["cache-control"] == "no-store"
    [message] = reply.json()
    assert isinstance(message.pop("id"), int)
    assert message.pop("request")["path"] == "/gw/alidayu/sendSms"
    assert message == {
        "provider": "alidayu",
        "channel": "sms",
        "phone": "13800138000",
        "code": "123456",
        "text": "【阿里大鱼】code=123456, product=alidayu",
        "params": {"code": "123456", "product": "alidayu"},
        "template": "SMS_585014",
        "sign_name": "阿里大鱼",
        "extend": "1234",
        "biz_id": biz_id,
        "sent_at": "2027-01-15T04:00:00+00:00",
        "status": "waiting",
        "receipt": None,
    }


def test_messages_come_newest_first_and_show_their_receipts(client: Client) -> None:
    client.send("13800138000")
    client.send("13900100071")
    client.clock.now += 1
    shown = client.api("GET", "/api/messages").json()
    assert [(message["phone"], message["status"], message["receipt"]["result_code"]) for message in shown] == [
        ("13900100071", "failed", "UNDELIV"),
        ("13800138000", "delivered", "000"),
    ]
    assert shown[0]["receipt"]["received_at"] == "2027-01-15T04:00:01+00:00"
    assert [message["phone"] for message in client.api("GET", "/api/messages?limit=1").json()] == ["13900100071"]


@pytest.mark.parametrize(
    "phone", ["13800138000", "%2B8613800138000", "+8613800138000", "86 138 0013 8000", "0086-138-0013-8000"]
)
def test_messages_of_a_phone_are_found_in_any_spelling(client: Client, phone: str) -> None:
    client.send("13800138000")
    client.send("13700137000")
    shown = client.api("GET", f"/api/messages?phone={phone}").json()
    assert [message["phone"] for message in shown] == ["13800138000"]


@pytest.mark.parametrize(
    "query", ["phone=1380013", "phone=abc", "limit=x", "limit=-1", "limit=²", f"limit={'9' * 5000}"]
)
def test_a_search_that_makes_no_sense_is_refused(client: Client, query: str) -> None:
    reply = client.api("GET", f"/api/messages?{query}")
    assert reply.status_code == 422
    assert reply.json()["error"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"code": "123456", "minutes": "5"}, "123456"),
        ({"otp": "123456"}, "123456"),
        ({"otp": "123456", "minutes": "5"}, None),
        ({"name": "Ann"}, None),
    ],
)
def test_the_code_is_the_variable_of_that_name_or_the_only_digits(
    client: Client, params: dict[str, str], code: str | None
) -> None:
    client.send(sms_param=json.dumps(params), sms_free_sign_name="12306")
    assert client.api("GET", "/api/messages").json()[0]["code"] == code


def test_messages_can_be_cleared(client: Client) -> None:
    client.send()
    client.send()
    assert client.api("DELETE", "/api/messages").json() == {"deleted": 2}
    assert client.api("GET", "/api/messages").json() == []
    assert client.sent() == []


def test_every_request_is_counted_whatever_became_of_it(client: Client) -> None:
    client.send("13800138000")
    client.send("13800138000", sms_type="voice")
    client.send("13900050001")
    client.api("GET", "/gw/alidayu/sendSms?rec_num=13800138000")  # This call has no credentials.
    with pytest.raises(OSError, match="Connection aborted"):
        client.send("13900100040")
    client.send("13800138000,13700137000,13700137000,1")
    client.query("13800138000")
    stats = client.api("GET", "/api/stats").json()
    assert {api: counts for api, counts in stats.items() if counts["total"]} == {
        "sendSms": {
            "total": 6,
            "by_phone": {"13800138000": 4, "13900050001": 1, "13900100040": 1, "13700137000": 1},
        },
        "querySmsDetail": {"total": 1, "by_phone": {"13800138000": 1}},
    }


def test_counts_can_be_cleared(client: Client) -> None:
    client.send()
    assert client.api("DELETE", "/api/stats").status_code == 200
    assert client.api("GET", "/api/stats").json()["sendSms"] == {"total": 0, "by_phone": {}}


def test_the_inbox_says_when_it_is_empty(client: Client) -> None:
    page = client.api("GET", "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "No messages yet" in page.text


def test_the_inbox_shows_each_message_newest_first(client: Client) -> None:
    client.send("13800138000")
    client.send("13700137000")
    text = client.api("GET", "/").text
    assert "Messages: 2" in text
    assert text.index("13700137000") < text.index("13800138000")
    assert "【阿里大鱼】code=123456, product=alidayu" in text
    assert "01-15 12:00:00" in text


def test_the_inbox_of_one_phone_shows_no_other(client: Client) -> None:
    client.send("13800138000")
    client.send("13700137000")
    text = client.api("GET", "/?phone=%2B86+138+0013+8000").text
    assert "To 13800138000" in text
    assert "To 13700137000" not in text


def test_the_inbox_says_what_is_wrong_with_a_search(client: Client) -> None:
    page = client.api("GET", "/", params={"phone": '"><script>alert(1)</script>'})
    assert page.status_code == 422
    assert "This is not a phone number" in page.text
    assert "<script>alert" not in page.text


def test_a_full_inbox_shows_the_newest_hundred(client: Client) -> None:
    client.send(",".join(f"137{n:08d}" for n in range(150)))
    text = client.api("GET", "/").text
    assert "The newest 100 of 150 messages" in text
    assert text.count('class="bubble"') == 100
    assert "13700000149" in text


def test_what_a_message_says_is_text_and_never_markup(client: Client) -> None:
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>\'"&'
    client.send(
        sms_free_sign_name=evil,
        sms_template_code=evil,
        extend=evil,
        sms_param=json.dumps({"code": evil, "product": "{{ 7*7 }}"}),
    )
    text = client.api("GET", "/").text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in text
    assert "{{ 7*7 }}" in text


def test_the_inbox_brings_all_it_needs_and_forbids_the_rest(client: Client) -> None:
    page = client.api("GET", "/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert {"frame-ancestors 'self'", "connect-src 'self'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    assert "<style" not in page.text
    assert "//" not in page.text
    assets = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    kinds = {"text/css; charset=utf-8", "text/javascript; charset=utf-8"}
    replies = [client.api("GET", asset) for asset in assets]
    assert {reply.headers["content-type"] for reply in replies} == kinds
    assert all("immutable" in reply.headers["cache-control"] for reply in replies)
    assert not any("//" in reply.text for reply in replies)


def test_the_inbox_works_without_scripts_and_for_screen_readers(client: Client) -> None:
    text = client.api("GET", "/").text
    assert '<html lang="en">' in text
    assert '<noscript><p class="meta"><a href="/">Refresh</a></p></noscript>' in text
    assert '<label for="q"' in text
    assert text.count('role="status"') == 1
    assert "<main" in text


def test_the_inbox_lists_the_numbers_that_misbehave(client: Client) -> None:
    text = client.api("GET", "/").text
    for number in ("139000CCCCC", "13900100041", "139001001SS"):
        assert number in text


FOREIGN = ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", ""]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/faults"), ("DELETE", "/api/faults"), ("DELETE", "/api/messages")]
)
def test_a_page_of_another_site_changes_nothing(client: Client, origin: str, method: str, path: str) -> None:
    client.send()
    reply = client.api(method, path, headers={"Origin": origin}, json={"fault": "drop"})
    assert (reply.status_code, len(client.sandbox.messages()), client.sandbox.faults()) == (403, 1, [])
    assert reply.json()["error"]


def test_its_own_pages_may_change_things(client: Client) -> None:
    reply = client.api("DELETE", "/api/messages", headers={"Origin": client.address.base_url})
    assert reply.status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/messages", "/api/stats", "/api/faults"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8025", "a[b", "."])
def test_a_web_site_cannot_take_the_servers_place(client: Client, path: str, host: str) -> None:
    assert client.api("GET", path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "host", ["localhost:8025", "127.0.0.1", "[::1]:8025", "sandbox:8025", "sms.localhost", "10.0.0.7"]
)
def test_names_that_are_not_for_sale_are_answered(client: Client, host: str) -> None:
    assert client.api("GET", "/api/messages", headers={"Host": host}).status_code == 200


def test_the_gateway_answers_to_any_name(client: Client) -> None:
    headers = {**client.headers, "Host": "ca.aliyuncs.com"}
    assert client.api("GET", "/gw/alidayu/sendSms", headers=headers).json()["code"] == "99998"


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("POST", "/api/messages"), ("PUT", "/api/faults")])
def test_what_is_not_there_is_not_there(client: Client, method: str, path: str) -> None:
    assert client.api(method, path).status_code in {404, 405}


@pytest.mark.parametrize("path", ["/", "/api/messages", "/api/messages?phone=12", "/api/stats", "/static/inbox.js"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_whatever_is_answered_runs_no_script_of_anothers(client: Client, path: str, host: str) -> None:
    reply = requests.get(client.address.base_url + path, headers={"host": host}, timeout=10)
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert reply.headers["x-content-type-options"] == "nosniff"
