"""The forms of the Django integration, tested with Django's own client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.test import Client, override_settings
from django.urls import get_script_prefix
from django_site import PHONE, Browser, Site, User, hidden, site

from otpkit import ConfigurationError, Policy


@pytest.fixture
def live() -> Iterator[Site]:
    with site() as live:
        yield live


def session_of(browser: Browser) -> str:
    return str(browser.cookies[settings.SESSION_COOKIE_NAME].value)


def test_a_person_signs_up(live: Site) -> None:
    browser = Browser()
    answer = browser.verify(live, "/signup/")
    assert (answer.status_code, answer["Location"], answer["Cache-Control"]) == (302, "/account/", "no-store")
    assert browser.get("/signup/")["Location"] == "/account/"  # This holds while the proof lives.
    token = browser.get("/custom/")
    answer = browser.post("/account/", {"csrfmiddlewaretoken": hidden(token)["csrfmiddlewaretoken"]})
    assert answer.content.decode() == PHONE
    assert browser.get("/home/").content.decode() == PHONE


def test_a_person_logs_in_in_a_session_of_its_own(live: Site) -> None:
    User.objects.create(username=PHONE)
    browser = Browser()
    browser.fill("/login/", phone="139 0013 9000")
    planted = session_of(browser)
    answer = browser.fill("/login/", code=live.code)
    assert answer["Location"] == "/home/"
    assert browser.get("/home/").content.decode() == PHONE
    thief = Browser()
    thief.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert thief.get("/home/").content == b""


def test_a_proof_stands_in_a_session_of_its_own_too(live: Site) -> None:
    browser = Browser()
    browser.fill("/signup/", phone=PHONE)
    planted = session_of(browser)
    browser.fill("/signup/", code=live.code)
    thief = Browser()
    thief.cookies[settings.SESSION_COOKIE_NAME] = planted
    token = hidden(thief.get("/custom/"))["csrfmiddlewaretoken"]
    assert thief.post("/account/", {"csrfmiddlewaretoken": token}).content == b"invalid_token"


@pytest.mark.parametrize("is_logged_in", [False, True])
@pytest.mark.parametrize("engine", ["db", "cache", "cached_db"])
def test_a_planted_session_redeems_nothing(live: Site, engine: str, is_logged_in: bool) -> None:
    """This includes a session in which the attacker is logged in, whose id does not change."""
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}"):
        attacker, victim = Browser(), Browser()
        if is_logged_in:
            attacker.force_login(User.objects.create(username="mallory"), "django.contrib.auth.backends.ModelBackend")
        attacker.get("/signup/")
        victim.cookies[settings.SESSION_COOKIE_NAME] = session_of(attacker)
        assert victim.verify(live, "/signup/")["Location"] == "/account/"
        form = {"key": "one"}
        for browser, answer in ((attacker, b"invalid_token"), (victim, PHONE.encode()), (attacker, b"invalid_token")):
            token = hidden(browser.get("/custom/"))["csrfmiddlewaretoken"]
            assert browser.post("/account/", form | {"csrfmiddlewaretoken": token}).content == answer


def test_the_proofs_cookie_is_sent_where_the_sessions_is(live: Site) -> None:
    named = {"SECURE": True, "DOMAIN": "testserver", "PATH": "/", "SAMESITE": "Strict"}
    with override_settings(**{f"SESSION_COOKIE_{name}": value for name, value in named.items()}):
        browser = Browser()
        browser.verify(live, "/signup/")
    cookie, session = browser.cookies["otpkit_proof_signup"], browser.cookies[settings.SESSION_COOKIE_NAME]
    for name in ("secure", "domain", "path", "samesite", "httponly"):
        assert cookie[name] == session[name]
    assert (cookie["httponly"], cookie["max-age"]) == (True, 300)
    assert PHONE[1:] not in cookie.value


@pytest.fixture(params=["db", "cache", "cached_db", "signed_cookies"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{request.param}"):
        yield request.param


def test_a_login_form_that_comes_twice_logs_in_twice_alike(live: Site, engine: str) -> None:
    User.objects.create(username=PHONE)
    browser = Browser()
    browser.fill("/login/", phone=PHONE)
    form = hidden(browser.get("/login/")) | {"code": live.code}
    before = dict(browser.cookies)
    for _ in range(2):  # The browser never received the first answer.
        browser.cookies.clear()
        browser.cookies.update(before)
        assert browser.post("/login/", form)["Location"] == "/home/"
        assert browser.get("/home/").content.decode() == PHONE


def test_an_account_form_that_comes_twice_is_answered_twice_alike(live: Site) -> None:
    browser = Browser()
    browser.verify(live, "/signup/")
    form = {"csrfmiddlewaretoken": hidden(browser.get("/custom/"))["csrfmiddlewaretoken"], "key": "form 1"}
    before = dict(browser.cookies)
    for _ in range(2):
        browser.cookies.clear()
        browser.cookies.update(before)
        assert browser.post("/account/", form).content.decode() == PHONE
    browser.cookies.update(before)
    assert browser.post("/account/", form | {"key": "form 2"}).content == b"used_token"
    assert User.objects.count() == 1


def test_a_form_sent_twice_sends_one_message(live: Site) -> None:
    browser = Browser()
    form = hidden(browser.get("/signup/")) | {"phone": PHONE}
    assert [browser.post("/signup/", form).status_code for _ in range(2)] == [303, 303]
    assert len(live.outbox) == 1


def test_a_login_without_an_account_says_so_once_the_code_was_right(live: Site) -> None:
    User.objects.create(username="+8613700137000", is_active=False)
    for phone in (PHONE, "+8613700137000"):
        browser = Browser()
        assert browser.fill("/login/", phone=phone).status_code == 303  # The answer is the same for any number.
        answer = browser.fill("/login/", code=live.code)
        assert answer.status_code == 403
        assert "There is no account with this number." in answer.content.decode()
        assert browser.get("/home/").content == b""
        assert 'value="send"' in browser.get("/login/").content.decode()


def test_what_strangers_see_does_not_depend_on_whether_there_is_an_account(live: Site) -> None:
    User.objects.create(username=PHONE)
    seen = set()
    for url in ("/signup/", "/login/"):
        for phone in (PHONE, "+8613700137000"):
            browser = Browser()
            answer = browser.fill(url, phone=phone)
            wrong = browser.fill(url, code="x")
            seen.add((answer.status_code, answer["Location"], wrong.status_code, "alert" in wrong.content.decode()))
    assert seen == {(303, url, 422, True) for url in ("/signup/", "/login/")}


def test_the_code_is_tied_to_the_session(live: Site) -> None:
    owner, thief = Browser(), Browser()
    owner.fill("/signup/", phone=PHONE)
    thief.fill("/signup/", phone="+8613700137000")
    answer = thief.fill("/signup/", code=live.outbox[0].code)
    assert answer.status_code == 422
    assert owner.fill("/signup/", code=live.outbox[0].code)["Location"] == "/account/"


@pytest.mark.parametrize("url", ["/signup/", "/login/", "/payment/"])
def test_a_post_without_djangos_csrf_token_is_refused(live: Site, url: str) -> None:
    browser = Browser()
    form = hidden(browser.get(url)) | {"phone": PHONE}
    del form["csrfmiddlewaretoken"]
    assert browser.post(url, form).status_code == 403
    with override_settings(MIDDLEWARE=[name for name in settings.MIDDLEWARE if "Csrf" not in name]):
        browser = Browser()
        form = hidden(browser.get(url)) | {"phone": PHONE}
        token = form.pop("csrfmiddlewaretoken")
        assert browser.post(url, form).status_code == 403
        assert not live.outbox
        assert browser.post(url, form | {"csrfmiddlewaretoken": token}).status_code == 303
    assert len(live.outbox) == 1


def test_a_form_of_an_earlier_session_sends_nothing(live: Site) -> None:
    browser = Browser()
    form = hidden(browser.get("/signup/")) | {"phone": PHONE}
    del browser.cookies[settings.SESSION_COOKIE_NAME]
    assert browser.post("/signup/", form).status_code == 403
    assert not live.outbox


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("/paid/?a=1&b=2", "/paid/?a=1&b=2"),
        ("http://testserver/x", "http://testserver/x"),
        ("https://evil.example/", "/home/"),
        ("//evil.example", "/home/"),
        ("/\\evil.example", "/home/"),
        ("http:///evil.example", "/home/"),
        ("javascript:alert(1)", "/home/"),
        ("\n//evil.example", "/home/"),
        ("", "/home/"),
    ],
)
def test_next_leads_to_this_site_alone(live: Site, asked: str, leads_to: str) -> None:
    User.objects.create(username=PHONE)
    browser = Browser()
    browser.get("/login/", {"next": asked})
    assert browser.verify(live, "/login/")["Location"] == leads_to


def test_a_sign_up_hands_next_on_to_the_account_form(live: Site) -> None:
    browser = Browser()
    browser.get("/signup/", {"next": "/cart/?a=1&b=2"})
    browser.get("/signup/", {"lang": "zh"})  # This redirects to the page without its query.
    assert browser.verify(live, "/signup/")["Location"] == "/account/?next=%2Fcart%2F%3Fa%3D1%26b%3D2"


def test_a_view_of_ones_own_decides_what_a_proof_is_for(live: Site) -> None:
    browser = Browser()
    assert browser.verify(live, "/custom/").content.decode() == f"verified {PHONE}"
    assert browser.verify(live, "/payment/")["Location"] == "/paid/"


def test_a_page_of_ones_own_is_shown_by_the_same_rules(live: Site) -> None:
    browser = Browser()
    page = browser.get("/own-page/")
    assert page.content.decode() == "<p>phone en</p>"
    assert page["Cache-Control"] == "no-store"
    assert "nonce-" in page["Content-Security-Policy"]
    assert browser.post("/own-page/", {}).status_code == 403


@pytest.mark.parametrize("url", ["/signup/", "/login/", "/custom/"])
def test_reports_of_errors_hide_the_number_and_the_code(live: Site, url: str) -> None:
    answer = Browser().fill(url, phone=PHONE)
    assert answer.wsgi_request.sensitive_post_parameters == ("phone", "code")


def test_a_verification_keeps_the_current_login(live: Site) -> None:
    browser = Browser()
    browser.force_login(User.objects.create(username="ada"), "django.contrib.auth.backends.ModelBackend")
    assert browser.verify(live, "/payment/")["Location"] == "/paid/"
    assert browser.get("/home/").content == b"ada"


def test_logging_in_as_somebody_else_ends_the_session_before(live: Site) -> None:
    User.objects.create(username=PHONE)
    browser = Browser()
    browser.force_login(User.objects.create(username="ada"), "django.contrib.auth.backends.ModelBackend")
    before = session_of(browser)
    browser.verify(live, "/login/")
    assert browser.get("/home/").content.decode() == PHONE
    browser.cookies[settings.SESSION_COOKIE_NAME] = before
    assert browser.get("/home/").content == b""


def test_a_view_that_leads_nowhere_says_what_it_needs(live: Site) -> None:
    with pytest.raises(ConfigurationError, match="needs success_url"):
        Browser().verify(live, "/nowhere/")


def test_without_its_backend_a_login_says_what_it_needs(live: Site) -> None:
    with (
        override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"]),
        pytest.raises(ConfigurationError, match="PhoneBackend"),
    ):
        Browser().verify(live, "/login/")


def test_without_sessions_the_view_says_what_it_needs(live: Site) -> None:
    with (
        override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware"]),
        pytest.raises(ConfigurationError, match="SessionMiddleware"),
    ):
        Browser().get("/signup/")


@pytest.mark.parametrize(
    ("accept", "chosen", "html"),
    [("zh-CN,zh;q=0.9", "", "zh-CN"), ("en", "", "en"), ("fr", "", "en"), ("en", "zh", "zh-CN")],
)
def test_the_page_speaks_djangos_language_or_the_one_chosen(live: Site, accept: str, chosen: str, html: str) -> None:
    browser = Browser(headers={"Accept-Language": accept})
    if chosen:
        assert browser.get("/signup/", {"lang": chosen})["Location"] == "/signup/"
    page = browser.get("/signup/")
    assert f'<html lang="{html}"' in page.content.decode()
    assert page["Content-Language"] == html
    answer = browser.fill("/signup/", phone="12")
    assert answer.status_code == 422
    assert ("请输入正确的手机号码。" in answer.content.decode()) == (html == "zh-CN")


@pytest.mark.parametrize(
    "fields",
    [
        {"phone": ""},
        {"phone": "x" * 1_000_000},
        {"phone": ["1", "2"]},
        {"phone": "139\n0013\r9000"},
        {"phone": "\x00"},
        {"phone": "<script>"},
        {"code": "1" * 1_000_000},
        {"action": "x"},
        {"key": "k" * 100_000},
        {"csrf": b"\xff\xed\xa0\x80"},
    ],
)
def test_odd_input_sends_nothing_and_breaks_nothing(live: Site, fields: dict[str, Any]) -> None:
    browser = Browser()
    answer = browser.post("/signup/", hidden(browser.get("/signup/")) | fields)
    assert answer.status_code in {303, 403, 413, 422}
    assert not live.outbox
    assert len(answer.content) < 100_000
    assert b"<script>" not in answer.content.replace(b"<script nonce", b"")


def test_a_form_as_multipart_is_taken_too(live: Site) -> None:
    browser = Browser()
    form = hidden(browser.get("/signup/")) | {"phone": PHONE}
    assert Client.post(browser, "/signup/", form).status_code == 303
    assert len(live.outbox) == 1


def test_full_width_digits_are_digits(live: Site) -> None:
    assert Browser().fill("/signup/", phone="１３９００１３９０００").status_code == 303


def test_a_limit_is_told_and_the_code_can_still_be_typed() -> None:
    with site(POLICY=Policy()) as live:
        browser = Browser()
        browser.fill("/signup/", phone=PHONE)
        answer = browser.fill("/signup/", action="send", phone=PHONE)
        assert answer.status_code == 429
        assert 1 <= int(answer["Retry-After"]) <= 60
        assert browser.fill("/signup/", code=live.code)["Location"] == "/account/"


def test_the_address_is_the_one_before_the_own_proxies() -> None:
    with site(FORWARDED_HOPS=1, POLICY=Policy(ip_sends="1/hour")):
        statuses = [
            Browser(headers={"X-Forwarded-For": f"{i}.9.9.9, {ip}"})
            .fill("/signup/", phone=f"1390013900{i}")
            .status_code
            for i, ip in enumerate(["8.8.8.8", "8.8.8.8", "9.9.9.9"])
        ]
    assert statuses == [303, 429, 303]


def test_without_redis_nothing_is_sent_and_the_visitor_is_told(live: Site) -> None:
    with override_settings(OTPKIT=live.options(REDIS="redis://127.0.0.1:1/0")):
        answer = Browser().fill("/signup/", phone=PHONE)
    assert answer.status_code == 503
    assert not live.outbox


def test_a_message_that_may_not_have_been_sent_leads_to_the_form_for_the_code(live: Site) -> None:
    live.outbox.lose_next()
    browser = Browser()
    assert browser.fill("/signup/", phone=PHONE).status_code == 303
    assert 'autocomplete="one-time-code"' in browser.get("/signup/").content.decode()


def test_a_proof_that_is_too_old_is_none(live: Site) -> None:
    browser = Browser()
    browser.verify(live, "/signup/")
    live.clock.advance(301)
    assert browser.get("/signup/").status_code == 200
    token = hidden(browser.get("/signup/"))["csrfmiddlewaretoken"]
    assert browser.post("/account/", {"csrfmiddlewaretoken": token}).content == b"invalid_token"


def test_the_site_may_stand_below_a_prefix(live: Site) -> None:
    assert get_script_prefix() == "/"
    page = Browser().get("/signup/", SCRIPT_NAME="/shop")
    assert 'action="/shop/signup/"' in page.content.decode()


FIRST = {"key": "fixed", "name": "Ada"}


def redeemed(browser: Browser, form: Any, path: str = "/redeem/", **options: Any) -> Any:
    answer = Client.post(browser, path, form, **options)
    return answer.json() if answer.status_code == 200 else answer.content.decode()


@pytest.mark.parametrize("kind", ["multipart", "urlencoded", "json"])
def test_another_request_under_the_same_key_is_used(live: Site, kind: str) -> None:
    """The fields, the query or the path differ. The same request is a replay, with any CSRF token."""
    browser = Browser()
    browser.handler.enforce_csrf_checks = False
    browser.verify(live, "/signup/")

    def send(form: dict[str, str], path: str = "/redeem/") -> Any:
        if kind == "multipart":
            return redeemed(browser, form, path)
        if kind == "json":
            return redeemed(browser, form, path, content_type="application/json", headers={"Key": form["key"]})
        return redeemed(browser, urlencode(form), path, content_type="application/x-www-form-urlencoded")

    assert send(FIRST) == {"phone": PHONE, "replayed": False}
    assert send(FIRST) == {"phone": PHONE, "replayed": True}
    if kind != "json":
        assert send(FIRST | {"csrfmiddlewaretoken": "another"})["replayed"] is True
    for form, path in (
        (FIRST | {"name": "Eve"}, "/redeem/"),
        (FIRST | {"more": ""}, "/redeem/"),
        (FIRST, "/redeem/?more"),
        (FIRST | {"key": "other"}, "/redeem/"),
    ):
        assert send(form, path) == "used_token"
    assert send(FIRST)["replayed"] is True


def test_another_file_under_the_same_key_is_used(live: Site) -> None:
    """Its content is part of the fingerprint, and the view can still read it."""
    browser = Browser()
    browser.handler.enforce_csrf_checks = False
    browser.verify(live, "/signup/")
    for content, expected in (("Ada", False), ("Ada", True), ("Eve", None)):
        answer = redeemed(browser, FIRST | {"file": ContentFile(content, "name.txt")})
        assert answer == ("used_token" if expected is None else {"phone": PHONE, "replayed": expected, "file": content})


def test_a_body_that_was_read_as_a_stream_is_not_looked_at(live: Site) -> None:
    """Django REST framework reads the body like this. A second request then counts as a replay."""
    browser = Browser()
    browser.handler.enforce_csrf_checks = False
    browser.verify(live, "/signup/")
    options: Any = {"content_type": "application/json", "headers": {"Key": "fixed", "Read-Before": "1"}}
    answers = [redeemed(browser, {"name": name}, **options)["replayed"] for name in ("Ada", "Ada", "Eve")]
    assert answers == [False, True, True]
