"""The pages in sites of various layouts: below a prefix, at any path, behind code that reads the form first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import flask
import pytest
import requests
from fastapi import Depends, FastAPI, HTTPException, Request
from served_apps import SECRET, TEMPLATE, Framework, Served, on_uvicorn, on_werkzeug
from starlette.middleware.sessions import SessionMiddleware
from support.form_visitor import FormVisitor

from otpkit import OTP, AsyncOTP
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.testing import Outbox

PHONE = "+8613800138000"


def fastapi_app(otp: AsyncOTP, prefix: str) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(otp)
    phones.install(app)

    async def captcha(request: Request) -> None:
        if request.method == "POST" and (await request.form()).get("captcha") != "solved":
            raise HTTPException(403)

    app.include_router(phones.pages(next_url="/done"), prefix=prefix, dependencies=[Depends(captcha)])
    return app


def flask_app(otp: OTP, prefix: str) -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    pages = in_flask.PhoneVerification(app, otp).blueprint(next_url="/done")

    @pages.before_request
    def captcha() -> None:
        if flask.request.method == "POST" and flask.request.form.get("captcha") != "solved":
            flask.abort(403)

    app.register_blueprint(pages, url_prefix=prefix)
    return app


@contextmanager
def serving(framework: Framework, prefix: str) -> Iterator[Served]:
    """Serve the pages below a prefix, behind a CAPTCHA."""
    outbox = Outbox()
    if framework == "fastapi":
        with on_uvicorn(fastapi_app(AsyncOTP("memory://", outbox, TEMPLATE, SECRET), prefix)) as url:
            yield Served(url, outbox)
    else:
        with OTP("memory://", outbox, TEMPLATE, SECRET) as otp, on_werkzeug(flask_app(otp, prefix)) as url:
            yield Served(url, outbox)


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
@pytest.mark.parametrize("prefix", ["/signup", "/注册"])
def test_a_form_that_a_captcha_has_read_is_taken(framework: Framework, prefix: str) -> None:
    with serving(framework, prefix) as served, requests.Session() as session:
        visitor = FormVisitor(served.url + prefix, session)
        visitor.look()
        assert visitor.send(visitor.form("send", phone=PHONE), follow=False).status_code == 403
        assert not served.outbox
        form = visitor.form("send", phone=PHONE, captcha="solved")
        assert visitor.send(form).status_code == 200
        form = visitor.form("verify", code=served.code(PHONE), captcha="solved")
        assert visitor.send(form, follow=False).headers["Location"] == "/done"


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_a_huge_form_that_a_captcha_has_read_is_none(framework: Framework) -> None:
    with serving(framework, "/signup") as served, requests.Session() as session:
        visitor = FormVisitor(f"{served.url}/signup", session)
        visitor.look()
        form = visitor.form("send", phone=PHONE, captcha="solved", more="1" * 20_000)
        assert visitor.send(form).status_code == 413
        assert not served.outbox


@pytest.mark.filterwarnings("ignore:.*root_path.*")  # The option is deprecated, but widely used.
def test_behind_a_proxy_that_strips_a_prefix_the_pages_lead_back_there() -> None:
    app = FastAPI(root_path="/shop")
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(AsyncOTP("memory://", Outbox(), TEMPLATE, SECRET))
    phones.install(app)
    app.include_router(phones.pages(), prefix="/signup")
    with on_uvicorn(app) as url, requests.Session() as session:
        for path in ("/signup", "/shop/signup"):  # The proxy strips the prefix, or keeps it.
            assert 'action="/shop/signup"' in session.get(url + path, timeout=20).text
            asked = session.get(f"{url}{path}?lang=zh", allow_redirects=False, timeout=20)
            assert asked.headers["Location"] == "/shop/signup"
