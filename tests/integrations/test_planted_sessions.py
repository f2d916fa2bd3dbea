"""A session with a planted id: an attacker who knows the id can't use the proof of a number that the victim verified.

The attacker visits the site, puts the id of their session into the victim's browser (for example by a cookie of a
subdomain), and shares the session from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
import requests
from fastapi import FastAPI
from served_apps import SECRET, TEMPLATE, Served, flask_app, on_uvicorn, on_werkzeug
from served_apps import serving as serving_cookie_sessions
from server_sessions import Kind, serving
from starlette.middleware.sessions import SessionMiddleware as CookieSessions
from support.form_visitor import FormVisitor

from otpkit import OTP, AsyncOTP
from otpkit.integrations.fastapi import PhoneVerification
from otpkit.testing import Outbox

KINDS: list[Kind] = ["fastapi", "fastapi-async", "flask", "flask-redis"]
FASTAPI: list[Kind] = ["fastapi", "fastapi-async"]
_numbers = count(13300000000)


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    url = request.getfixturevalue("valkey_url") if request.param == "flask-redis" else ""
    with serving(request.param, url) as served:
        yield served


@pytest.fixture
def phone() -> str:
    return f"+86{next(_numbers)}"


def planted(served: Served, page: str = "/signup") -> tuple[FormVisitor, FormVisitor]:
    """Return the victim and the attacker, who share a session that the attacker began."""
    attacker = FormVisitor(served.url + page)
    attacker.look()
    victim = FormVisitor(served.url + page)
    victim.session.cookies.set("session", attacker.cookies()["session"], domain="127.0.0.1", path="/")
    victim.look()
    assert victim.cookies()["session"] == attacker.cookies()["session"]
    return victim, attacker


def verify(served: Served, visitor: FormVisitor, phone: str) -> requests.Response:
    visitor.look()
    visitor.post("send", phone=phone)
    return visitor.post("verify", code=served.code(phone))


def account(served: Served, visitor: FormVisitor, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return visitor.session.post(f"{served.url}/account", headers=named, timeout=20)


def is_refused(answer: requests.Response) -> bool:
    return answer.status_code == 401 and answer.json()["code"] == "invalid_token"


def proof_cookies(visitor: FormVisitor) -> dict[str, str]:
    return {name: value for name, value in visitor.cookies().items() if name.startswith("otpkit_proof")}


def test_planted_session_redeems_nothing(served: Served, phone: str) -> None:
    victim, attacker = planted(served)
    assert verify(served, victim, phone).url == f"{served.url}/account"
    for _ in range(2):
        assert is_refused(account(served, attacker))
        assert is_refused(account(served, attacker, Idempotency_Key="one"))
        assert attacker.look().url == attacker.url  # The pages do not count the attacker as verified either.
    assert account(served, victim, Idempotency_Key="one").json() == {"phone": phone}


def test_repeat_of_the_victims_form_is_refused_too(served: Served, phone: str) -> None:
    """The attacker uses the victim's key, which makes a repeat safe for the victim, before and after the redemption."""
    victim, attacker = planted(served)
    verify(served, victim, phone)
    assert is_refused(account(served, attacker, Idempotency_Key="one"))
    assert account(served, victim, Idempotency_Key="one").json() == {"phone": phone}
    assert is_refused(account(served, attacker, Idempotency_Key="one"))


@pytest.mark.parametrize("value", ["", "x", "0" * 64, "%FF", "ü".encode().decode("latin-1"), "None"])
def test_invented_proof_cookie_is_refused(served: Served, phone: str, value: str) -> None:
    victim, attacker = planted(served)
    verify(served, victim, phone)
    (name,) = proof_cookies(victim)
    cookies = f"session={attacker.cookies()['session']}; {name}={value}"
    answer = requests.post(f"{served.url}/account", headers={"Cookie": cookies.encode("latin-1")}, timeout=20)
    assert is_refused(answer)
    assert account(served, victim).json() == {"phone": phone}


def test_cookie_of_another_proof_is_refused(served: Served, phone: str) -> None:
    """The attacker verifies numbers of their own, in the same session and in another one."""
    victim, attacker = planted(served)
    verify(served, attacker, f"+86{next(_numbers)}")
    elsewhere = FormVisitor(attacker.url)
    verify(served, elsewhere, f"+86{next(_numbers)}")
    victim.look()
    assert victim.page.url == victim.url  # The attacker's number does not count for the victim.
    verify(served, victim, phone)
    assert is_refused(account(served, attacker))
    attacker.session.cookies.update(proof_cookies(elsewhere))
    assert is_refused(account(served, attacker))
    assert account(served, victim).json() == {"phone": phone}


def test_cookie_set_before_the_verification_is_replaced(served: Served, phone: str) -> None:
    """An attacker who can set this cookie gains nothing."""
    victim, attacker = planted(served)
    elsewhere = FormVisitor(attacker.url)
    verify(served, elsewhere, f"+86{next(_numbers)}")
    for visitor in (victim, attacker):
        for each in elsewhere.session.cookies:
            if each.name.startswith("otpkit"):
                visitor.session.cookies.set_cookie(each)
    verify(served, victim, phone)
    assert is_refused(account(served, attacker))
    assert account(served, victim).json() == {"phone": phone}


def test_form_that_comes_twice_is_answered_twice_alike(served: Served, phone: str) -> None:
    victim, attacker = planted(served)
    victim.post("send", phone=phone)
    form = victim.form("verify", code=served.code(phone))
    twin = victim.twin()
    assert [each.send(form).url for each in (victim, twin)] == [f"{served.url}/account"] * 2
    answers = [account(served, each, Idempotency_Key="one") for each in (victim, twin, victim)]
    assert [answer.json() for answer in answers] == [{"phone": phone}] * 3
    assert is_refused(account(served, attacker, Idempotency_Key="one"))


