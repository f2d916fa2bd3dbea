"""examples/signup_flask.py, unchanged, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import requests
from example_process import Example, example, other_than
from support.form_visitor import FormVisitor, hidden
from support.secrets import SECRET

from otpkit.sandbox import Sandbox, running

_numbers = count(13800138000)


@pytest.fixture(scope="module")
def app() -> Iterator[Example]:
    with example("signup_flask.py") as app:
        yield app


@pytest.fixture
def phone() -> str:
    return str(next(_numbers))


@pytest.fixture
def visitor(app: Example) -> Iterator[Person]:
    with requests.Session() as session:
        person = Person(f"{app.url}/signup", session, app=app)
        person.look()
        yield person


class Person(FormVisitor):
    """A person who signs up."""

    def __init__(self, url: str, session: requests.Session, *, app: Example) -> None:
        super().__init__(url, session)
        self.account_url = f"{app.url}/account"

    def account_form(self, name: str = "Ada") -> dict[str, str]:
        return {**hidden(self.session.get(self.account_url, timeout=10).text), "name": name}

    def create(self, form: dict[str, str]) -> requests.Response:
        return self.session.post(self.account_url, form, timeout=10)


def test_a_person_signs_up(app: Example, visitor: Person, phone: str) -> None:
    assert visitor.session.get(app.url, timeout=10).url == visitor.url  # The start page redirects to the form.
    assert visitor.post("send", phone=phone).status_code == 200
    code = app.code(phone)
    wrong = visitor.post("verify", code=other_than(code))
    assert wrong.status_code == 422
    assert "Attempts left: 4." in wrong.text
    limited = visitor.post("send")
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    assert visitor.post("verify", code=code).url == visitor.account_url
    form = visitor.account_form("<Ada>")
    answers = [visitor.create(form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert "Welcome, &lt;Ada&gt;!" in answers[1].text
    again = visitor.create(form | {"key": "another form", "name": "Eve"})
    assert again.url == visitor.url  # The person must start again.


def test_a_form_sent_twice_at_once_is_one_account(app: Example, visitor: Person, phone: str) -> None:
    visitor.post("send", phone=phone)
    visitor.post("verify", code=app.code(phone))
    form, cookies = visitor.account_form(), visitor.cookies()

    def create(key: str) -> requests.Response:
        return requests.post(visitor.account_url, form | {"key": key}, cookies=cookies, timeout=10)

    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(create, ["a"] * 8))
        others = list(pool.map(create, "bcdefghi"))
    assert all("Welcome, Ada!" in answer.text for answer in same)
    assert not any("Welcome" in answer.text for answer in others)


def test_the_proof_is_worth_nothing_in_another_session(app: Example, visitor: Person, phone: str) -> None:
    visitor.post("send", phone=phone)
    visitor.post("verify", code=app.code(phone))
    form = visitor.account_form()
    with requests.Session() as session:
        stranger = Person(visitor.url, session, app=app)
        assert "Welcome" not in stranger.create(form).text
    assert "Welcome, Ada!" in visitor.create(form).text


def test_another_sites_form_creates_no_account(app: Example, visitor: Person, phone: str) -> None:
    visitor.post("send", phone=phone)
    visitor.post("verify", code=app.code(phone))
    form = {"name": "Eve", "key": "guessed"}
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert "Welcome" not in visitor.session.post(visitor.account_url, form, headers=headers, timeout=10).text
    assert "Welcome, Ada!" in visitor.create(visitor.account_form()).text


def test_errors_speak_the_visitors_language(visitor: Person) -> None:
    answer = visitor.send(visitor.form("send", phone="12"), Accept_Language="zh-CN,zh;q=0.9")
    assert answer.status_code == 422
    assert "请输入正确的手机号码。" in answer.text


def test_the_log_holds_no_phone_and_no_code(app: Example, visitor: Person, phone: str) -> None:
    visitor.post("send", phone=phone)
    code = app.code(phone)
    visitor.post("verify", code=code)
    visitor.create(visitor.account_form())
    printed = "".join(app.printed)
    assert "/account" in printed
    assert phone not in printed
    assert code not in printed


def test_the_environment_is_used_where_it_is_set(valkey_url: str, namespace: str, phone: str) -> None:
    sandbox = Sandbox()
    with running(sandbox) as gateway:
        env = {
            "OTPKIT_REDIS_URL": valkey_url,
            "OTPKIT_NAMESPACE": namespace,
            "OTPKIT_SECRET": SECRET,
            "OTPKIT_GATEWAY": "alidayu",
            "OTPKIT_ALIDAYU_BASE_URL": gateway.gateway_url,
            "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
            "OTPKIT_ALIDAYU_APP_SECRET": "sandbox-secret",
            "OTPKIT_TEMPLATE_CODE": "SMS_585014",
            "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
        }
        with example("signup_flask.py", env) as app:
            person = Person(f"{app.url}/signup", app.session, app=app)
            person.look()
            person.post("send", phone=phone)
            assert person.post("verify", code=str(sandbox.messages(phone)[0].code)).url == person.account_url
    assert app.inbox == ""
