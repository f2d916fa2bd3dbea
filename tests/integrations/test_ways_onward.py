"""A page with a missing, used or expired proof links a visitor to the next step. A client gets a problem document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from itertools import count
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import flask
import pytest
import requests
from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from served_apps import SECRET, TEMPLATE, Framework, on_uvicorn, on_werkzeug
from starlette.middleware.sessions import SessionMiddleware
from support.form_visitor import FormVisitor

from otpkit import OTP, AsyncOTP, Policy, Proof
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.testing import MovableClock, Outbox
from otpkit.web import own_path

FRAMEWORKS: list[Framework] = ["fastapi", "flask"]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
EVIL = ["//evil.example", "/\\evil.example", "https:evil.example", "/\t/evil.example", "https://evil.example/", "x"]
_numbers = count(15700000000)


class Site:
    """A served application and a browser."""

    def __init__(self, url: str, outbox: Outbox, clock: MovableClock, session: requests.Session) -> None:
        self.url, self.outbox, self.clock, self.session = url, outbox, clock, session
        session.headers["Accept"] = BROWSER

    def verify(self, page: str = "/signup") -> requests.Response:
        """Go through the two forms at a path. Do not follow the last redirect."""
        forms = FormVisitor(f"{self.url}{page}", self.session)
        forms.look()
        forms.url = self.url + unescape(re.findall('action="([^"]+)"', forms.page.text)[0])
        forms.post("send", phone=f"+86{next(_numbers)}")
        return forms.send(forms.form("verify", code=self.outbox[-1].code), follow=False)

    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        return self.session.request(method, self.url + path, headers=headers, timeout=20)

    def link(self, answer: requests.Response) -> str:
        """Return the only link of a page."""
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        (found,) = re.findall(r'<a [^>]*href="([^"]+)"', answer.text)
        return unescape(found)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Outbox, MovableClock]]:
    outbox, clock = Outbox(), MovableClock()
    options: dict[str, Any] = {"clock": clock, "policy": Policy(sends="32/day")}
    if request.param == "fastapi":
        with on_uvicorn(_fastapi(AsyncOTP("memory://", outbox, TEMPLATE, SECRET, **options))) as url:
            yield url, outbox, clock
        return
    with OTP("memory://", outbox, TEMPLATE, SECRET, **options) as otp, on_werkzeug(_flask(otp)) as url:
        yield url, outbox, clock


@pytest.fixture
def site(served: tuple[str, Outbox, MovableClock]) -> Iterator[Site]:
    with requests.Session() as session:
        yield Site(*served, session)


def _fastapi(otp: AsyncOTP) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(otp)
    phones.install(app)

    def logged_in(request: Request, proof: Proof) -> RedirectResponse:
        return RedirectResponse(own_path(request.query_params.get("next", "")) or "/home", 303)

    app.include_router(phones.pages(next_url="/account"), prefix="/signup")
    app.include_router(phones.pages("payment", next_url="/paid"), prefix="/verify")
    app.include_router(phones.pages("login", on_verified=logged_in), prefix="/login")

    @app.api_route("/account", methods=["GET", "POST"])
    async def account(proof: in_fastapi.VerifiedPhone) -> str:
        return proof.phone

    @app.api_route("/pay", methods=["GET", "POST"])
    async def pay(proof: Annotated[Proof, Depends(in_fastapi.verified_phone("payment"))]) -> str:
        return proof.phone

    @app.post("/nowhere")
    async def nowhere(proof: Annotated[Proof, Depends(in_fastapi.verified_phone("other"))]) -> str:
        return proof.phone

    @app.post("/limited")
    async def limited(otp: in_fastapi.Otp) -> None:
        await otp.issue("12")

    return app


def _flask(otp: OTP) -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    phones = in_flask.PhoneVerification(app, otp)

    def logged_in(proof: Proof) -> Any:
        return flask.redirect(own_path(flask.request.args.get("next", "")) or "/home", 303)

    app.register_blueprint(phones.blueprint(next_url="/account"))
    app.register_blueprint(phones.blueprint("payment", next_url="/paid"), url_prefix="/verify")
    app.register_blueprint(phones.blueprint("login", on_verified=logged_in))

    @app.route("/account", methods=["GET", "POST"])
    def account() -> Any:
        return phones.redeem().phone

    @app.route("/pay", methods=["GET", "POST"])
    def pay() -> Any:
        return phones.redeem("payment").phone

    @app.post("/nowhere")
    def nowhere() -> Any:
        return phones.redeem("other").phone

    @app.post("/limited")
    def limited() -> Any:
        otp.issue("12")

    return app


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("language", "word"), [("en", "verify your phone number"), ("zh-CN", "请重新验证手机号码")])
def test_a_page_without_a_proof_leads_to_the_phones_form(site: Site, method: str, language: str, word: str) -> None:
    answer = site.ask(method, "/account", **{"Accept-Language": language})
    assert answer.status_code == 401
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors" in answer.headers["Content-Security-Policy"]
    assert word in answer.text
    assert site.link(answer) == "/signup"
    assert site.ask("GET", site.link(answer)).status_code == 200


def test_a_used_proof_and_one_of_long_ago_lead_there_too(site: Site) -> None:
    site.verify()
    assert site.ask("POST", "/account").status_code == 200
    assert site.link(site.ask("POST", "/account")) == "/signup"
    site.verify()
    site.clock.advance(301)
    assert site.link(site.ask("POST", "/account")) == "/signup"
    assert site.verify().status_code == 303
    assert site.ask("POST", "/account").status_code == 200


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.9", None])
def test_a_client_gets_a_document(site: Site, accept: str | None) -> None:
    answer = site.ask("POST", "/account", Accept=accept)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid_token"


def test_the_way_leads_back_to_what_was_wanted(site: Site) -> None:
    link = site.link(site.ask("GET", "/pay?a=1&b=2"))
    assert (urlsplit(link).path, parse_qs(urlsplit(link).query)) == ("/verify", {"next": ["/pay?a=1&b=2"]})
    answer = site.verify(link)
    assert answer.headers["Location"] == "/pay?a=1&b=2"
    assert site.ask("GET", answer.headers["Location"]).status_code == 200
    form = {"Referer": f"{site.url}/form?c=3"}
    assert parse_qs(urlsplit(site.link(site.ask("POST", "/pay", **form))).query) == {"next": ["/form?c=3"]}
    assert site.link(site.ask("POST", "/pay", Referer="https://evil.example/form")) == "/verify"


def test_where_there_is_no_such_page_it_leads_back(site: Site) -> None:
    form = {"Referer": f"{site.url}/form?c=3"}
    for path, status in (("/nowhere", 401), ("/limited", 422)):
        answer = site.ask("POST", path, **form)
        assert (answer.status_code, site.link(answer)) == (status, "/form?c=3")


def test_the_language_that_was_chosen_on_the_pages_is_kept(site: Site) -> None:
    site.ask("GET", "/signup?lang=zh")
    assert 'lang="zh-CN"' in site.ask("POST", "/account", **{"Accept-Language": "en"}).text


@pytest.mark.parametrize(
    ("page", "goes_to"),
    [("/signup", "/account?next=%2Fcart%3Fa%3D1"), ("/verify", "/cart?a=1"), ("/login", "/cart?a=1")],
)
def test_what_was_wanted_is_kept(site: Site, page: str, goes_to: str) -> None:
    """The target is kept on each form, and when the language changes."""
    assert site.verify(f"{page}?next=%2Fcart%3Fa%3D1").headers["Location"] == goes_to
    with requests.Session() as session:
        answer = session.get(f"{site.url}{page}?lang=zh&next=%2Fcart%3Fa%3D1", timeout=20)
    assert answer.url == f"{site.url}{page}?next=%2Fcart%3Fa%3D1"
    assert f"{page}?lang=en&amp;next=%2Fcart%3Fa%3D1" in answer.text


@pytest.mark.parametrize("wanted", EVIL)
@pytest.mark.parametrize(("page", "goes_to"), [("/signup", "/account"), ("/verify", "/paid"), ("/login", "/home")])
def test_no_visitor_is_sent_to_another_site(site: Site, page: str, goes_to: str, wanted: str) -> None:
    url = requests.Request("GET", site.url + page, params={"next": wanted}).prepare().path_url
    assert site.verify(url).headers["Location"] == goes_to
    switched = site.session.get(f"{site.url}{url}&lang=zh", allow_redirects=False, timeout=20)
    assert switched.headers["Location"] == page


@pytest.mark.parametrize("wanted", EVIL)
def test_not_by_a_form_either(site: Site, wanted: str) -> None:
    """A visitor can send the form to any address."""
    url = requests.Request("GET", f"{site.url}/verify", params={"next": wanted}).prepare().url
    forms = FormVisitor(f"{site.url}/verify", site.session)
    forms.look()
    forms.post("send", phone=f"+86{next(_numbers)}")
    forms.url = str(url)
    answer = forms.send(forms.form("verify", code=site.outbox[-1].code), follow=False)
    assert answer.headers["Location"] == "/paid"
