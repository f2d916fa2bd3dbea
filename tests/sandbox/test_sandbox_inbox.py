"""The inbox page without scripts: the search, the forms, and the request of each message."""

from __future__ import annotations

import html
import json
import re

import pytest
import requests
from alibaba_client import Alibaba
from sandbox_client import Client

from otpkit.sandbox import Fault
from otpkit.sandbox.calls import WireRequest
from otpkit.sandbox.messages import MAX_RECORDED, Sms, recorded


@pytest.fixture
def alibaba(client: Client) -> Alibaba:
    return Alibaba(client)


def post(client: Client, path: str, form: dict[str, str] | None = None, **headers: str | None) -> requests.Response:
    """Post a form as a browser does from the page itself. A header of None is left out."""
    sent = {"Origin": client.address.base_url} | {name.replace("_", "-"): value for name, value in headers.items()}
    return client.api("POST", path, data=form or {}, headers=sent, allow_redirects=False)


def request_of(client: Client) -> dict[str, object]:
    """Return the request of the newest message."""
    return client.api("GET", "/api/messages").json()[0]["request"]


# Search

NUMBERS = ["13800138000", "+86 138-0013-8000", "＋８６ １３８ ００１３ ８０００", "0138", "138 0013", "８０００"]
TEXTS = ["730452", "７３０４５２", "大鱼", "SMS_5850", "sms_5850", " ORDER "]


@pytest.mark.parametrize("q", NUMBERS + TEXTS)
def test_one_field_finds_numbers_in_any_spelling_codes_texts_and_templates(client: Client, q: str) -> None:
    client.send("13700137000", sms_free_sign_name="other", sms_template_code="T", sms_param='{"code": "1"}', extend="")
    client.send("13800138000", sms_param='{"code": "730452"}', extend="order-7")
    shown = client.api("GET", "/api/messages", params={"q": q}).json()
    assert [message["phone"] for message in shown] == ["13800138000"]
    page = client.api("GET", "/", params={"q": q}).text
    assert "Messages: 1<" in page.replace("\n", "")
    assert "To 13700137000" not in page


def test_a_search_within_one_phone_narrows_it_further(client: Client) -> None:
    client.send("13800138000", extend="a")
    client.send("13800138000", extend="b")
    client.send("13700137000", extend="a")
    shown = client.api("GET", "/api/messages?phone=13800138000&q=a&limit=5").json()
    assert {message["phone"] for message in shown} == {"13800138000"}
    shown = client.api("GET", "/api/messages?phone=13800138000&q=alidayu&limit=1").json()
    assert [message["extend"] for message in shown] == ["b"]


@pytest.mark.parametrize("q", ["nowhere", '"><script>alert(1)</script>', "\u202e", "𝟙" * 1000, "%", "١٣٨"])
def test_a_search_that_finds_nothing_says_so(client: Client, q: str) -> None:
    client.send()
    page = client.api("GET", "/", params={"q": q})
    assert page.status_code == 200
    assert "No message matches" in page.text
    assert f'value="{html.escape(q)}"'.replace("&quot;", "&#34;") in page.text


@pytest.mark.parametrize("q", ["", "  ", "\n"])
def test_an_empty_search_shows_all(client: Client, q: str) -> None:
    client.send()
    assert "To 13800138000" in client.api("GET", "/", params={"q": q}).text


# Forms


def test_clearing_forgets_the_messages_and_leads_back_to_the_page(client: Client) -> None:
    client.send()
    reply = post(client, "/clear?q=138%26")
    assert (reply.status_code, reply.headers["location"]) == (303, "/?q=138%26")
    assert client.sandbox.messages() == []
    assert post(client, "/clear").headers["location"] == "/"


def test_a_fault_is_queued_by_the_form_and_shown_with_its_scope(client: Client) -> None:
    form = {"fault": "drop", "api": "sendSms", "times": "3", "phone": "+86 138 0013 8000"}
    assert post(client, "/faults", form).headers["location"] == "/"
    assert client.sandbox.faults() == [Fault("drop", times=3, api="sendSms", phone="13800138000")]
    page = client.api("GET", "/").text
    assert "the connection is dropped; sent<" in page
    assert "3 × sendSms · 13800138000" in page


