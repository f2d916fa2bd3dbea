"""The steps of a visitor in the applications that the pages serve, by page and the line that serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests
from page_reader import Reader
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from support.form_visitor import FormVisitor, hidden

from otpkit import OTP, Template

PHONE = "+8613800138000"


class OverHttp(RequestsCookieJar):
    """Sends HTTPS-only cookies over HTTP too."""

    def set_cookie(self, cookie: Any, *args: Any, **kwargs: Any) -> Any:
        cookie.secure = False
        return super().set_cookie(cookie, *args, **kwargs)


class FreshConnections(HTTPAdapter):
    """Opens a connection for each request: a server may close a kept one at any time."""

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.poolmanager.clear()
        return super().send(*args, **kwargs)


def browser() -> requests.Session:
    """Return the session of a browser."""
    session = requests.Session()
    session.cookies = OverHttp()
    session.headers["Accept"] = "text/html"
    session.mount("http://", FreshConnections())
    return session


def through_forms(reader: Reader, session: requests.Session, path: str) -> FormVisitor:
    """Go through the two forms at a path, to the page after them."""
    erase(reader)  # A number gets one message a minute.
    visitor = FormVisitor(f"{reader.url}{path}", session)
    visitor.url = visitor.look().url  # Django adds a slash.
    visitor.post("send", phone="138 0013 8000")
    visitor.post("verify", code=reader.code())
    assert visitor.page.status_code == 200, visitor.page.text[-3000:]
    visitor.url = visitor.page.url
    return visitor


def sign_up(reader: Reader) -> None:
    """Sign up: the account is created once, and a visitor without a proof gets a link to the phone's form."""
    with browser() as session:
        visitor = through_forms(reader, session, "/signup")
        assert visitor.url.startswith(f"{reader.url}/account"), visitor.page.text[-3000:]
        form = hidden(visitor.page.text) | {"name": "Ada"}
        made = visitor.send(form)
        assert (made.status_code, PHONE in made.text) == (200, True), made.text
        assert visitor.send(form).status_code < 500
    with browser() as stranger:
        there = FormVisitor(f"{reader.url}/account", stranger)
        there.url = there.look().url
        answer = there.send(hidden(there.page.text) | {"name": "Ada"})
        assert "/signup" in answer.url + answer.text, (answer.url, answer.text[-600:])


def sign_up_and_log_in(reader: Reader) -> None:
    """Sign up, and log in with the same number in another browser."""
    sign_up(reader)
    with browser() as session:
        visitor = through_forms(reader, session, "/login")
        assert PHONE in visitor.page.text[-3000:]


def erase(reader: Reader) -> None:
    """Remove the stored data of the phone."""
    names = {"REDIS_URL": "redis", "SECRET": "secret", "NAMESPACE": "namespace"}
    given: dict[str, Any] = {argument: reader.env[f"OTPKIT_{name}"] for name, argument in names.items()}
    with OTP(gateway=print, template=Template("SMS_1", "otpkit"), **given) as otp:
        otp.erase(PHONE)


def sign_up_by_json(reader: Reader) -> None:
    """Log in by the JSON calls of the Django REST framework's views."""
    erase(reader)
    headers = {"X-Device": "7f9c2ba4e88f827d616045507605853e"}

    def post(path: str, body: dict[str, str], **more: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return requests.post(f"{reader.url}{path}", json=body, headers=headers | named, timeout=20)

    body = {"phone": "138 0013 8000"}
    sent = post("/login/challenges", body)
    assert (sent.status_code, sent.json()["resend_in"]) == (202, 60), sent.text
    again = post("/login/challenges", body)
    assert (again.status_code, again.json()["code"]) == (429, "rate_limit"), again.text
    wrong = post("/login/verifications", body | {"code": "x"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "malformed_code"), wrong.text
    token = post("/login/verifications", body | {"code": reader.code()}).json()["token"]
    assert post("/tokens/", {"name": "Ada"}).status_code == 401
    assert post("/tokens/", {}, Phone_Proof=token).status_code == 400
    right = post("/tokens/", {"name": "Ada"}, Phone_Proof=token)
    assert (right.status_code, bool(right.json()["token"])) == (201, True), right.text


def sign_up_for_allauth(reader: Reader) -> None:
    """Sign up on allauth's pages, and log in by a code in another browser."""
    for path, code_path in (("/accounts/signup/", "/accounts/phone/verify/"), ("/accounts/login/", "/code/confirm/")):
        erase(reader)
        with browser() as session:
            visitor = FormVisitor(f"{reader.url}{path}", session)
            csrf = "csrfmiddlewaretoken"  # A page has several forms, which differ in other hidden fields.
            name = "phone" if "signup" in path else "login"
            page = visitor.send({csrf: hidden(visitor.look().text)[csrf], name: "138 0013 8000"})
            assert code_path in page.url, page.text
            visitor.url = page.url
            visitor.send({csrf: hidden(page.text)[csrf], "code": reader.code()})
            assert PHONE in session.get(f"{reader.url}/", timeout=20).text


def answer(reader: Reader) -> None:
    """Request the first page of the server."""
    assert requests.get(reader.url, timeout=20).status_code < 500


Story = Callable[[Reader], None]
STORIES: dict[tuple[str, str], Story] = {}
for _page in ("README.md", "README.zh-CN.md"):
    STORIES[_page, "flask --app flask_app run"] = sign_up
    STORIES[_page, "uvicorn fastapi_app:app"] = sign_up
    STORIES[_page, "python manage.py runserver"] = sign_up
STORIES["docs/guides/flask.md", "flask --app shop run"] = sign_up_and_log_in
STORIES["docs/guides/flask.md", "flask --app api run"] = answer
STORIES["docs/guides/fastapi.md", "uvicorn shop:app"] = sign_up_and_log_in
STORIES["docs/guides/django.md", "python manage.py runserver"] = sign_up_and_log_in
STORIES["docs/guides/rest-framework.md", "python manage.py runserver"] = sign_up_by_json
STORIES["docs/guides/allauth.md", "python manage.py runserver"] = sign_up_for_allauth
STORIES["docs/guides/other-frameworks.md", "uvicorn with_starlette:app"] = sign_up
STORIES["docs/guides/other-frameworks.md", "uvicorn with_litestar:app"] = sign_up
STORIES["docs/guides/other-frameworks.md", "python with_aiohttp.py"] = sign_up
for _page in ("start", "guides/flask", "guides/fastapi", "guides/django"):
    STORIES[f"docs/{_page}.md", "otpkit sandbox"] = answer
