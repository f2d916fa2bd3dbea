"""examples/signup_flask.py, as it stands, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests
from example_process import Example, example, other_than

from otpkit.sandbox import Sandbox, running

PHONE = "13800138000"


@pytest.fixture(scope="module")
def app() -> Iterator[Example]:
    with example("signup_flask.py") as app:
        yield app


@dataclass
class Visitor:
    """A browser."""

    app: Example
    session: requests.Session = field(default_factory=requests.Session)
    page: str = ""

    def look(self) -> None:
        self.page = self.session.get(self.app.url, timeout=10).text

    def form(self, action: str, **typed: str) -> dict[str, str]:
        """Fill in the page's form with this action."""
        form = re.search(rf'action="{action}".*?</form>', self.page, re.DOTALL)
        assert form, self.page
        return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[0])) | typed

    def send(self, action: str, form: dict[str, str], language: str = "en") -> requests.Response:
        url, headers = f"{self.app.url}{action}", {"Accept-Language": language}
        answer = self.session.post(url, form, headers=headers, timeout=10)
        self.page = answer.text
        return answer

    def post(self, action: str, **typed: str) -> requests.Response:
        return self.send(action, self.form(action, **typed))


@pytest.fixture
def visitor(app: Example) -> Iterator[Visitor]:
    visitor = Visitor(app)
    with visitor.session:
        visitor.look()
        yield visitor


def test_a_person_signs_up(visitor: Visitor) -> None:
    assert visitor.post("/code", phone="138 0013 8000").status_code == 200
    code = visitor.app.code(PHONE)
    wrong = visitor.post("/verify", code=other_than(code))
    assert wrong.status_code == 422
    assert "Attempts left: 4." in wrong.text
    limited = visitor.post("/code")
    assert limited.status_code == 429
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    visitor.post("/verify", code=code)
    account = visitor.form("/account", name="<Ada>")
    answers = [visitor.send("/account", account) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert "Welcome, &lt;Ada&gt;!" in answers[1].text
    again = visitor.send("/account", account | {"key": "another form", "name": "Eve"})
    assert again.status_code == 401
    assert "Please verify your phone number again." in again.text


def test_a_form_sent_twice_gets_the_same_answer_twice(visitor: Visitor) -> None:
    phone = "13800138001"
    send = visitor.form("/code", phone=phone)
    assert [visitor.send("/code", send).status_code for _ in range(2)] == [200, 200]
    assert len(visitor.app.messages(phone)) == 1
    verify = visitor.form("/verify", code=visitor.app.code(phone))
    tokens = []
    for _ in range(2):
        assert visitor.send("/verify", verify).status_code == 200
        tokens.append(visitor.form("/account")["token"])
    assert tokens[0] == tokens[1]


def test_the_token_is_worth_nothing_in_another_session(visitor: Visitor) -> None:
    phone = "13800138002"
    visitor.post("/code", phone=phone)
    visitor.post("/verify", code=visitor.app.code(phone))
    with requests.Session() as session:
        assert Visitor(visitor.app, session).send("/account", visitor.form("/account", name="Eve")).status_code == 401
    assert visitor.post("/account", name="Ada").status_code == 200


def test_errors_speak_the_visitors_language(visitor: Visitor) -> None:
    answer = visitor.send("/code", visitor.form("/code", phone="12"), "zh-CN,zh;q=0.9")
    assert answer.status_code == 422
    assert "请输入正确的手机号码。" in answer.text


def test_the_log_holds_no_phone_and_no_code(visitor: Visitor) -> None:
    phone = "13800138003"
    visitor.post("/code", phone=phone)
    code = visitor.app.code(phone)
    visitor.post("/verify", code=code)
    printed = "".join(visitor.app.printed)
    assert phone not in printed
    assert code not in printed


def test_the_environment_is_used_where_it_is_set(valkey_url: str, namespace: str) -> None:
    sandbox = Sandbox()
    with running(sandbox) as gateway:
        env = {
            "OTPKIT_REDIS_URL": valkey_url,
            "OTPKIT_NAMESPACE": namespace,
            "OTPKIT_SECRET": "a-secret-for-tests-and-for-tests-alone",
            "OTPKIT_GATEWAY": "alidayu",
            "OTPKIT_ALIDAYU_BASE_URL": gateway.gateway_url,
            "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
            "OTPKIT_ALIDAYU_APP_SECRET": "sandbox-secret",
            "OTPKIT_TEMPLATE_CODE": "SMS_585014",
            "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
        }
        with example("signup_flask.py", env) as app:
            visitor = Visitor(app, app.session)
            visitor.look()
            visitor.post("/code", phone=PHONE)
            assert visitor.post("/verify", code=str(sandbox.messages(PHONE)[0].code)).status_code == 200
    assert app.inbox == ""
