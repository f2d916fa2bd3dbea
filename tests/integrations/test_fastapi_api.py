"""FastAPI's JSON router and dependencies over a socket, as an application calls them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Annotated, Any

import pytest
import requests
from fastapi import Depends, FastAPI, Header, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel
from served_apps import SECRET, TEMPLATE, Served, fastapi_app, on_uvicorn, serving
from starlette.middleware.sessions import SessionMiddleware
from support.form_visitor import FormVisitor

from otpkit import OTP, AsyncOTP, ConfigurationError, Policy, Proof
from otpkit.integrations.fastapi import Otp, PhoneVerification, VerifiedPhone, get_otp, verified_phone
from otpkit.testing import Outbox

_numbers = count(13700000000)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("fastapi") as served:
        yield served


@pytest.fixture
def phone() -> str:
    return f"+86{next(_numbers)}"


@pytest.fixture
def app(served: Served) -> Iterator[App]:
    with requests.Session() as session:
        yield App(served, session)


class Account(BaseModel):
    name: str


async def device(device: Annotated[str, Header()]) -> str:
    return device


class App:
    """An application that calls the router, with its own cookie jar."""

    def __init__(self, served: Served, session: requests.Session) -> None:
        self.served, self.session = served, session

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(f"{self.served.url}{path}", json=body, headers=named, timeout=20)

    def issue(self, phone: Any, **headers: str) -> requests.Response:
        return self.post("/api/signup/challenges", {"phone": phone}, **headers)

    def verify(self, phone: Any, code: Any, **headers: str) -> requests.Response:
        return self.post("/api/signup/verifications", {"phone": phone, "code": code}, **headers)

    def token(self, phone: str) -> str:
        self.issue(phone)
        return str(self.verify(phone, self.served.code(phone)).json()["token"])


def wrong(code: str) -> str:
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


def test_an_application_signs_up(app: App, phone: str) -> None:
    sent = app.issue(phone)
    assert sent.status_code == 202
    assert sent.json() == {
        "delivery": "accepted",
        "expires_in": 300,
        "resend_in": 60,
        "attempts_left": 5,
        "sends_left": 6,
    }
    refused = app.verify(phone, wrong(app.served.code(phone)), Accept_Language="zh")
    assert refused.status_code == 422
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "wrong_code"
    assert refused.json()["attempts_left"] == 4
    assert refused.json()["detail"] == "验证码不正确，还可以尝试 4 次。"
    right = app.verify(phone, app.served.code(phone))
    assert right.headers["Cache-Control"] == "no-store"
    answer = right.json()
    assert (answer["phone"], answer["expires_in"]) == (phone, 300)
    assert app.post("/account", Phone_Proof=answer["token"]).json() == {"phone": phone}
    assert app.post("/account", Phone_Proof=answer["token"]).json()["code"] == "used_token"


def test_a_limit_is_told_by_its_headers(app: App, phone: str) -> None:
    app.issue(phone)
    limited = app.issue(phone)
    assert limited.status_code == 429
    assert limited.json()["code_is_live"] is True
    wait = int(limited.headers["Retry-After"])
    assert 1 <= wait <= 60
    assert limited.headers["RateLimit"] == f'"phone";r=0;t={wait}'
    assert limited.headers["Cache-Control"] == "no-store"


def test_status_is_told_to_the_session_that_asked_alone(app: App, phone: str) -> None:
    app.issue(phone)
    assert app.post("/api/signup/challenges/status", {"phone": phone}).json()["delivery"] == "accepted"
    with requests.Session() as session:
        stranger = App(app.served, session)
        assert stranger.post("/api/signup/challenges/status", {"phone": phone}).json() is None
        assert stranger.verify(phone, app.served.code(phone)).json()["code"] == "expired_code"
    assert app.verify(phone, app.served.code(phone)).status_code == 200


def test_a_request_that_comes_twice_is_answered_twice_alike(app: App, phone: str) -> None:
    assert [app.issue(phone, Idempotency_Key="a").status_code for _ in range(2)] == [202, 202]
    assert [message.phone for message in app.served.outbox].count(phone) == 1
    code = app.served.code(phone)
    tokens = {app.verify(phone, code, Idempotency_Key="b").json()["token"] for _ in range(2)}
    assert len(tokens) == 1
    proof = {"Phone_Proof": tokens.pop(), "Idempotency_Key": "c"}
    assert [app.post("/account", **proof).status_code for _ in range(2)] == [200, 200]
    assert app.post("/account", **proof | {"Idempotency_Key": "d"}).status_code == 401


def test_of_parallel_requests_one_redeems(app: App, phone: str) -> None:
    token = app.token(phone)
    cookies = app.session.cookies.get_dict()

    def redeem(_: int) -> int:
        headers = {"Phone-Proof": token}
        return requests.post(f"{app.served.url}/account", headers=headers, cookies=cookies, timeout=20).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(redeem, range(8))) == [200] + [401] * 7


def test_a_proof_is_worth_nothing_in_another_session(app: App, phone: str) -> None:
    token = app.token(phone)
    with requests.Session() as session:
        assert App(app.served, session).post("/account", Phone_Proof=token).json()["code"] == "invalid_token"
    assert app.post("/account", Phone_Proof=token).status_code == 200


def test_the_page_and_the_router_share_a_session(app: App, phone: str) -> None:
    visitor = FormVisitor(f"{app.served.url}/signup", app.session)
    visitor.look()
    visitor.post("send", phone=phone)
    token = app.verify(phone, app.served.code(phone)).json()["token"]
    assert app.post("/account", Phone_Proof=token).json() == {"phone": phone}


@pytest.mark.parametrize("phone", [None, 13800138000, True, ["13800138000"], {"$ne": ""}])
def test_what_is_no_text_is_refused(app: App, phone: Any) -> None:
    answer = app.issue(phone)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request")
    assert "body.phone" in answer.json()["detail"]


@pytest.mark.parametrize("phone", ["", "12", "138\n00138000", "1" * 15_000, "\ud800", "13800138000\n", "+86 OOO"])
def test_what_is_no_number_is_refused(app: App, phone: str) -> None:
    answer = app.issue(phone)
    assert (answer.status_code, answer.json()["code"]) == (422, "phone")


@pytest.mark.parametrize("code", ["", "12345\n6", "123456\n", "1" * 15_000, "\ud800", "12345", "+123456"])
def test_what_is_no_code_costs_no_attempt(app: App, phone: str, code: str) -> None:
    app.issue(phone)
    assert app.verify(phone, code).json()["code"] == "malformed_code"
    assert app.post("/api/signup/challenges/status", {"phone": phone}).json()["attempts_left"] == 5


def test_a_field_that_is_not_known_is_refused(app: App, phone: str) -> None:
    answer = app.post("/api/signup/challenges", {"phone": phone, "purpose": "payment"})
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request")
    assert phone not in answer.text
    assert phone not in [message.phone for message in app.served.outbox]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_of_another_site_could_send_is_not_read(app: App, phone: str, kind: str) -> None:
    body = f'{{"phone": "{phone}"}}'
    headers = {"Content-Type": kind}
    url = f"{app.served.url}/api/signup/challenges"
    answer = app.session.post(url, data=body, headers=headers, timeout=20)
    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")
    assert phone not in [message.phone for message in app.served.outbox]


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"text"', "\xff"])
def test_a_body_that_cant_be_read_is_told_so(app: App, body: str) -> None:
    url = f"{app.served.url}/api/signup/verifications"
    headers = {"Content-Type": "application/json"}
    answer = app.session.post(url, data=body.encode("latin-1"), headers=headers, timeout=20)
    assert answer.status_code in {400, 422}


def test_a_huge_body_is_not_read(app: App, phone: str) -> None:
    pieces = (b"1" * 1000 for _ in range(1000))  # Chunked, so that no length is announced.
    for body in (b"1" * 1_000_000, pieces):
        answer = app.session.post(
            f"{app.served.url}/api/signup/challenges",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=20,
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "too_long")
    assert app.issue(phone).status_code == 202


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_an_idempotency_key_that_names_nothing_is_refused(app: App, phone: str, key: str) -> None:
    assert app.issue(phone, Idempotency_Key=key).json()["code"] == "malformed_request"


def test_the_problems_are_declared(app: App) -> None:
    schema = app.session.get(f"{app.served.url}/openapi.json", timeout=20).json()
    paths = schema["paths"]
    assert {path for path in paths if path.startswith("/api")} == {
        "/api/signup/challenges",
        "/api/signup/challenges/status",
        "/api/signup/verifications",
    }
    declared = paths["/api/signup/verifications"]["post"]["responses"]
    assert {"200", "413", "415", "422", "423", "429", "502", "503"} == set(declared)
    assert set(declared["422"]["content"]) == {"application/problem+json"}
    headers = [each["name"] for each in paths["/account"]["post"]["parameters"]]
    assert sorted(headers) == ["Idempotency-Key", "Phone-Proof"]


def test_a_proof_can_be_of_another_purpose_and_tied_to_what_one_likes(phone: str) -> None:
    paid: list[str] = []
    otp, outbox = new_otp()
    app = FastAPI()
    phones = PhoneVerification(otp)
    phones.install(app)
    app.include_router(phones.router("payment", bind=device), prefix="/payment")

    @app.post("/pay")
    async def pay(proof: Annotated[Proof, Depends(verified_phone("payment", bind=device))]) -> str:
        paid.append(proof.purpose)
        return proof.phone

    with on_uvicorn(app) as url:

        def post(path: str, body: Any = None, **headers: str) -> requests.Response:
            return requests.post(url + path, json=body, headers=headers, timeout=20)

        assert post("/payment/challenges", {"phone": phone}, device="mine").status_code == 202
        answer = {"phone": phone, "code": outbox[-1].code}
        assert post("/payment/verifications", answer, device="other").json()["code"] == "expired_code"
        token = {"Phone-Proof": post("/payment/verifications", answer, device="mine").json()["token"]}
        assert post("/pay", device="other", **token).status_code == 401
        assert post("/pay", device="", **token).status_code == 500  # The proof would be bound to nothing.
        assert post("/pay", device="mine", **token).json() == phone
        assert post("/payment/challenges", {"phone": phone}).json()["code"] == "malformed_request"
        assert post("/payment/challenges", {"phone": phone}, device="").status_code == 500
    assert paid == ["payment"]


def test_the_otp_is_there_for_calls_of_ones_own_and_can_be_replaced() -> None:
    app, (otp, _), (other, _) = FastAPI(), new_otp(), new_otp()
    PhoneVerification(otp).install(app)

    @app.get("/which")
    async def which(given: Otp) -> str:
        return "other" if given is other else "installed"

    @app.get("/who")
    async def who(proof: VerifiedPhone) -> str:
        return proof.phone

    async def ada() -> Proof:
        return Proof("id", "+8613800138000", "signup", *[None] * 3, "token")  # type: ignore[arg-type]

    with on_uvicorn(app) as url:
        assert requests.get(f"{url}/which", timeout=20).json() == "installed"
        app.dependency_overrides |= {get_otp: lambda: other, verified_phone("signup"): ada}
        assert requests.get(f"{url}/which", timeout=20).json() == "other"
        assert requests.get(f"{url}/who", timeout=20).json() == "+8613800138000"


def test_a_body_that_is_refused_and_corrected_redeems_once(phone: str) -> None:
    otp, outbox = new_otp()
    app = fastapi_app(otp)

    @app.post("/named")
    async def create(account: Account, proof: VerifiedPhone) -> str:
        return f"{account.name} {proof.phone}"

    with on_uvicorn(app) as url, requests.Session() as session:
        application = App(Served(url, outbox), session)
        headers = {"Phone_Proof": application.token(phone), "Idempotency_Key": "one form"}
        assert application.post("/named", {"nome": "Ada"}, **headers).status_code == 422
        assert application.post("/named", {"name": "Ada"}, **headers).json() == f"Ada {phone}"
        assert application.post("/named", {"name": "Ada"}, **headers).json()["code"] == "used_token"


def test_a_plain_function_that_logs_in_does_not_block_the_event_loop(phone: str) -> None:
    otp, outbox = new_otp()
    app, threads = FastAPI(), []
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = PhoneVerification(otp)
    phones.install(app)

    def logged_in(request: Request, proof: Proof) -> PlainTextResponse:
        threads.append(threading.current_thread())
        return PlainTextResponse(proof.phone)

    @app.get("/thread")
    async def thread() -> None:
        threads.append(threading.current_thread())

    app.include_router(phones.pages("login", on_verified=logged_in), prefix="/login")
    with on_uvicorn(app) as url, requests.Session() as session:
        visitor = FormVisitor(f"{url}/login", session)
        visitor.look()
        visitor.post("send", phone=phone)
        assert visitor.post("verify", code=outbox[-1].code).text == phone
        session.get(f"{url}/thread", timeout=20)
    assert threads[0] is not threads[1]


@pytest.mark.parametrize("path", ["/signup", "/challenges", "/account"])
def test_without_a_session_the_log_names_the_middleware(path: str, caplog: pytest.LogCaptureFixture) -> None:
    otp, _ = new_otp()
    app = FastAPI()
    phones = PhoneVerification(otp)
    phones.install(app)
    app.include_router(phones.pages(), prefix="/signup")
    app.include_router(phones.router())

    @app.post("/account")
    async def account(proof: VerifiedPhone) -> None: ...

    with on_uvicorn(app) as url:
        assert requests.post(url + path, json={"phone": "13800138000"}, timeout=20).status_code == 500
    assert "SessionMiddleware" in caplog.text


def test_without_install_the_log_names_it(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    app.include_router(PhoneVerification(new_otp()[0]).router())
    with on_uvicorn(app) as url:
        body = {"phone": "13800138000"}
        assert requests.post(f"{url}/challenges", json=body, timeout=20).status_code == 500
    assert "install(app)" in caplog.text


def test_an_otp_that_would_block_is_refused() -> None:
    with OTP("memory://", Outbox(), TEMPLATE, SECRET) as otp, pytest.raises(ConfigurationError, match="AsyncOTP"):
        PhoneVerification(otp)  # type: ignore[arg-type]


def new_otp() -> tuple[AsyncOTP, Outbox]:
    outbox = Outbox()
    return AsyncOTP("memory://", outbox, TEMPLATE, SECRET, policy=Policy()), outbox
