"""The look of a site on the pages of each framework: it is passed once, and shown on forms and error pages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import flask
import pytest
import requests
from django.conf import settings
from django.test import override_settings
from django_site import Browser, site
from fastapi import FastAPI
from served_apps import on_uvicorn
from starlette.middleware.sessions import SessionMiddleware
from support.secrets import SECRET

from otpkit import OTP, AsyncOTP, ConfigurationError, Template
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.integrations.django.conf import brand
from otpkit.testing import Outbox
from otpkit.web import Brand

BRAND = Brand(name="Acme", logo="https://cdn.acme.example/logo.png", accent="#07815c", terms="/terms")
TEMPLATE = Template("SMS_1", "otpkit")
HTML = {"Accept": "text/html"}


def has_brand(html: str, policy: str) -> None:
    """Check the logo, the colour, the link, and the header that allows the logo."""
    assert '<img src="https://cdn.acme.example/logo.png" alt="Acme"' in html
    assert "--fill: #07815c" in html
    assert '<a href="/terms"' in html
    assert "img-src data: https://cdn.acme.example;" in policy


def test_flask_shows_the_brand() -> None:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    with OTP("memory://", Outbox(), TEMPLATE, SECRET) as otp:
        phones = in_flask.PhoneVerification(app, otp, brand=BRAND)
        app.register_blueprint(phones.blueprint())
        app.add_url_rule("/account", view_func=lambda: phones.redeem().phone)
        for path in ("/signup", "/account"):
            page = app.test_client().get(path, headers=HTML)
            has_brand(page.text, page.headers["Content-Security-Policy"])


def test_fastapi_shows_the_brand() -> None:
    otp = AsyncOTP("memory://", Outbox(), TEMPLATE, SECRET)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with otp:
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(otp, brand=BRAND)
    phones.install(app)
    app.include_router(phones.pages(), prefix="/signup")

    @app.get("/account")
    async def account(proof: in_fastapi.VerifiedPhone, number: int) -> str:
        return proof.phone

    with on_uvicorn(app) as url:
        for path in ("/signup", "/account?number=1", "/account?number=x"):
            page = requests.get(url + path, headers=HTML, timeout=20)
            has_brand(page.text, page.headers["Content-Security-Policy"])


def test_django_shows_the_brand() -> None:
    middleware = [*settings.MIDDLEWARE, "otpkit.integrations.django.middleware.PhoneErrorMiddleware"]
    with site(BRAND=BRAND), override_settings(MIDDLEWARE=middleware):
        for path in ("/signup/", "/plain/"):
            page = Browser().get(path, headers=HTML)
            has_brand(page.content.decode(), page.headers["Content-Security-Policy"])


@pytest.mark.parametrize("given", [{"name": "Acme"}, "Acme", None])
def test_djangos_brand_is_a_brand(given: object) -> None:
    with override_settings(OTPKIT={"BRAND": given}), pytest.raises(ConfigurationError, match="is not a Brand"):
        brand()
