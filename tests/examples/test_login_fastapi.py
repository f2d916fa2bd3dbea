"""examples/login_fastapi.py, unchanged, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from example_process import Example, example, other_than
from support.form_visitor import FormVisitor

ADA = "13800138000"
GRACE = "13900139009"
NOBODY = "13700137000"


@pytest.fixture
def app() -> Iterator[Example]:
    with example("login_fastapi.py") as app:
        yield app


def post(app: Example, path: str, body: object = None, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.session.post(app.url + path, json=body, headers=named, timeout=10)


def get(app: Example, path: str) -> requests.Response:
    return app.session.get(app.url + path, timeout=10)


def log_in_by_page(app: Example, phone: str) -> FormVisitor:
    visitor = FormVisitor(f"{app.url}/login", app.session)
    visitor.look()
    visitor.post("send", phone=phone)
    return visitor


def test_a_person_logs_in_by_the_pages(app: Example) -> None:
    assert 'href="/login"' in get(app, "/").text
    visitor = log_in_by_page(app, ADA)
    assert visitor.post("verify", code=other_than(app.code(ADA))).status_code == 422
    planted = visitor.twin()
    assert "Hello, Ada!" in visitor.post("verify", code=app.code(ADA)).text
    assert get(app, "/me").json() == {"name": "Ada"}
    # A person who planted the session before is not logged in.
    assert planted.session.get(f"{app.url}/me", timeout=10).status_code == 401
    assert 'href="/login"' in post(app, "/logout").text
    assert get(app, "/me").status_code == 401


def test_the_second_click_logs_in_too(app: Example) -> None:
    visitor = log_in_by_page(app, GRACE)
    form, windows = visitor.form("verify", code=app.code(GRACE)), [visitor.twin() for _ in range(2)]
    assert ["Hello, Grace!" in window.send(form).text for window in windows] == [True, True]


def test_an_application_logs_in(app: Example) -> None:
    sent = post(app, "/api/login/challenges", {"phone": "138-0013-8000"})
    assert (sent.status_code, sent.json()["delivery"]) == (202, "accepted")
    limited = post(app, "/api/login/challenges", {"phone": ADA})
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert limited.json()["code_is_live"] is True
    wrong = post(
        app, "/api/login/verifications", {"phone": ADA, "code": other_than(app.code(ADA))}, Accept_Language="zh"
    )
    assert wrong.status_code == 422
    assert wrong.json()["detail"] == "验证码不正确，还可以尝试 4 次。"
    proof = post(app, "/api/login/verifications", {"phone": ADA, "code": app.code(ADA)}).json()
    assert get(app, "/me").status_code == 401  # A proof is not a session.
    stolen = requests.post(f"{app.url}/api/session", headers={"Phone-Proof": proof["token"]}, timeout=10)
    assert stolen.status_code == 401
    assert post(app, "/api/session", Phone_Proof=proof["token"]).json() == {"welcome": "Ada"}
    assert get(app, "/me").json() == {"name": "Ada"}
    assert post(app, "/api/session", Phone_Proof=proof["token"]).status_code == 401


def test_a_code_is_worth_nothing_in_another_session(app: Example) -> None:
    post(app, "/api/login/challenges", {"phone": ADA})
    body = {"phone": ADA, "code": app.code(ADA)}
    stolen = requests.post(f"{app.url}/api/login/verifications", json=body, timeout=10)
    assert stolen.json()["code"] == "expired_code"
    assert post(app, "/api/login/verifications", body).status_code == 200


def test_a_missing_account_is_revealed_only_after_the_code(app: Example) -> None:
    answers = [post(app, "/api/login/challenges", {"phone": phone}) for phone in (NOBODY, GRACE)]
    assert answers[0].json() == answers[1].json()
    proof = post(app, "/api/login/verifications", {"phone": NOBODY, "code": app.code(NOBODY)}).json()
    assert post(app, "/api/session", Phone_Proof=proof["token"]).status_code == 404
    assert get(app, "/me").status_code == 401


def test_a_forged_cookie_logs_in_no_user(app: Example) -> None:
    # The cookie contains {"phone": Ada's}.
    app.session.cookies.set("session", "eyJwaG9uZSI6ICIrODYxMzgwMDEzODAwMCJ9.Z.Z")
    assert get(app, "/me").status_code == 401


def test_the_documentation_is_served(app: Example) -> None:
    paths = get(app, "/openapi.json").json()["paths"]
    calls = {"/api/login/challenges", "/api/login/challenges/status", "/api/login/verifications"}
    assert set(paths) == {*calls, "/api/session", "/me"}
    assert get(app, "/docs").status_code == 200
