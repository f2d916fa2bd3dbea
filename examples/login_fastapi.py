"""Log in with a phone number: pages for browsers, JSON for applications, and one session cookie for both.

    pip install 'otpkit[examples]'
    python examples/login_fastapi.py

Without OTPKIT_* variables it runs on a local gateway, whose inbox shows the messages, and a store in this process.
Try it at /, at /docs, or:

    curl -c jar -b jar localhost:8000/api/login/challenges --json '{"phone": "138 0013 8000"}'
    curl -c jar -b jar localhost:8000/api/login/verifications --json '{"phone": "138 0013 8000", "code": "…"}'
    curl -c jar -b jar localhost:8000/api/session -X POST -H 'Phone-Proof: …'
    curl -b jar localhost:8000/me
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from html import escape
from typing import Annotated

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

from otpkit import AsyncOTP, Proof, Template
from otpkit.gateways import Alidayu
from otpkit.integrations.fastapi import PhoneVerification, verified_phone

users = {"+8613800138000": "Ada", "+8613900139009": "Grace"}  # your database
routes = APIRouter()


def log_in(request: Request, proof: Proof) -> str:
    """Begin a session for a verified phone, and return its user's name."""
    # Only now is it told whether the number has an account, to the person who holds it: strangers never learn.
    if proof.phone not in users:
        raise HTTPException(404, "There is no account with this number.")
    request.session.clear()  # nothing that was planted before is carried over
    # A copy of this cookie logs in until its max_age, also after a logout: keep an id of a session in your database
    # instead, if you must be able to end it there.
    request.session["phone"] = proof.phone
    return users[proof.phone]


async def logged_in(request: Request, proof: Proof) -> RedirectResponse:
    log_in(request, proof)
    return RedirectResponse("/", 303)


LoginProof = Annotated[Proof, Depends(verified_phone("login"))]


@routes.post("/api/session")
async def create_session(request: Request, proof: LoginProof) -> dict[str, str]:
    return {"welcome": log_in(request, proof)}


def current_user(request: Request) -> str:
    phone = request.session.get("phone")
    if phone not in users:
        raise HTTPException(401, "Log in first.")
    return users[phone]


@routes.get("/me")
async def me(name: Annotated[str, Depends(current_user)]) -> dict[str, str]:
    return {"name": name}


@routes.post("/logout", include_in_schema=False)
async def log_out(request: Request) -> RedirectResponse:
    request.session.clear()
    return RedirectResponse("/", 303)


@routes.get("/", include_in_schema=False)
async def home(request: Request) -> HTMLResponse:
    name = users.get(request.session.get("phone", ""))
    if name is None:
        return HTMLResponse('<!doctype html><title>Home</title><a href="/login">Log in by phone</a>')
    out = '<form method="post" action="/logout"><button>Log out</button></form>'
    return HTMLResponse(f"<!doctype html><title>Home</title><p>Hello, {escape(name)}!</p>{out}")


def create_app(otp: AsyncOTP) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with otp:
            yield

    app = FastAPI(title="Log in by phone", lifespan=lifespan)
    # The session is a signed cookie, SameSite=Lax. Set https_only in production.
    secret = os.environ.get("SESSION_SECRET") or secrets.token_urlsafe(32)
    app.add_middleware(SessionMiddleware, secret_key=secret, max_age=12 * 3600)
    phones = PhoneVerification(otp)
    phones.install(app)
    # Whoever may ask for a code makes you pay for an SMS: a CAPTCHA or a risk check belongs into dependencies=[…] here.
    app.include_router(phones.pages("login", on_verified=logged_in), prefix="/login")
    app.include_router(phones.router("login"), prefix="/api/login")
    app.include_router(routes)
    return app


@contextmanager
def configured() -> Iterator[AsyncOTP]:
    """Give the OTP that the environment describes or, where it describes none, one on this machine alone."""
    if "OTPKIT_REDIS_URL" in os.environ:
        yield AsyncOTP.from_env()
        return
    from otpkit.sandbox import Sandbox, running

    with running(Sandbox()) as local:
        print(f"The messages are at {local.base_url}", flush=True)
        gateway = Alidayu("sandbox", "sandbox-secret", base_url=local.gateway_url)
        yield AsyncOTP("memory://", gateway, Template("SMS_585014", "阿里大鱼"), secrets.token_bytes(32))


if __name__ == "__main__":
    with configured() as otp:
        uvicorn.run(create_app(otp), port=int(os.environ.get("PORT", "8000")))
