"""Log in with a phone number: the same two calls, with a purpose of their own and tied to the session.

    pip install 'otpkit[examples]'
    python examples/login_fastapi.py

Without OTPKIT_* variables it runs on a local gateway, whose inbox shows the messages, and a store in this process.
Try it at /docs, or:

    curl -c jar -b jar localhost:8000/login/code --json '{"phone": "138 0013 8000"}'
    curl -c jar -b jar localhost:8000/login --json '{"phone": "138 0013 8000", "code": "…"}'
    curl -b jar localhost:8000/me
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.middleware.sessions import SessionMiddleware

from otpkit import AsyncOTP, OTPError, RateLimitError, Template
from otpkit.gateways import Alidayu

users = {"+8613800138000": "Ada", "+8613900139009": "Grace"}  # your database


class Number(BaseModel):
    phone: str


class Answer(Number):
    code: str


@asynccontextmanager
async def configured() -> AsyncIterator[AsyncOTP]:
    """Give the OTP that the environment describes or, where it describes none, one on this machine alone."""
    if "OTPKIT_REDIS_URL" in os.environ:
        async with AsyncOTP.from_env() as otp:
            yield otp
        return
    from otpkit.sandbox import Sandbox, running

    with running(Sandbox()) as local:
        print(f"The messages are at {local.base_url}", flush=True)
        gateway = Alidayu("sandbox", "sandbox-secret", base_url=local.gateway_url)
        async with AsyncOTP("memory://", gateway, Template("SMS_585014", "阿里大鱼"), secrets.token_bytes(32)) as otp:
            yield otp


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with configured() as app.state.otp:
        yield


app = FastAPI(title="Log in by phone", lifespan=lifespan)
# The session is a signed cookie. Other sites can't use it: Lax keeps it out of their forms, and these calls take JSON,
# which a form can't send. Set https_only in production.
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SESSION_SECRET") or secrets.token_urlsafe(32))


def get_otp(request: Request) -> AsyncOTP:
    otp: AsyncOTP = request.app.state.otp
    return otp


def get_bind(request: Request) -> str:
    """What the code is tied to: the session that asked for it, so that it is of no use in any other."""
    return str(request.session.setdefault("id", secrets.token_urlsafe(16)))


def get_ip(request: Request) -> str | None:
    """The visitor's address. Behind a proxy that is the proxy's, unless uvicorn is told to trust it."""
    return request.client.host if request.client else None


Otp = Annotated[AsyncOTP, Depends(get_otp)]
Bind = Annotated[str, Depends(get_bind)]
Ip = Annotated[str | None, Depends(get_ip)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]


@app.post("/login/code", status_code=202)
async def send_code(number: Number, otp: Otp, bind: Bind, ip: Ip, key: Key = None) -> dict[str, str | int]:
    # The answer is the same whether the number has an account, or strangers would learn which do. Whoever may ask makes
    # you pay for an SMS: a CAPTCHA or a risk check belongs here.
    challenge = await otp.issue(number.phone, "login", bind=bind, ip=ip, idempotency_key=key)
    return {"delivery": challenge.delivery, "expires_in": challenge.expires_in, "resend_in": challenge.resend_in}


@app.post("/login")
async def login(answer: Answer, request: Request, otp: Otp, bind: Bind, ip: Ip, key: Key = None) -> dict[str, str]:
    proof = await otp.verify(answer.phone, answer.code, "login", bind=bind, ip=ip, idempotency_key=key)
    # The proof is used right here, so its token goes nowhere and there is nothing to redeem.
    if proof.phone not in users:
        raise HTTPException(404, "There is no account with this number.")
    request.session.clear()  # a session of its own after login: one that was planted before is worth nothing
    request.session["phone"] = proof.phone
    return {"welcome": users[proof.phone]}


@app.get("/me")
async def me(request: Request) -> dict[str, str]:
    phone = request.session.get("phone")
    if phone not in users:
        raise HTTPException(401, "Log in first.")
    return {"name": users[phone]}


@app.exception_handler(OTPError)
async def refuse(request: Request, error: OTPError) -> JSONResponse:
    chinese = request.headers.get("accept-language", "").lower().startswith("zh")
    body: dict[str, object] = {"error": error.code, "message": error.message("zh" if chinese else "en")}
    if isinstance(error, RateLimitError):
        body["code_is_live"] = error.challenge is not None  # then show the form for the code all the same
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(body, error.status, headers)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
