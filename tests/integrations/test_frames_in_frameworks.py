"""When an error ends a request, no frame of otpkit or of FastAPI's form parsing contains the form's code or number."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlencode

import flask
import pytest
from django.test import Client as DjangoClient
from django.test import override_settings
from django_site import Browser, hidden, site
from served_apps import SECRET, TEMPLATE, fastapi_app, flask_app
from support.frame_search import held

from otpkit import OTP, AsyncOTP, ConfigurationError, Policy
from otpkit.integrations.django.conf import get_otp
from otpkit.integrations.django.rest import phone_urls
from otpkit.integrations.flask import PhoneVerification
from otpkit.testing import Outbox

NUMBER = "13800138000"
POLICY = Policy(code_length=10, sends="32/day")  # Ten digits do not occur elsewhere by chance.
ERRORS = [ConfigurationError("Redis refused the script."), RuntimeError("a fault of ours")]


class Refusing:
    """Replaces a store's `run`, and raises `error` once it is set."""

    def __init__(self, otp: Any) -> None:
        self.error: Exception | None = None
        self._run = otp._store.run
        otp._store.run = self

    def __call__(self, *arguments: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self._run(*arguments)


def check(send: Any, refusing: Refusing, error: Exception, outbox: Outbox, form: dict[str, str]) -> None:
    """Check that the request raises, and that its error shows no code and no number."""
    refusing.error = error
    with pytest.raises(type(error)) as caught:
        send(form)
    codes = [each.code for each in outbox]
    assert held(caught.value, NUMBER, *codes) == []
    # After a code was sent, the session contains the number, and FastAPI's own frames contain the session.
    typed = [NUMBER] if form.get("phone") == NUMBER and "code" not in form else []
    assert held(caught.value, *codes, *typed, modules=("fastapi",)) == []


class Client:
    """A client of an ASGI application that raises the application's errors."""

    def __init__(self, app: Any) -> None:
        self._app, self._cookie = app, b""

    def get(self, path: str) -> str:
        return self._ask("GET", path, b"", b"")

    def post(self, path: str, form: dict[str, str]) -> str:
        return self._ask("POST", path, b"application/x-www-form-urlencoded", urlencode(form).encode())

    def post_json(self, path: str, body: dict[str, str]) -> str:
        return self._ask("POST", path, b"application/json", json.dumps(body).encode())

    def _ask(self, method: str, path: str, kind: bytes, body: bytes) -> str:
        headers = [(b"host", b"testserver"), (b"content-type", kind), (b"cookie", self._cookie)]
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": headers}
        scope |= {"query_string": b"", "scheme": "http", "server": ("testserver", 80), "client": ("127.0.0.1", 1)}
        scope |= {"http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"}}
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        cookies = [value for name, value in sent[0]["headers"] if name.lower() == b"set-cookie"]
        self._cookie = cookies[-1].partition(b";")[0] if cookies else self._cookie
        return b"".join(message.get("body", b"") for message in sent).decode()


def fields(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', html.partition("</form>")[0]))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["phone", "code", "redeem"])
def test_flask_shows_nothing(step: str, error: Exception) -> None:
    outbox = Outbox()
    with OTP("memory://", outbox, TEMPLATE, SECRET, policy=POLICY) as otp:
        refusing, app = Refusing(otp), flask_app(otp)
        app.testing = True
        client = app.test_client()

        def form() -> dict[str, str]:
            return fields(client.get("/signup").text)

        filled = {"phone": {"action": "send", "phone": NUMBER}, "code": {"action": "verify"}, "redeem": {}}[step]
        if step != "phone":
            client.post("/signup", data={**form(), "action": "send", "phone": NUMBER})
            filled |= {**form(), "code": outbox[-1].code}
        if step == "redeem":
            client.post("/signup", data={**filled, "action": "verify"})
        filled = {**form(), **filled}
        url = "/account" if step == "redeem" else "/signup"
        check(lambda data: client.post(url, data=data), refusing, error, outbox, filled)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["phone", "code"])
def test_django_shows_nothing(step: str, error: Exception) -> None:
    with site(POLICY=POLICY) as live:
        refusing, browser = Refusing(get_otp()), Browser()
        filled = {"action": "send", "phone": NUMBER}
        if step == "code":
            browser.fill("/signup/", phone=NUMBER)
            filled = {"action": "verify", "code": live.code}
        filled = hidden(browser.get("/signup/")) | filled
        check(lambda data: browser.post("/signup/", data), refusing, error, live.outbox, filled)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["phone", "code"])
def test_pages_of_fastapi_show_nothing(step: str, error: Exception) -> None:
    outbox = Outbox()
    otp = AsyncOTP("memory://", outbox, TEMPLATE, SECRET, policy=POLICY)
    refusing = Refusing(otp)
    client, filled = Client(fastapi_app(otp)), {"action": "send", "phone": NUMBER}
    if step == "code":
        client.post("/signup", {**fields(client.get("/signup")), **filled})
        filled = {"action": "verify", "code": outbox[-1].code}
    filled = {**fields(client.get("/signup")), **filled}
    check(lambda form: client.post("/signup", form), refusing, error, outbox, filled)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("path", ["challenges", "challenges/status", "verifications"])
def test_json_of_fastapi_shows_nothing(path: str, error: Exception) -> None:
    outbox = Outbox()
    otp = AsyncOTP("memory://", outbox, TEMPLATE, SECRET, policy=POLICY)
    refusing = Refusing(otp)
    client, body = Client(fastapi_app(otp)), {"phone": NUMBER}
    client.get("/signup")  # This creates a session.
    client.post_json("/api/signup/challenges", body)
    if path == "verifications":
        body["code"] = outbox[-1].code
    check(lambda body: client.post_json(f"/api/signup/{path}", body), refusing, error, outbox, body)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("path", ["challenges", "verifications"])
def test_json_of_flask_shows_nothing(path: str, error: Exception) -> None:
    outbox = Outbox()
    with OTP("memory://", outbox, TEMPLATE, SECRET, policy=POLICY) as otp:
        refusing, app, body = Refusing(otp), flask.Flask(__name__), {"phone": NUMBER}
        app.secret_key, app.testing = SECRET, True
        app.register_blueprint(PhoneVerification(app, otp).json_blueprint())
        client = app.test_client()
        client.post("/api/signup/challenges", json=body)
        if path == "verifications":
            body["code"] = outbox[-1].code
        check(lambda body: client.post(f"/api/signup/{path}", json=body), refusing, error, outbox, body)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("path", ["challenges", "verifications"])
def test_json_of_rest_framework_shows_nothing(path: str, error: Exception) -> None:
    urls = type("urls", (), {"urlpatterns": phone_urls()})
    with site(POLICY=POLICY) as live, override_settings(ROOT_URLCONF=urls):
        refusing, client, body = Refusing(get_otp()), DjangoClient(), {"phone": NUMBER}
        client.post("/challenges", body, "application/json")
        if path == "verifications":
            body["code"] = live.code
        check(lambda body: client.post(f"/{path}", body, "application/json"), refusing, error, live.outbox, body)
