"""Applications with sessions on the server, by the usual libraries: Flask-Session, starsessions."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import flask
import redis
from cachelib import SimpleCache
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from flask_session import Session
from served_apps import SECRET, TEMPLATE, Served, on_uvicorn, on_werkzeug
from starsessions import InMemoryStore, SessionAutoloadMiddleware, SessionMiddleware

from otpkit import OTP, AsyncOTP, Proof
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.testing import Outbox

Replayable = Annotated[Proof, Depends(in_fastapi.verified_phone(replay=True))]
Kind = Literal["fastapi", "fastapi-async", "flask", "flask-redis"]


@contextlib.contextmanager
def serving(kind: Kind, redis_url: str = "") -> Iterator[Served]:
    """Serve pages, JSON calls, and two ways to log in: the login page, and the form that creates the account."""
    outbox = Outbox()
    if kind.startswith("fastapi"):
        app = fastapi_app(AsyncOTP("memory://", outbox, TEMPLATE, SECRET), is_async=kind == "fastapi-async")
        with on_uvicorn(app) as url:
            yield Served(url, outbox)
        return
    with OTP("memory://", outbox, TEMPLATE, SECRET) as otp:
        client = redis.Redis.from_url(redis_url) if redis_url else None
        with on_werkzeug(flask_app(otp, client)) as url:
            yield Served(url, outbox)
        if client is not None:
            client.close()


def fastapi_app(otp: AsyncOTP, *, is_async: bool) -> FastAPI:
    app = FastAPI()
    app.add_middleware(SessionAutoloadMiddleware)
    app.add_middleware(SessionMiddleware, store=InMemoryStore(), lifetime=3600, cookie_https_only=False)
    phones = in_fastapi.PhoneVerification(otp)
    phones.install(app)

    def log_in(request: Request, proof: Proof) -> Response:
        request.session.clear()
        request.session["user"] = proof.phone
        return JSONResponse({"user": proof.phone})

    async def log_in_async(request: Request, proof: Proof) -> Response:
        return log_in(request, proof)

    app.include_router(phones.pages(next_url="/account"), prefix="/signup")
    app.include_router(phones.pages("own page/支付", next_url="/paid"), prefix="/payment")
    app.include_router(phones.pages("login", on_verified=log_in_async if is_async else log_in), prefix="/login")
    app.include_router(phones.router(), prefix="/api/signup")

    if is_async:

        @app.post("/account")
        async def create_account(request: Request, proof: Replayable) -> dict[str, str]:
            request.session["user"] = proof.phone
            return {"phone": proof.phone}
    else:

        @app.post("/account")
        def create_account(request: Request, proof: Replayable) -> dict[str, str]:
            request.session["user"] = proof.phone
            return {"phone": proof.phone}

    @app.get("/account")
    async def form() -> str:
        return "the account form"

    @app.get("/me")
    async def me(request: Request) -> Any:
        return request.session.get("user")

    return app


def flask_app(otp: OTP, client: redis.Redis | None) -> flask.Flask:
    app = flask.Flask(__name__)
    if client is None:
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache())
    else:
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Session(app)
    phones = in_flask.PhoneVerification(app, otp)

    def log_in(proof: Proof) -> dict[str, str]:
        flask.session.clear()
        flask.session["user"] = proof.phone
        return {"user": proof.phone}

    app.register_blueprint(phones.blueprint(next_url="/account"))
    app.register_blueprint(phones.blueprint("own page/支付", next_url="/paid"), url_prefix="/payment")
    app.register_blueprint(phones.blueprint("login", on_verified=log_in))

    @app.get("/account")
    def form() -> str:
        return "the account form"

    @app.post("/account")
    def create_account() -> dict[str, str]:
        proof = phones.redeem(idempotency_key=flask.request.headers.get("Idempotency-Key"))
        flask.session["user"] = proof.phone
        return {"phone": proof.phone}

    @app.get("/me")
    def me() -> Any:
        return flask.jsonify(flask.session.get("user"))

    return app