def test_a_field_left_empty_says_nothing(client: Client) -> None:
    post(client, "/faults", {"fault": "lost", "api": "", "times": "", "phone": " "})
    assert client.sandbox.faults() == [Fault("lost")]


def test_the_queue_is_cleared_by_its_button(client: Client) -> None:
    client.sandbox.add_fault(Fault("drop"))
    assert post(client, "/faults/clear").status_code == 303
    assert client.sandbox.faults() == []


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({}, "Unknown fault"),
        ({"fault": "nonsense"}, "Unknown fault 'nonsense'"),
        ({"fault": "drop", "times": "0"}, "Send a whole number from 1 to 10000."),
        ({"fault": "drop", "times": "９９"}, "Send a whole number from 1 to 10000."),
        ({"fault": "drop", "times": "9" * 5000}, "Send a whole number from 1 to 10000."),
        ({"fault": "drop", "api": "<b>"}, "Unknown api '<b>'"),
        ({"fault": "lost", "api": "querySmsDetail"}, "'lost' only applies to sendSms"),
        ({"fault": "drop", "phone": '"><script>'}, "is not a phone number"),
    ],
)
def test_what_is_wrong_with_a_fault_is_said_above_its_form(client: Client, form: dict[str, str], problem: str) -> None:
    reply = post(client, "/faults", form)
    assert reply.status_code == 422
    alert = re.search(r'role="alert" data-part="fault-problem">([^<]*)<', reply.text)
    assert alert
    assert problem in html.unescape(alert[1])
    assert client.sandbox.faults() == []
    assert "<script>" not in reply.text.replace("<script nonce", "")


def test_what_was_typed_is_still_there_after_a_problem(client: Client) -> None:
    text = post(client, "/faults", {"fault": "half", "api": "SendSms", "times": "7", "phone": "12"}).text
    assert '<option value="half" selected>' in text
    assert "<option selected>SendSms</option>" in text
    assert 'value="7"' in text
    assert 'value="12"' in text


def test_a_form_beyond_all_bounds_is_refused(client: Client) -> None:
    assert post(client, "/faults", {"fault": "x" * 100_000}).status_code == 422
    assert post(client, "/faults", {str(n): "x" for n in range(30)}).status_code == 422
    assert client.sandbox.faults() == []


FORMS = ["/clear", "/faults", "/faults/clear"]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": None},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Origin": None, "Sec_Fetch_Site": "same-site"},
        {"Origin": "http://localhost:1", "Sec_Fetch_Site": "same-origin"},
    ],
)
def test_a_form_that_does_not_come_from_the_page_changes_nothing(
    client: Client, path: str, headers: dict[str, str | None]
) -> None:
    client.send()
    client.sandbox.add_fault(Fault("drop"))
    reply = post(client, path, {"fault": "half"}, **headers)
    assert reply.status_code == 403
    assert (len(client.sandbox.messages()), len(client.sandbox.faults())) == (1, 1)


@pytest.mark.parametrize("path", FORMS)
def test_a_form_of_the_page_is_taken_by_what_the_browser_says_of_it(client: Client, path: str) -> None:
    assert post(client, path, {"fault": "half"}, Origin=None, Sec_Fetch_Site="same-origin").status_code == 303


