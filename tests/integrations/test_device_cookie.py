"""The cookie with the device tokens of a browser, in each framework: who has it is no stranger to the number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django_site import Browser, Site, site
from served_apps import Framework, Served, serving
from support.form_visitor import FormVisitor

from otpkit import Policy
from otpkit.testing import MovableClock
from otpkit.web import DEVICES_COOKIE

PHONE, OTHERS = "+8613800138000", [f"+861380013800{number}" for number in range(1, 6)]
DAY, HOUR = 86_400, 3600
FRAMEWORKS: list[Framework] = ["fastapi", "flask"]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(params=FRAMEWORKS)
def served(request: pytest.FixtureRequest, clock: MovableClock) -> Iterator[Served]:
    with serving(request.param, clock=clock) as served:
        yield served


def browser(served: Served, page: str = "signup") -> FormVisitor:
    visitor = FormVisitor(f"{served.url}/{page}")
    visitor.look()
    return visitor


def verify(served: Served, visitor: FormVisitor, phone: str = PHONE) -> requests.Response:
    """Verify a phone; return the response to the right code."""
    visitor.look()
    if 'name="code"' in visitor.page.text:
        visitor.post("restart")
    visitor.post("send", phone=phone)
    return visitor.send(visitor.form("verify", code=served.code(phone)), follow=False)


def set_by(response: requests.Response) -> str:
    """Return the header that sets the cookie."""
    headers = response.raw.headers.getlist("Set-Cookie")
    return next((each for each in headers if each.startswith(DEVICES_COOKIE)), "")


@pytest.mark.parametrize("page", ["signup", "login"])
def test_right_code_sets_the_cookie(served: Served, page: str) -> None:
    """Also where the application answers itself; no script reads it, and other sites' forms do not send it."""
    visitor = browser(served, page)
    header = set_by(verify(served, visitor))
    attributes = {each.strip().lower() for each in header.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/", f"max-age={180 * DAY}"} <= attributes
    assert "secure" not in attributes  # This test is not on HTTPS.
    assert PHONE[3:] not in header


def test_wrong_code_sets_none(served: Served) -> None:
    """Nor does looking."""
    visitor = browser(served)
    visitor.post("send", phone=PHONE)
    code = served.code(PHONE)
    visitor.post("verify", code=f"{code[:-1]}{(int(code[-1]) + 1) % 10}")
    assert DEVICES_COOKIE not in visitor.cookies()


def test_known_browser_gets_a_code_that_a_stranger_does_not(served: Served, clock: MovableClock) -> None:
    """After its session has ended: the cookie is apart from it. The page says the same as the call."""
    known = browser(served)
    verify(served, known)
    kept = known.cookies()[DEVICES_COOKIE]
    for _ in range(6):
        clock.advance(HOUR)
        assert browser(served).post("send", phone=PHONE).status_code == 200
    clock.advance(HOUR)
    stranger = browser(served)
    assert stranger.post("send", phone=PHONE).status_code == 429
    again = FormVisitor(f"{served.url}/signup")
    again.session.cookies.set(DEVICES_COOKIE, kept)
    again.look()
    page = again.post("send", phone=PHONE)
    assert page.status_code == 200
    assert again.post("verify", code=served.code(PHONE)).url == f"{served.url}/account"
    assert again.cookies()[DEVICES_COOKIE] != kept  # a newer token of the same number


def test_cookie_keeps_four_numbers(served: Served, clock: MovableClock) -> None:
    """The latest; a number verified again has one token, and what is no token goes."""
    visitor = browser(served, "login")
    visitor.session.cookies.set(DEVICES_COOKIE, "junk~<script>~" + "x" * 100, domain="127.0.0.1", path="/")
    for phone in [PHONE, *OTHERS, OTHERS[-1]]:
        clock.advance(HOUR)
        verify(served, visitor, phone)
        found = visitor.session.cookies.get(DEVICES_COOKIE, domain="127.0.0.1") or ""
    tokens = found.split("~")
    assert len(tokens) == 4
    assert len({token.partition(".")[0] for token in tokens}) == 4


@pytest.mark.parametrize("value", ["", "junk", "~~~~", "a.b.c", "x" * 4000, "%00", "é".encode().decode("latin-1")])
def test_bad_cookie_is_a_strangers(served: Served, value: str) -> None:
    """Anything can be in it."""
    visitor = browser(served)
    headers = {"Cookie": "; ".join([f"{k}={v}" for k, v in visitor.cookies().items()] + [f"{DEVICES_COOKIE}={value}"])}
    form = visitor.form("send", phone=PHONE)
    answer = requests.post(visitor.url, form, headers=headers, timeout=20, allow_redirects=False)
    assert answer.status_code == 303


def test_json_router_carries_the_token(clock: MovableClock) -> None:
    """In requests and answers; a wrong type is a wrong field."""
    with serving("fastapi", clock=clock) as served, requests.Session() as session:

        def post(path: str, **body: Any) -> requests.Response:
            return session.post(f"{served.url}/api/signup{path}", json={"phone": PHONE, **body}, timeout=20)

        post("/challenges")
        device = post("/verifications", code=served.code(PHONE)).json()["device"]
        for _ in range(6):
            clock.advance(HOUR)
            assert post("/challenges").status_code == 202
        clock.advance(HOUR)
        assert post("/challenges").status_code == 429
        assert post("/challenges", device="junk").status_code == 429
        assert post("/challenges", device=[device]).status_code == 422
        assert post("/challenges", device=device).json()["sends_left"] == 2
        assert post("/challenges/status", device=device).json()["sends_left"] == 2
        assert post("/verifications", code=served.code(PHONE), device=device).json()["device"] != device


@pytest.fixture
def django_site(clock: MovableClock) -> Iterator[Site]:
    with site(CLOCK=clock, POLICY=Policy()) as live:
        yield live


def test_django_keeps_the_cookie(django_site: Site, clock: MovableClock) -> None:
    """With the attributes of the session's own, and a new session later."""
    visitor = Browser()
    answer = visitor.verify(django_site, "/signup/", PHONE)
    cookie = answer.cookies[DEVICES_COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 180 * DAY)
    for _ in range(6):
        clock.advance(HOUR)
        assert Browser().fill("/signup/", phone=PHONE).status_code == 303
    clock.advance(HOUR)
    assert Browser().fill("/signup/", phone=PHONE).status_code == 429
    later = Browser()
    later.cookies[DEVICES_COOKIE] = cookie.value
    assert later.fill("/signup/", phone=PHONE).status_code == 303
