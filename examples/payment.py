"""Confirm a payment by a code that is good for this amount and this payee alone: "dynamic linking".

    pip install 'otpkit[examples]'
    python examples/payment.py

Commission Delegated Regulation (EU) 2018/389 (PSD2), Art. 5: the payer is shown amount and payee, the code is specific
to both, and a change of either makes it worthless. A code by SMS is one of two factors; here the password is the other.

Without OTPKIT_* variables it runs on a local gateway, whose inbox shows the messages, and a store in this process.
Try it at /, as `ada` with the password `lovelace`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import uvicorn
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel, Field

from otpkit import AsyncOTP, Policy, Template
from otpkit.gateways import Alidayu
from otpkit.integrations.fastapi import Otp, PhoneVerification

POLICY = Policy(code_length=8)
TEXT = "您正在向${payee}付款${amount}欧元，验证码${code}。如非本人操作，请勿告知他人。"
TEMPLATE = Template("SMS_585015", "阿里大鱼", {"code": "{code}", "amount": "", "payee": ""}, body=TEXT)

passwords = {"ada": "lovelace", "grace": "hopper", "alan": "turing"}  # your login; you keep hashes
phones = {"ada": "+8613800138000", "grace": "+8613900139009", "alan": "+8613700137000"}


class Order(BaseModel):
    amount: Annotated[Decimal, Field(gt=0, max_digits=9, decimal_places=2, examples=["100.00"])]
    payee: Annotated[str, Field(pattern="^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$", examples=["DE89370400440532013000"])]


@dataclass(frozen=True)
class Payment:
    amount: str
    payee: str
    booked: bool = False


# Your database. What a code confirms is read here: the browser says it once, and can't say anything else later.
payments: dict[tuple[str, UUID], Payment] = {}
routes = APIRouter(prefix="/payments")


async def log_in(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> str:
    expected = passwords.get(given.username, secrets.token_hex())
    if not secrets.compare_digest(given.password.encode(), expected.encode()):
        raise HTTPException(401, "Wrong name or password.", {"WWW-Authenticate": "Basic"})
    return given.username


Payer = Annotated[str, Depends(log_in)]
Code = Annotated[str, Body(embed=True)]


def bind(number: UUID, payment: Payment) -> str:
    """What the code is tied to: this payment, its amount and its payee."""
    return f"{number}:{payment.amount}:{payment.payee}"


@routes.put("/{number}", status_code=202)
async def enter(number: UUID, order: Order, payer: Payer, otp: Otp) -> dict[str, str | int]:
    """Enter a payment, or change it, and send its code; the same again sends the same code again."""
    payment = Payment(f"{order.amount:.2f}", order.payee)
    if payments.setdefault((payer, number), payment).booked:
        raise HTTPException(409, "The payment is booked.")
    payments[payer, number] = payment  # a code that is on its way stays bound to what it was before
    shown = {"amount": payment.amount, "payee": payment.payee}
    # To the phone on file, never to one that a form could name.
    challenge = await otp.issue(phones[payer], "payment", bind=bind(number, payment), params=shown)
    return {"delivery": challenge.delivery, "expires_in": challenge.expires_in, "resend_in": challenge.resend_in}


@routes.post("/{number}/confirmation")
async def confirm(number: UUID, code: Code, payer: Payer, otp: Otp) -> Payment:
    payment = payments.get((payer, number))
    if payment is None:
        raise HTTPException(404, "You have no such payment.")
    # With the payment's own number as key, a confirmation that is sent twice is right twice.
    tied = bind(number, payment)
    await otp.verify(phones[payer], code, "payment", bind=tied, idempotency_key=str(number))
    # Booked is what was confirmed, once, or nothing. In a database: UPDATE … WHERE amount = … AND payee = ….
    booked = replace(payment, booked=True)
    if payments[payer, number] not in (payment, booked):
        raise HTTPException(409, "The payment was changed meanwhile.")
    payments[payer, number] = booked
    return booked


def create_app(otp: AsyncOTP) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with otp:
            yield

    app = FastAPI(title="Confirm a payment", lifespan=lifespan, docs_url="/")
    PhoneVerification(otp).install(app)
    app.include_router(routes)
    return app


@contextmanager
def configured() -> Iterator[AsyncOTP]:
    """Give the OTP that the environment describes or, where it describes none, one on this machine alone."""
    if "OTPKIT_REDIS_URL" in os.environ:
        yield AsyncOTP.from_env(policy=POLICY, template=TEMPLATE)
        return
    from otpkit.sandbox import Sandbox, running

    with running(Sandbox(templates={TEMPLATE.code: TEXT})) as local:
        print(f"The messages are at {local.base_url}", flush=True)
        gateway = Alidayu("sandbox", "sandbox-secret", base_url=local.gateway_url)
        yield AsyncOTP("memory://", gateway, TEMPLATE, secrets.token_bytes(32), policy=POLICY)


if __name__ == "__main__":
    with configured() as otp:
        uvicorn.run(create_app(otp), port=int(os.environ.get("PORT", "8000")))
