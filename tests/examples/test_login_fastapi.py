"""examples/login_fastapi.py, as it stands, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from example_process import Example, example, other_than

ADA = "13800138000"
GRACE = "13900139009"
NOBODY = "13700137000"


@pytest.fixture(scope="module")
def app() -> Iterator[Example]:
    with example("login_fastapi.py") as app:
        yield app


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def post(app: Example, session: requests.Session, path: str, body: dict[str, str], **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return session.post(app.url + path, json=body, headers=named, timeout=10)


def test_a_person_logs_in(app: Example, session: requests.Session) -> None:
    assert session.get(f"{app.url}/me", timeout=10).status_code == 401
    sent = post(app, session, "/login/code", {"phone": "138-0013-8000"})
    assert sent.status_code == 202
    assert sent.json()["delivery"] == "accepted"
    limited = post(app, session, "/login/code", {"phone": ADA})
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert limited.json()["code_is_live"] is True
    code = app.code(ADA)
    wrong = post(app, session, "/login", {"phone": ADA, "code": other_than(code)}, Accept_Language="zh-CN")
    assert wrong.status_code == 422
    assert wrong.json() == {"error": "wrong_code", "message": "验证码不正确，还可以尝试 4 次。"}
    answer = post(app, session, "/login", {"phone": ADA, "code": code})
    assert answer.json() == {"welcome": "Ada"}
    assert session.get(f"{app.url}/me", timeout=10).json() == {"name": "Ada"}
    assert post(app, session, "/login", {"phone": ADA, "code": code}).json()["error"] == "expired_code"


def test_a_login_sent_twice_by_one_form_is_one(app: Example, session: requests.Session) -> None:
    for _ in range(2):
        assert post(app, session, "/login/code", {"phone": GRACE}, Idempotency_Key="form 1").status_code == 202
    assert len(app.messages(GRACE)) == 1
    before = session.cookies.get_dict()
    for _ in range(2):  # both left before the first was answered
        session.cookies.clear()
        session.cookies.update(before)
        answer = post(app, session, "/login", {"phone": GRACE, "code": app.code(GRACE)}, Idempotency_Key="form 2")
        assert answer.json() == {"welcome": "Grace"}


def test_the_code_is_worth_nothing_in_another_session(app: Example, session: requests.Session) -> None:
    post(app, session, "/login/code", {"phone": NOBODY})
    with requests.Session() as other:
        stolen = post(app, other, "/login", {"phone": NOBODY, "code": app.code(NOBODY)})
    assert stolen.json()["error"] == "expired_code"
    owner = post(app, session, "/login", {"phone": NOBODY, "code": app.code(NOBODY)})
    assert owner.status_code == 404
    assert session.get(f"{app.url}/me", timeout=10).status_code == 401


def test_what_is_no_phone_is_told_in_the_visitors_language(app: Example, session: requests.Session) -> None:
    answers = [
        post(app, session, "/login/code", {"phone": "12"}, Accept_Language=language) for language in ("en", "zh")
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert [answer.json()["message"] for answer in answers] == [
        "Please enter a valid mobile number.",
        "请输入正确的手机号码。",
    ]


def test_the_documentation_is_served(app: Example, session: requests.Session) -> None:
    paths = session.get(f"{app.url}/openapi.json", timeout=10).json()["paths"]
    assert set(paths) == {"/login/code", "/login", "/me"}
