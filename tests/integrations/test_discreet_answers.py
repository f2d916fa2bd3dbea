"""The pages for a stranger: with `discreet` they are the same for any number, after any earlier sends and guesses.

The stranger's session has no live code for the number. Others make the number's history on the same store.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

import flask
import pytest
import requests
from django.test import override_settings
from django.urls import path
from django_site import Browser, hidden, site, urlpatterns
from fastapi import FastAPI
from served_apps import SECRET, TEMPLATE, on_uvicorn, on_werkzeug
from starlette.middleware.sessions import SessionMiddleware
from support.form_visitor import FormVisitor

from otpkit import (
    OTP,
    AsyncOTP,
    BlockedError,
    Challenge,
    ConfigurationError,
    ExpiredCodeError,
    GatewayRejectedError,
    Guard,
    MalformedCodeError,
    OTPError,
    PhoneError,
    Policy,
    RateLimitError,
    RegionError,
    StoreUnavailableError,
    WrongCodeError,
)
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.integrations.django.views import LoginView, SignupView
from otpkit.testing import Outbox, PassingCaptcha
from otpkit.web import CodeRefusedError, presumed_challenge, tells_of_number

POLICY = Policy(failures="4/day", max_consecutive_failures=5)
_numbers = count(13500000000)

Transcript: TypeAlias = list[Any]


def other_than(code: str) -> str:
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


@dataclass
class Store:
    """A store that a site shares with another OTP, which makes the histories of numbers."""

    url: str
    namespace: str
    outbox: Outbox
    others: OTP
    more: dict[str, Any] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        return {"namespace": self.namespace, "policy": POLICY, **self.more}

    def guess(self, phone: str, times: int) -> None:
        self.others.issue(phone)
        for _ in range(times):
            with pytest.raises(WrongCodeError):
                self.others.verify(phone, other_than(self.outbox[-1].code))


@pytest.fixture
def store(valkey_url: str, namespace: str) -> Iterator[Store]:
    outbox = Outbox()
    with OTP(valkey_url, outbox, TEMPLATE, SECRET, namespace=namespace) as others:
        yield Store(valkey_url, namespace, outbox, others)


def verified(store: Store, phone: str) -> None:
    store.others.issue(phone)
    store.others.verify(phone, store.outbox[-1].code)


def rejected(category: Any) -> Callable[[Store, str], None]:
    def arrange(store: Store, phone: str) -> None:
        store.outbox.reject_next(GatewayRejectedError("No.", gateway="outbox", category=category))

    return arrange


HISTORIES: dict[str, Callable[[Store, str], Any]] = {
    "nothing": lambda store, phone: None,
    "sent": lambda store, phone: store.others.issue(phone),
    "sent for another purpose": lambda store, phone: store.others.issue(phone, "payment", bind="x"),
    "uncertain": lambda store, phone: store.outbox.lose_next() or store.others.issue(phone),
    "verified": verified,
    "guessed": lambda store, phone: store.guess(phone, 4),
    "blocked": lambda store, phone: store.guess(phone, 5),
    "rejected": rejected("number"),
    "limited by the carrier": rejected("rate_limit"),
}


def plain(text: str, phone: str) -> str:
    """Return a page without the parts that differ between any two visits."""
    text = re.sub(r'(name="(?:key|csrf|csrfmiddlewaretoken)" value=|nonce=)"[^"]*"', r"\1", text)
    return re.sub(r"\d+", "#", text.replace(phone, "phone"))


def told(answer: Any, body: str, phone: str) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if name in {"Location", "Retry-After"}}
    return answer.status_code, headers, plain(body, phone)


def on_pages(url: str, phone: str, code: Callable[[], str]) -> Transcript:
    """Make all steps of a stranger on the pages, and return all answers."""
    with requests.Session() as session:
        visitor = FormVisitor(url, session)
        visitor.look()
        seen: Transcript = []
        for action, typed in STEPS:
            fields = {name: value(phone, code) for name, value in typed.items()}
            answer = visitor.send(visitor.form(action, **fields), follow=False)
            seen.append(told(answer, answer.text, phone))
            visitor.page = answer if answer.status_code != 303 else visitor.look()
            seen.append(plain(visitor.page.text, phone))
    return seen


STEPS: list[tuple[str, dict[str, Callable[[str, Callable[[], str]], str]]]] = [
    ("send", {"phone": lambda phone, code: phone}),
    ("verify", {"code": lambda phone, code: other_than(code())}),
    ("verify", {"code": lambda phone, code: "12"}),
    ("send", {}),
    ("restart", {}),
    ("send", {"phone": lambda phone, code: phone}),
    *[("verify", {"code": lambda phone, code: other_than(code())})] * 6,
    ("restart", {}),
    # With a guard: a captcha is asked for, its answer is right, and the same answer is used.
    ("send", {"phone": lambda phone, code: phone}),
    ("send", {"phone": lambda phone, code: phone, "captcha": lambda phone, code: f"solved for {phone}"}),
    ("restart", {}),
    ("send", {"phone": lambda phone, code: phone, "captcha": lambda phone, code: f"solved for {phone}"}),
]


def on_django(url: str, phone: str, code: Callable[[], str]) -> Transcript:
    browser = Browser()
    page = browser.get(url)
    seen: Transcript = []
    for action, typed in STEPS:
        form = hidden(page) | {"action": action} | {name: value(phone, code) for name, value in typed.items()}
        answer = browser.post(url, form)
        seen.append(told(answer, answer.content.decode(), phone))
        page = browser.get(url) if answer.status_code == 303 else answer
        seen.append(plain(page.content.decode(), phone))
    return seen


def on_json(url: str, phone: str, code: Callable[[], str]) -> Transcript:
    with requests.Session() as session:
        steps: list[tuple[str, dict[str, str]]] = [("challenges", {"phone": phone})]
        steps += [("verifications", {"phone": phone, "code": other_than(code())})] * 7
        steps += [("challenges", {"phone": phone}), ("challenges/status", {"phone": phone})]
        steps += [("challenges", {"phone": phone, "captcha": f"solved for {phone}"})] * 2
        return [
            told(answer, answer.text, phone)
            for answer in (session.post(f"{url}/{path}", json=body, timeout=20) for path, body in steps)
        ]


@contextmanager
def fastapi_site(store: Store, *, discreet: bool) -> Iterator[str]:
    otp = AsyncOTP(store.url, store.outbox, TEMPLATE, SECRET, **store.options())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with otp:
            yield

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    phones = in_fastapi.PhoneVerification(otp)
    phones.install(app)
    app.include_router(phones.pages("signup", discreet=discreet), prefix="/signup")
    app.include_router(phones.pages("login", discreet=discreet, on_verified=lambda r, p: None), prefix="/login")  # type: ignore[arg-type,return-value]
    app.include_router(phones.router("login", discreet=discreet), prefix="/api")
    with on_uvicorn(app) as url:
        yield url


@contextmanager
def flask_site(store: Store, *, discreet: bool) -> Iterator[str]:
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    with OTP(store.url, store.outbox, TEMPLATE, SECRET, **store.options()) as otp:
        phones = in_flask.PhoneVerification(app, otp)
        app.register_blueprint(phones.blueprint("signup", discreet=discreet))
        app.register_blueprint(phones.blueprint("login", discreet=discreet, on_verified=lambda proof: "in"))
        with on_werkzeug(app) as url:
            yield url


@contextmanager
def django_site(store: Store, *, discreet: bool) -> Iterator[str]:
    views = [
        path("discreet-signup/", SignupView.as_view(success_url="account", discreet=discreet)),
        path("discreet-login/", LoginView.as_view(discreet=discreet)),
    ]
    more = {"REDIS": store.url, "NAMESPACE": store.namespace, "GATEWAY": store.outbox, "SECRET": SECRET, "CLOCK": None}
    more |= {name.upper(): value for name, value in store.more.items()}
    with site(POLICY=POLICY, **more), override_settings(ROOT_URLCONF=(*views, *urlpatterns)):
        yield ""


Stranger: TypeAlias = Callable[[str, str, Callable[[], str]], Transcript]
SITES: dict[str, tuple[Any, Stranger, list[str]]] = {
    "fastapi": (fastapi_site, on_pages, ["/signup", "/login"]),
    "json": (fastapi_site, on_json, ["/api"]),
    "flask": (flask_site, on_pages, ["/signup", "/login"]),
    "django": (django_site, on_django, ["/discreet-signup/", "/discreet-login/"]),
}


def transcripts(store: Store, name: str, *, discreet: bool) -> dict[str, list[Transcript]]:
    """Return the answers for numbers with each history, on each page of a site."""
    serve, visit, urls = SITES[name]

    def code() -> str:
        return store.outbox[-1].code if store.outbox else "000000"

    with ExitStack() as stack:
        base = stack.enter_context(serve(store, discreet=discreet))
        found: dict[str, list[Transcript]] = {}
        for history, arrange in HISTORIES.items():
            for url in urls:
                phone = f"+86{next(_numbers)}"
                arrange(store, phone)
                found.setdefault(history, []).append(visit(base + url, phone, code))
    return found


@pytest.mark.parametrize("name", SITES)
def test_strangers_are_told_the_same_whatever_was_before(store: Store, name: str) -> None:
    found = transcripts(store, name, discreet=True)
    for history, answers in found.items():
        assert answers == found["nothing"], history


@pytest.mark.parametrize("name", SITES)
def test_guard_asks_the_same_of_strangers_whatever_was_before(store: Store, name: str) -> None:
    """For a captcha too, and an answer is used up for a number that gets no code."""
    store.more["guard"] = Guard("enforce", PassingCaptcha(), ask="always")
    found = transcripts(store, name, discreet=True)
    statuses = {answer[0] for answer in found["nothing"][0] if isinstance(answer, tuple)}
    assert 403 in statuses
    assert statuses & {202, 303}
    for history, answers in found.items():
        assert answers == found["nothing"], history


@pytest.mark.parametrize("name", SITES)
def test_without_it_the_limits_are_told(store: Store, name: str) -> None:
    """The people who used them up see the limits, and so do strangers."""
    found = transcripts(store, name, discreet=False)
    assert all(found[history] != found["nothing"] for history in ("sent", "guessed", "blocked", "rejected"))


@pytest.mark.parametrize("name", ["fastapi", "flask"])
def test_the_person_at_the_form_verifies_as_ever(store: Store, name: str) -> None:
    """The person can verify after a wrong code, and after a resend that came too soon."""
    phone = f"+86{next(_numbers)}"
    with SITES[name][0](store, discreet=True) as url, requests.Session() as session:
        visitor = FormVisitor(f"{url}/signup", session)
        visitor.look()
        visitor.post("send", phone=phone)
        assert "If it doesn't arrive, send it again." in visitor.page.text.replace("&#39;", "'")
        visitor.post("send")
        refused = visitor.post("verify", code=other_than(store.outbox[-1].code))
        assert refused.status_code == 422
        assert CodeRefusedError().message() in refused.text
        assert "attempt" not in refused.text.lower()
        form = visitor.form("verify", code=store.outbox[-1].code)
        assert visitor.send(form, follow=False).headers["Location"] == "/"
        assert [message.phone for message in store.outbox] == [phone]


def test_what_the_visitor_has_done_is_told_all_the_same(store: Store) -> None:
    """The pages report an invalid number, an invalid code, and the limit of the address."""
    policy = Policy(ip_sends="1/hour")
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    with OTP(store.url, store.outbox, TEMPLATE, SECRET, namespace=store.namespace, policy=policy) as otp:
        phones = in_flask.PhoneVerification(app, otp, forwarded_hops=1)
        app.register_blueprint(phones.blueprint("signup", discreet=True))
        with on_werkzeug(app) as url, requests.Session() as session:
            session.headers["X-Forwarded-For"] = "203.0.113.9"
            visitor = FormVisitor(f"{url}/signup", session)
            visitor.look()
            assert visitor.post("send", phone="12").status_code == 422
            assert visitor.post("send", phone=f"+86{next(_numbers)}").status_code == 200
            assert visitor.post("verify", code="12").status_code == 422
            visitor.post("restart")
            limited = visitor.post("send", phone=f"+86{next(_numbers)}")
    assert (limited.status_code, "Retry-After" in limited.headers) == (429, True)


# Without a framework


@pytest.mark.parametrize(
    ("error", "tells"),
    [
        (RateLimitError(scope="phone"), True),
        (RateLimitError(scope="failures"), True),
        (RateLimitError(scope="gateway"), True),
        (RateLimitError(scope="ip"), False),
        (RateLimitError(scope="region"), False),
        (RateLimitError(scope="total"), False),
        (BlockedError(), True),
        (GatewayRejectedError(category="number"), True),
        (WrongCodeError(), True),
        (ExpiredCodeError(), True),
        (MalformedCodeError(), False),
        (PhoneError(), False),
        (RegionError(), False),
        (StoreUnavailableError(), False),
        (ConfigurationError(), False),
    ],
    ids=lambda value: getattr(value, "scope", type(value).__name__),
)
def test_an_error_that_tells_of_the_number_is_known(error: OTPError, tells: bool) -> None:
    assert tells_of_number(error) is tells


@pytest.mark.parametrize("sends", ["1/minute, 5/hour, 10/day", "32/day", "1/hour", "1/day"])
def test_presumed_challenge_is_that_of_a_first_message(store: Store, sends: str) -> None:
    """It differs only in the delivery state, which is unknown."""
    policy = Policy(sends=sends)
    phone = f"+86{next(_numbers)}"
    with OTP(store.url, store.outbox, TEMPLATE, SECRET, namespace=store.namespace, policy=policy) as otp:
        real = otp.issue(phone)
    presumed = presumed_challenge(phone, "signup", policy)
    named = ("phone", "purpose", "expires_in", "resend_in", "attempts_left", "sends_left")
    assert {name: getattr(presumed, name) for name in named} == {name: getattr(real, name) for name in named}
    assert (presumed.delivery, presumed.id, presumed.gateway) == ("uncertain", "", "")
    assert abs((presumed.expires_at - real.expires_at).total_seconds()) < 5
    assert abs((presumed.resend_at - real.resend_at).total_seconds()) < 5
    assert isinstance(presumed, Challenge)


def test_presumed_challenge_grows_old() -> None:
    ages = [presumed_challenge("+8613800138000", "signup", Policy(), age=age) for age in (0, 59, 60, 299, 300, 10**6)]
    assert [each.expires_in for each in ages] == [300, 241, 240, 1, 0, 0]
    assert [each.resend_in for each in ages] == [60, 1, 0, 0, 0, 0]
