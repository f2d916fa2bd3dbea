"""Code as users write it. `mypy --strict` checks it with otpkit's types. It is not run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, assert_type

import flask
from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from otpkit import (
    OTP,
    AsyncOTP,
    Challenge,
    Event,
    FixedCode,
    GatewayRejectedError,
    OTPError,
    Policy,
    Proof,
    Rate,
    RateLimitError,
    Sent,
    Standing,
    Template,
    WrongCodeError,
    fold,
    normalize,
)
from otpkit.gateways import (
    Alidayu,
    Aliyun,
    Credentials,
    Delivery,
    Failover,
    Flow,
    Gateway,
    HttpRequest,
    HttpResponse,
    Message,
    Provider,
    Push,
    Receipt,
    Receipts,
    Route,
    Tencent,
)
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.testing import MovableClock, Outbox
from otpkit.web import Answer, Asked, PhoneForms, View, drive, visit

template = Template("SMS_1", sign_name="otpkit", params={"code": "{code}"})
policy = Policy(sends="1/minute, 5/hour", ip_sends=Rate(100, 3600), regions={"CN"}, region_sends={"CN": "5/day"})
reviewer = FixedCode("+8613800000000", "135790", datetime.now(UTC) + timedelta(days=1), {"signup"})


def listen(event: Event) -> None:
    assert_type(event.at, datetime | None)


otp = OTP("redis://localhost:6379/0", Alidayu("key", "secret"), template, "…", policy=policy, on_event=listen)
by_purpose = OTP(
    "memory://", Outbox(), {"signup": template, "login": template}, [b"secret", b"secret"], clock=MovableClock()
)


def sync_calls(phone: str, code: str, ip: str | None) -> str:
    challenge = otp.issue(phone, "login", bind="session", ip=ip, params={"product": "shop"}, channel="sms")
    assert_type(challenge, Challenge)
    assert_type(challenge.delivery, Literal["pending", "accepted", "uncertain", "delivered", "failed"])
    proof = otp.verify(phone, fold(code), "login", bind="session", ip=ip)
    assert_type(proof, Proof)
    assert_type(otp.check(proof.token), Proof)
    assert_type(otp.redeem(proof.token, phone=None, idempotency_key="form", request="fingerprint").replayed, bool)
    assert_type(otp.status(phone), Challenge | None)
    assert_type(otp.delivery(phone), Delivery)
    assert_type(otp.standing(phone), Standing)
    assert_type(otp.receive(Push("https://example", {}, b"[]"), gateway="aliyun"), Receipts)
    otp.revoke(phone)
    otp.unblock(phone)
    otp.erase(phone, region="CN")
    with OTP.from_env() as from_env:
        assert_type(from_env, OTP)
    return normalize(phone)


async def async_calls(phone: str, code: str) -> str:
    async with AsyncOTP.from_env() as otp:
        assert_type(await otp.issue(phone), Challenge)
        assert_type(await otp.send(phone, "login", code, idempotency_key="a form"), Sent)
        proof = await otp.verify(phone, code)
        return (await otp.redeem(proof.token)).phone


def handled(call: Callable[[], Proof]) -> tuple[int, str, int | None]:
    try:
        call()
    except RateLimitError as error:
        assert_type(error.challenge, Challenge | None)
        assert_type(error.retry_after, int | None)
    except WrongCodeError as error:
        assert_type(error.attempts_left, int)
    except GatewayRejectedError as error:
        return error.status, f"{error.category} {error.gateway_code}", None
    except OTPError as error:
        return error.status, error.message("zh"), error.retry_after
    return 200, "", None


gateways = Failover(
    [
        Aliyun(credentials=lambda: Credentials("id", "key", "token")),
        Route(Tencent("id", "key", sdk_app_id="1"), template),
    ],
    on_uncertain="next",
    rest_after=5,
)
routed = OTP("memory://", {"CN": gateways, "*": Outbox()}, template, "…")


def function_gateway(message: Message) -> str:
    return message.send_id


with_function = OTP("memory://", function_gateway, template, "…")
CARRIER = Provider("carrier", "The carrier")


class Carrier(Gateway):
    name = CARRIER.name

    def send(self, message: Message) -> Flow[Receipt]:
        request = HttpRequest(method="POST", url="https://carrier.example/", timeout=(3, 10), body=b"secret")
        return (yield from CARRIER.hand_over(request, self.read))

    def read(self, response: HttpResponse) -> Receipt | GatewayRejectedError:
        if response.status == 202:
            return Receipt(self.name)
        return CARRIER.rejection("request", "it refuses", "the operator must look")


app = FastAPI()
phones = in_fastapi.PhoneVerification(AsyncOTP.from_env(), forwarded_hops=1)
phones.install(app)


async def logged_in(request: Request, proof: Proof) -> Response:
    return RedirectResponse("/", 303)


app.include_router(phones.pages("login", on_verified=logged_in), prefix="/login")
LoginProof = Annotated[Proof, Depends(in_fastapi.verified_phone("login", replay=True))]


@app.post("/account")
async def create(proof: in_fastapi.VerifiedPhone) -> dict[str, str]:
    assert_type(proof, Proof)
    return {"phone": proof.phone}


site = flask.Flask(__name__)
extension = in_flask.PhoneVerification(site, otp, forwarded_hops=1)


def render(view: View) -> str:
    return view.problem


site.register_blueprint(extension.blueprint("signup", next_url="/account", render=render, discreet=True))


@site.post("/account")
def account() -> str:
    return extension.redeem(idempotency_key=flask.request.form["key"]).phone


def own_framework(session: dict[str, Any], form: dict[str, str]) -> Answer:
    forms = PhoneForms("signup", otp.policy, render)
    with visit(session, "signup") as state:
        return drive(forms.submit(state, form, Asked(url="/signup")), otp)


def test_with_plugin(otp: OTP, otp_outbox: Outbox, otp_clock: MovableClock) -> None:
    otp.issue("13800138000")
    assert_type(otp_outbox[-1], Message)
    otp_clock.advance(60)