@pytest.mark.parametrize("path", ["/", "/api/messages", "/api/events"])
def test_another_site_may_link_to_the_page_and_ask_for_nothing(client: Client, path: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.api("GET", path, headers=headers).status_code == 403
    linked = headers | {"Sec-Fetch-Mode": "navigate"}
    assert client.api("HEAD", path, headers=linked).status_code == 200


# The request


def test_a_message_shows_the_request_that_sent_it_without_its_secret(client: Client) -> None:
    client.send()
    request = request_of(client)
    assert (request["method"], request["path"], request["body"]) == ("GET", "/gw/alidayu/sendSms", "")
    assert "sms_template_code=SMS_585014" in str(request["query"])
    assert "sandbox-secret" not in json.dumps(request)
    page = client.api("GET", "/").text
    assert "sandbox-secret" not in page
    assert "x-ca-key: sandbox\nx-ca-secret: ***\n" in page
    assert "GET /gw/alidayu/sendSms?sms_type=normal&amp;sms_free_sign_name=" in page


def test_a_signed_request_shows_no_signature(client: Client, alibaba: Alibaba) -> None:
    alibaba.send()
    request = request_of(client)
    authorization = request["headers"]["authorization"]  # type: ignore[index]
    assert re.fullmatch(r"ACS3-HMAC-SHA256 Credential=sandbox,SignedHeaders=[^,]+,Signature=\*\*\*", authorization)
    assert not re.search("Signature=[0-9a-f]", client.api("GET", "/").text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"authorization", b"Bearer s3cr3t Signature=s3cr3t"),
        (b"authorization", b"Basic s3cr3t"),
        (b"authorization", b"ACS3-HMAC-SHA256 Signature=s3cr3t,Credential=s3cr3t"),
        (b"x-ca-secret", b"s3cr3t"),
        (b"cookie", b"session=s3cr3t"),
        (b"x-acs-security-token", b"s3cr3t"),
    ],
)
def test_no_header_that_is_a_secret_is_kept(name: bytes, value: bytes) -> None:
    kept = recorded(WireRequest("GET", b"/", b"", {name: value}))
    assert "***" in kept.headers[name.decode()]
    assert "s3cr3t" not in repr(kept)


@pytest.mark.parametrize(
    "request_",
    [
        WireRequest("POST", b"/", b"", {}, b"x" * 65_000),
        WireRequest("POST", b"/", b"q" * 60_000, {b"a": b"b"}, b"body"),
        WireRequest("POST", b"/", b"", {str(n).encode(): b"v" * 100 for n in range(1000)}, b"\xff" * 100),
    ],
)
def test_a_long_request_is_kept_in_part_and_says_so(request_: WireRequest) -> None:
    kept = recorded(request_)
    texts = [kept.method, kept.path, kept.query, *kept.headers, *kept.headers.values(), kept.body]
    assert sum(map(len, texts)) == MAX_RECORDED
    assert kept.is_cut
    assert not recorded(WireRequest("GET", b"/", b"q", {b"a": b"b"}, b"")).is_cut


def test_a_message_that_came_without_a_request_shows_none(client: Client) -> None:
    client.sandbox.record(Sms(("13800138000",), "T", "S", {}, "text", ""), "1")
    assert request_of(client) is None
    assert "The request" not in client.api("GET", "/").text


# Details


def test_the_details_tell_how_the_message_came_about_and_what_became_of_it(client: Client) -> None:
    biz_id = client.send().json()["model"]
    page = client.api("GET", "/").text
    for shown in ("Alidayu, sendSms", "<bdi>SMS_585014</bdi>", f"<code>{biz_id}</code>", "<bdi>1234</bdi>", "none yet"):
        assert shown in page
    client.clock.now += 1
    page = client.api("GET", "/").text
    assert (
        '<span class="delivered">delivered</span>, <bdi>000</bdi>, <time datetime="2027-01-15T12:00:01+08:00"' in page
    )


HOSTILE = ["\u202e" * 3 + "evil", "'\"><script>alert(1)</script>", "{{ 7*7 }}", "长" * 20_000, "\x00\n", "</li></ol>"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_message_is_text_throughout(client: Client, text: str) -> None:
    client.sandbox.record(Sms(("13800138000",), text, text, {"code": text, text: text}, text, text), text)
    page = client.api("GET", "/").text
    assert html.unescape(page).count(text) >= 5
    assert "<script>" not in page
    assert page.count("</li>") == page.count("<li ") == 1
    news = re.search('data-news="([^"]*)"', page)
    assert news
    assert len(html.unescape(news[1])) < 100


def test_a_code_too_long_to_type_is_not_highlighted(client: Client) -> None:
    client.send(sms_param=json.dumps({"code": "1" * 13}))
    assert 'class="code"' not in client.api("GET", "/").text
    client.send(sms_param=json.dumps({"code": "1" * 12}))
    assert 'class="code"' in client.api("GET", "/").text
