"""The parts specific to Flask: the extension, its configuration, and its error responses."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest
import requests
from served_apps import SECRET, TEMPLATE, flask_app, on_werkzeug
from support.form_visitor import FormVisitor

from otpkit import OTP, AsyncOTP, ConfigurationError
from otpkit.integrations.flask import PhoneVerification, current_otp
from otpkit.testing import Outbox

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def otp() -> Iterator[OTP]:
    with OTP("memory://", Outbox(), TEMPLATE, SECRET) as otp:
        yield otp


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BROWSER, "text/html; charset=utf-8"),
        ("*/*", "application/problem+json"),
        ("application/json", "application/problem+json"),
        ("", "application/problem+json"),
        ("image/png", "application/problem+json"),
    ],
)
def test_an_error_is_a_page_for_browsers_and_a_problem_for_others(otp: OTP, accept: str, kind: str) -> None:
    with on_werkzeug(flask_app(otp)) as url:
        headers = {"Accept": accept, "Accept-Language": "zh"}
        answer = requests.post(f"{url}/account", headers=headers, timeout=20)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Language"] == "zh-CN"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "请重新验证手机号码。" in answer.content.decode()


def test_one_extension_serves_applications_with_an_otp_each(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "REDIS_URL": "memory://",
        "SECRET": SECRET,
        "GATEWAY": "console",
        "DEVELOPMENT": "1",
        "TEMPLATE_CODE": "SMS_1",
        "TEMPLATE_SIGN_NAME": "otpkit",
    }
    for name, value in env.items():
        monkeypatch.setenv(f"OTPKIT_{name}", value)
    phones = PhoneVerification()
    pages = phones.blueprint("password.reset")  # There is no application yet.
    otps = []
    for _ in range(2):
        app = flask.Flask(__name__)
        app.secret_key = SECRET
        phones.init_app(app)
        app.register_blueprint(pages, url_prefix="/reset")
        assert app.test_client().get("/reset").status_code == 200
        with app.app_context():
            otps.append(current_otp._get_current_object())  # type: ignore[attr-defined]
            assert current_otp.policy.code_length == 6
    assert otps[0] is not otps[1]
    for otp in otps:
        otp.close()


def test_without_an_environment_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTPKIT_REDIS_URL", raising=False)
    with pytest.raises(ConfigurationError, match="OTPKIT_REDIS_URL"):
        PhoneVerification(flask.Flask(__name__))


@pytest.mark.parametrize("call", ["page", "redeem"])
def test_without_a_secret_key_the_log_names_it(otp: OTP, caplog: pytest.LogCaptureFixture, call: str) -> None:
    app = flask_app(otp)
    app.secret_key = None
    client = app.test_client()
    answer = client.get("/signup") if call == "page" else client.post("/account")
    assert answer.status_code == 500
    assert "SECRET_KEY" in caplog.text


def test_without_init_app_the_log_names_it(otp: OTP, caplog: pytest.LogCaptureFixture) -> None:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    app.register_blueprint(PhoneVerification(otp=otp).blueprint())
    assert app.test_client().get("/signup").status_code == 500
    assert "init_app" in caplog.text


def test_an_otp_that_must_be_awaited_is_refused() -> None:
    otp = AsyncOTP("memory://", Outbox(), TEMPLATE, SECRET)
    with pytest.raises(ConfigurationError, match="AsyncOTP"):
        PhoneVerification(otp=otp)  # type: ignore[arg-type]


def test_a_form_without_a_key_is_redeemed_once(otp: OTP) -> None:
    outbox = otp._config.routing.members["outbox"].gateway  # The outbox of the fixture.
    app = flask_app(otp)

    with on_werkzeug(app) as url, requests.Session() as session:
        visitor = FormVisitor(f"{url}/signup", session)
        visitor.look()
        visitor.post("send", phone="13800138000")
        visitor.post("verify", code=outbox[-1].code)
        answers = [session.post(f"{url}/account", headers={"Idempotency-Key": ""}, timeout=20) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]


def test_an_application_that_is_mounted_below_a_path_leads_back_there(otp: OTP) -> None:
    client = flask_app(otp).test_client()
    page = client.get("/signup", base_url="http://localhost/mounted")
    assert 'action="/mounted/signup"' in page.text
    assert client.get("/signup?lang=zh", base_url="http://localhost/mounted").location == "/mounted/signup"


@pytest.mark.parametrize("name", ["csrf_token", "my_token"])
def test_a_form_with_a_fresh_token_of_flask_wtf_is_the_same(otp: OTP, name: str) -> None:
    """The field has its own name, which can be configured."""
    outbox = otp._config.routing.members["outbox"].gateway  # The outbox of the fixture.
    app = flask_app(otp)
    if name != "csrf_token":
        app.config["WTF_CSRF_FIELD_NAME"] = name

    with on_werkzeug(app) as url, requests.Session() as session:
        visitor = FormVisitor(f"{url}/signup", session)
        visitor.look()
        visitor.post("send", phone="13800138000")
        visitor.post("verify", code=outbox[-1].code)
        headers = {"Idempotency-Key": "one"}
        forms = [{"name": "Ada", name: "first"}, {"name": "Ada", name: "second"}, {"name": "Eve", name: "first"}]
        answers = [session.post(f"{url}/account", form, headers=headers, timeout=20) for form in forms]
    assert [answer.status_code for answer in answers] == [200, 200, 401]