def test_purposes_have_cookies_of_their_own(served: Served, phone: str) -> None:
    victim, _ = planted(served)
    verify(served, victim, phone)
    other = FormVisitor(f"{served.url}/payment", victim.session)
    verify(served, other, f"+86{next(_numbers)}")
    assert len(proof_cookies(victim)) == 2
    assert account(served, victim).json() == {"phone": phone}


def test_lost_cookie_leads_back_to_the_form(served: Served, phone: str) -> None:
    """There is no redirect loop between the pages and the form after them."""
    visitor = FormVisitor(f"{served.url}/signup")
    verify(served, visitor, phone)
    for name in proof_cookies(visitor):
        visitor.session.cookies.set(name, None)
    assert is_refused(account(served, visitor))
    assert visitor.look().url == visitor.url


def me(served: Served, visitor: FormVisitor) -> str | None:
    name: str | None = visitor.session.get(f"{served.url}/me", timeout=20).json()
    return name


def test_login_page_leaves_the_planted_session(served: Served, phone: str) -> None:
    victim, attacker = planted(served, "/login")
    assert verify(served, victim, phone).json() == {"user": phone}
    assert (me(served, victim), me(served, attacker)) == (phone, None)
    assert proof_cookies(victim) == {}  # No proof is kept.


def test_account_form_leaves_the_planted_session(served: Served, phone: str) -> None:
    """The form logs in the person whose account it has created."""
    victim, attacker = planted(served)
    verify(served, victim, phone)
    assert is_refused(account(served, attacker))
    account(served, victim)
    assert (me(served, victim), me(served, attacker)) == (phone, None)
    assert victim.cookies()["session"] != attacker.cookies()["session"]


def test_login_form_that_comes_twice_logs_in_twice_alike(served: Served, phone: str) -> None:
    victim, attacker = planted(served, "/login")
    victim.post("send", phone=phone)
    form = victim.form("verify", code=served.code(phone))
    twin = victim.twin()
    for each in (victim, twin):
        assert each.send(form).json() == {"user": phone}
        assert me(served, each) == phone
    assert me(served, attacker) is None


@pytest.mark.parametrize("kind", FASTAPI)
def test_json_calls_in_a_planted_session_give_the_attacker_nothing(kind: Kind, phone: str) -> None:
    with serving(kind) as served:
        victim, attacker = planted(served)
        victim.session.post(f"{served.url}/api/signup/challenges", json={"phone": phone}, timeout=20)
        body = {"phone": phone, "code": served.code(phone)}
        answer = victim.session.post(f"{served.url}/api/signup/verifications", json=body, timeout=20)
        assert is_refused(account(served, attacker))
        again = attacker.session.post(f"{served.url}/api/signup/verifications", json=body, timeout=20)
        assert again.json()["code"] == "expired_code"
        assert account(served, victim, Phone_Proof=answer.json()["token"]).json() == {"phone": phone}
        assert (me(served, victim), me(served, attacker)) == (phone, None)


@pytest.mark.parametrize("framework", ["fastapi", "flask"])
def test_cookie_is_for_this_site_and_for_no_script(framework: str, phone: str) -> None:
    with serving_cookie_sessions(framework) as served, requests.Session() as session:  # type: ignore[arg-type]
        visitor = FormVisitor(f"{served.url}/signup", session)
        visitor.look()
        visitor.post("send", phone=phone)
        answer = visitor.send(visitor.form("verify", code=served.code(phone)), follow=False)
        (line,) = [each for each in answer.raw.headers.getlist("Set-Cookie") if each.startswith("otpkit_proof")]
    parts = {each.strip().lower() for each in line.split(";")[1:]}
    assert {"httponly", "path=/", "samesite=lax", "max-age=300"} <= parts
    assert "secure" not in parts  # The connection is not HTTPS.
    assert phone[1:] not in line


def set_cookies(url: str, served: Served, phone: str, **headers: str) -> list[str]:
    """Verify a number, and return the attributes of the proof's cookie."""
    with requests.Session() as session:
        visitor = FormVisitor(url, session)
        visitor.look()
        visitor.post("send", phone=phone)
        answer = visitor.send(visitor.form("verify", code=served.code(phone)), follow=False, **headers)
        found = [each for each in answer.raw.headers.getlist("Set-Cookie") if each.startswith("otpkit_proof")]
    return [part.strip().lower() for part in found[0].split(";")[1:]]


def test_cookie_is_secure_by_https_and_has_the_attributes_that_are_given(phone: str) -> None:
    outbox = Outbox()
    app = FastAPI()
    app.add_middleware(CookieSessions, secret_key=SECRET)
    cookie = {"domain": "127.0.0.1", "samesite": "strict"}
    phones = PhoneVerification(AsyncOTP("memory://", outbox, TEMPLATE, SECRET), cookie=cookie)
    phones.install(app)
    app.include_router(phones.pages(), prefix="/signup")
    with on_uvicorn(app) as url:
        parts = set_cookies(f"{url}/signup", Served(url, outbox), phone, X_Forwarded_Proto="https")
    assert {"secure", "httponly", "domain=127.0.0.1", "samesite=strict"} <= set(parts)


def test_cookie_is_sent_where_flasks_session_is(phone: str) -> None:
    outbox = Outbox()
    with OTP("memory://", outbox, TEMPLATE, SECRET) as otp:
        app = flask_app(otp)
        app.config.update(SESSION_COOKIE_SAMESITE="Strict", APPLICATION_ROOT="/signup")
        with on_werkzeug(app) as url:
            parts = set_cookies(f"{url}/signup", Served(url, outbox), phone)
    assert {"httponly", "path=/signup", "samesite=strict"} <= set(parts)
