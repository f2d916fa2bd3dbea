"""Equal applications of FastAPI and Flask on a socket: sign-up pages, an account form, a login page."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import flask
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import Response
from support.secrets import SECRET
from werkzeug.serving import make_server

from otpkit import OTP, AsyncOTP, Proof, Template
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.testing import Outbox

Framework = Literal["fastapi", "flask"]
TEMPLATE = Template("SMS_1", "otpkit")


@dataclass
class Served:
    """A served application and its messages."""

    url: str
    outbox: Outbox

    def code(self, phone: str) -> str:
        """Return the code of the newest message to a phone."""
        return next(message.code for message in reversed(list(self.outbox)) if message.phone == phone)


@contextlib.contextmanager
def serving(
    framework: Framework, store: str = "memory://", *, hops: int = 0, known: Any = None, **options: Any
) -> Iterator[Served]:
    """Serve the application during the block. `options` are the OTP's."""
    outbox = Outbox()
    if framework == "fastapi":
        app = fastapi_app(AsyncOTP(store, outbox, TEMPLATE, SECRET, **options), hops, known)
        with on_uvicorn(app) as url:
            yield Served(url, outbox)
    else:
        with OTP(store, outbox, TEMPLATE, SECRET, **options) as otp, on_werkzeug(flask_app(otp, hops, known)) as url:
            yield Served(url, outbox)


def fastapi_app(otp: AsyncOTP, hops: int = 0, known: Any = None) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with otp:
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(otp, forwarded_hops=hops, known=known)
    phones.install(app)

    def logged_in(request: Request, proof: Proof) -> Response:
        request.session.clear()
        request.session["user"] = proof.phone
        return JSONResponse({"user": proof.phone})

    app.include_router(phones.pages(next_url="/account"), prefix="/signup")
    app.include_router(phones.pages("login", on_verified=logged_in), prefix="/login")
    app.include_router(phones.router(), prefix="/api/signup")

    @app.get("/account")
    async def form() -> str:
        return "the account form"

    @app.post("/account")
    async def create_account(
        proof: Annotated[Proof, Depends(in_fastapi.verified_phone(replay=True))],
    ) -> dict[str, str]:
        return {"phone": proof.phone}

    @app.get("/me")
    async def me(request: Request) -> Any:
        return request.session.get("user")

    return app


def flask_app(otp: OTP, hops: int = 0, known: Any = None) -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    phones = in_flask.PhoneVerification(app, otp, forwarded_hops=hops, known=known)

    def logged_in(proof: Proof) -> dict[str, str]:
        flask.session.clear()
        flask.session["user"] = proof.phone
        return {"user": proof.phone}

    app.register_blueprint(phones.blueprint(next_url="/account"))
    app.register_blueprint(phones.blueprint("login", on_verified=logged_in))

    @app.get("/account")
    def form() -> str:
        return "the account form"

    @app.post("/account")
    def create_account() -> dict[str, str]:
        return {"phone": phones.redeem(idempotency_key=flask.request.headers.get("Idempotency-Key")).phone}

    @app.get("/me")
    def me() -> Any:
        return flask.jsonify(flask.session.get("user"))

    return app


@contextlib.contextmanager
def on_uvicorn(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws="none", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive(), "uvicorn did not start"
            assert time.monotonic() < deadline, "uvicorn is slow to start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@contextlib.contextmanager
def on_werkzeug(app: flask.Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()
