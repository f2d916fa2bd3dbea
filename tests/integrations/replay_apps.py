"""Applications of FastAPI and Flask that redeem a proof. Their endpoints read the body in every possible way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import flask
from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from pydantic import BaseModel
from served_apps import SECRET, TEMPLATE, Framework, on_uvicorn, on_werkzeug
from starlette.middleware.sessions import SessionMiddleware

from otpkit import OTP, AsyncOTP, Proof
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.testing import Outbox

FORMS = ["/declared", "/read", "/raw"]
PATHS = [*FORMS, "/json", "/upload", "/nothing"]

Replayable = Annotated[Proof, Depends(in_fastapi.verified_phone(replay=True))]


class Body(BaseModel):
    name: str


def told(proof: Proof, what: str) -> dict[str, Any]:
    """Return an endpoint's answer with the body that it read, which shows that reading twice works."""
    return {"phone": proof.phone, "replayed": proof.replayed, "read": what}


@contextlib.contextmanager
def replaying(framework: Framework, store: str = "memory://", **options: Any) -> Iterator[tuple[str, Outbox]]:
    """Serve the application. `options` are the OTP's."""
    outbox = Outbox()
    if framework == "fastapi":
        otp = AsyncOTP(store, outbox, TEMPLATE, SECRET, **options)
        with on_uvicorn(_fastapi(otp)) as url:
            yield url, outbox
        return
    with OTP(store, outbox, TEMPLATE, SECRET, **options) as otp, on_werkzeug(_flask(otp)) as url:
        yield url, outbox


def _fastapi(otp: AsyncOTP) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        async with otp:
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(otp)
    phones.install(app)
    app.include_router(phones.pages(next_url="/account"), prefix="/signup")

    @app.post("/declared")
    async def declared(proof: Replayable, name: Annotated[str, Form()]) -> Any:
        return told(proof, name)

    @app.post("/read")
    async def read(request: Request, proof: Replayable) -> Any:
        return told(proof, str((await request.form())["name"]))

    @app.post("/raw")
    async def raw(request: Request, proof: Replayable) -> Any:
        return told(proof, (await request.body()).decode())

    @app.post("/json")
    async def json(proof: Replayable, body: Body) -> Any:
        return told(proof, body.name)

    @app.post("/upload")
    async def upload(proof: Replayable, file: Annotated[UploadFile, File()]) -> Any:
        return told(proof, (await file.read()).decode())

    @app.post("/nothing")
    async def nothing(proof: Replayable) -> Any:
        return told(proof, "")

    @app.post("/once")
    async def once(proof: in_fastapi.VerifiedPhone) -> Any:
        return told(proof, "")

    return app


def _flask(otp: OTP) -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    phones = in_flask.PhoneVerification(app, otp)
    app.register_blueprint(phones.blueprint(next_url="/account"))

    def redeem() -> Proof:
        return phones.redeem(idempotency_key=flask.request.headers.get("Idempotency-Key"))

    @app.post("/declared")
    def declared() -> Any:
        name = flask.request.form["name"]  # The body is read before the redemption.
        return told(redeem(), name)

    @app.post("/read")
    def read() -> Any:
        return told(redeem(), flask.request.form["name"])

    @app.post("/raw")
    def raw() -> Any:
        body = flask.request.get_data()
        return told(redeem(), body.decode())

    @app.post("/json")
    def json() -> Any:
        return told(redeem(), flask.request.get_json()["name"])

    @app.post("/upload")
    def upload() -> Any:
        return told(redeem(), flask.request.files["file"].read().decode())

    @app.post("/nothing")
    def nothing() -> Any:
        return told(redeem(), "")

    return app
