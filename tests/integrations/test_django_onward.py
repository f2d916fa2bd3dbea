"""A Django view without a valid proof links to the next step, and a login keeps no session data of a stranger."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import AsyncClient, override_settings
from django_site import PHONE, Browser, Site, User, hidden, site

HTML = {"HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8"}
ENGINES = ["db", "cache", "file", "signed_cookies"]


@pytest.fixture
def live() -> Iterator[Site]:
    with site() as live:
        yield live


def link(answer: Any) -> str:
    """Return the only link of a page."""
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    (found,) = re.findall(r'<a [^>]*href="([^"]+)"', answer.content.decode())
    return unescape(found)


def test_a_view_without_a_proof_leads_to_the_phones_form(live: Site) -> None:
    browser = Browser()
    answer = browser.get("/plain/", **HTML)
    assert (answer.status_code, link(answer), answer["Cache-Control"]) == (401, "/signup/", "no-store")
    assert "Please verify your phone number again." in answer.content.decode()
    assert browser.get(link(answer)).status_code == 200


def test_so_does_one_after_the_five_minutes_or_a_second_time(live: Site) -> None:
    browser = Browser()
    browser.verify(live, "/signup/")
    live.clock.advance(301)
    assert link(browser.get("/plain/", **HTML)) == "/signup/"
    assert browser.verify(live, "/signup/")["Location"] == "/account/"
    assert browser.get("/plain/", **HTML).content.decode() == PHONE
    assert link(browser.get("/plain/", **HTML)) == "/signup/"


def test_the_way_leads_back_to_what_was_wanted(live: Site) -> None:
    browser = Browser()
    wanted = link(browser.get("/pay/42/?a=1&b=2", **HTML))
    assert wanted == "/payment/?next=%2Fpay%2F42%2F%3Fa%3D1%26b%3D2"
    assert browser.verify(live, wanted)["Location"] == "/pay/42/?a=1&b=2"
    assert browser.get("/pay/42/?a=1&b=2", **HTML).content.decode() == PHONE
    assert link(browser.get("/nested/deep/er/", **HTML)) == "/nested/deep/?next=%2Fnested%2Fdeep%2Fer%2F"


def test_a_client_gets_a_document(live: Site) -> None:
    for headers in ({}, {"HTTP_ACCEPT": "application/json"}):
        answer = Browser().get("/plain/", **headers)
        assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")
        assert answer.json()["code"] == "invalid_token"


def test_the_page_speaks_djangos_language(live: Site) -> None:
    answer = Browser().get("/plain/", HTTP_ACCEPT_LANGUAGE="zh-hans", **HTML)
    assert "请重新验证手机号码。" in answer.content.decode()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_language_that_was_chosen_on_the_pages_is_kept(live: Site, engine: str, tmp_path: Any) -> None:
    """It is kept for a purpose; other purposes have Django's."""
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}", SESSION_FILE_PATH=tmp_path):
        browser = Browser()
        browser.get("/signup/?lang=zh")
        assert "请重新验证手机号码。" in browser.get("/plain/", **HTML).content.decode()
        assert "Please verify your phone number again." in browser.get("/pay/42/", **HTML).content.decode()


def test_an_async_view_is_answered_alike(live: Site) -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        answer = asyncio.run(_get("/async/"))
    assert (answer.status_code, link(answer)) == (401, "/signup/")


async def _get(path: str) -> Any:
    return await AsyncClient().get(path, headers={"accept": "text/html"})


def test_the_site_may_stand_below_a_prefix(live: Site) -> None:
    assert link(Browser().get("/plain/", SCRIPT_NAME="/shop", **HTML)) == "/shop/signup/"


def test_an_error_of_the_deployment_is_still_the_sites() -> None:
    with site(SECRET=()), pytest.raises(Exception, match="secret must be"):
        Browser().get("/plain/", **HTML)


def test_the_sites_own_middleware_comes_first(live: Site) -> None:
    assert settings.MIDDLEWARE[0] == "otpkit.integrations.django.middleware.PhoneErrorMiddleware"
    own = [*settings.MIDDLEWARE, "test_django_onward.TeapotMiddleware"]
    with override_settings(MIDDLEWARE=own):
        assert Browser().get("/plain/").status_code == 418


class TeapotMiddleware:
    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def process_exception(self, request: Any, error: Exception) -> Any:
        from django.http import HttpResponse

        return HttpResponse(status=418)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("url", ["/login/", "/signup/"])
def test_a_login_keeps_nothing_that_was_planted(live: Site, engine: str, url: str, tmp_path: Any) -> None:
    """The login is by the login page, or by `log_in` after a sign-up."""
    with override_settings(
        SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}", SESSION_FILE_PATH=str(tmp_path)
    ):
        User.objects.create(username=PHONE)
        browser = Browser()
        browser.get(url)
        session = browser.session
        session.update({"cart": "the stranger's", "next": "/stranger/"})
        session.save()
        if engine == "signed_cookies":
            browser.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
        browser.fill(url, phone=PHONE)
        assert browser.session["cart"] == "the stranger's"
        browser.fill(url, code=live.code)
        if url == "/signup/":
            token = hidden(browser.get("/custom/"))["csrfmiddlewaretoken"]
            assert browser.post("/account/", {"csrfmiddlewaretoken": token}).content.decode() == PHONE
        assert browser.get("/home/").content.decode() == PHONE
        names = {name for name, _ in browser.session.items() if not name.startswith("_auth")}
        assert names <= {"otpkit"}
        kept = [name for state in browser.session.get("otpkit", {}).values() for name in state]
        assert set(kept) <= {"id", "csrf", "redeemed", "language"}
