"""A send that needs a captcha, on the pages of each framework and by JSON: the captcha, its answer, and `known`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import requests
from django.test import override_settings
from django.urls import path
from django_site import Browser, hidden, site
from served_apps import Framework, Served, serving
from support.form_visitor import FormVisitor

from otpkit import Guard, Policy, RiskContext
from otpkit.captcha import HCaptcha, Turnstile
from otpkit.integrations.django.views import SignupView
from otpkit.testing import PassingCaptcha

FRAMEWORKS: list[Framework] = ["fastapi", "flask"]
OURS = "+8613912340000"  # the number of the account that is logged in
_numbers = count(13600000000)
seen: list[RiskContext] = []


def judge(context: RiskContext) -> str:
    """Ask for a captcha for every number but the account's own."""
    seen.append(context)
    return "allow" if context.known else "captcha"


def is_known(request: Any, phone: str) -> bool:
    return phone == OURS and request.headers.get("User-Agent") == "ours"


async def is_known_async(request: Any, phone: str) -> bool:
    return is_known(request, phone)


GUARD = Guard("enforce", PassingCaptcha(), risk=judge)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    known = is_known_async if request.param == "fastapi" else is_known
    with serving(request.param, guard=GUARD, known=known, policy=Policy(sends="32/day")) as served:
        yield served


@pytest.fixture
def phone() -> str:
    return f"+86{next(_numbers)}"


@pytest.fixture
def visitor(served: Served) -> Iterator[FormVisitor]:
    visitor = FormVisitor(f"{served.url}/signup")
    with visitor.session:
        visitor.look()
        yield visitor


def test_page_asks_and_takes_the_answer(served: Served, visitor: FormVisitor, phone: str) -> None:
    sent = len(served.outbox)
    asked = visitor.post("send", phone=phone)
    assert asked.status_code == 403
    assert f'value="{phone}"' in asked.text
    assert 'name="captcha"' in asked.text
    assert len(served.outbox) == sent
    assert visitor.post("send", phone=phone, captcha="an answer").status_code == 200
    assert visitor.post("verify", code=served.code(phone)).url == f"{served.url}/account"


@pytest.mark.parametrize(
    "answer",
    [
        {"cf-turnstile-response": "a"},
        {"h-captcha-response": "a"},
        {"g-recaptcha-response": "a"},
        {"altcha": "a"},
        {"captchaVerifyParam": "a"},
        {"ticket": "a", "randstr": "b"},
        {"lot_number": "a", "captcha_output": "b", "pass_token": "c", "gen_time": "1"},
    ],
    ids=lambda answer: next(iter(answer)),
)
def test_fields_of_providers_are_read(served: Served, visitor: FormVisitor, phone: str, answer: dict[str, str]) -> None:
    suffix = phone  # Each answer is used once.
    named = {name: f"{value}{suffix}" for name, value in answer.items()}
    assert visitor.send(visitor.form("send", phone=phone) | {"captcha": ""} | named).status_code == 200
    assert served.code(phone)


def test_refused_page_is_clear(phone: str) -> None:
    with serving("flask", guard=Guard("enforce", risk=lambda _: "refuse")) as served:
        visitor = FormVisitor(f"{served.url}/signup")
        visitor.look()
        refused = visitor.post("send", phone=phone)
    assert refused.status_code == 403
    assert re.search(r'role="alert">This request can&#39;t be served. Please contact support.<', refused.text)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_policy_is_wider_only_where_the_captcha_is(framework: Framework, phone: str) -> None:
    origin = "https://challenges.cloudflare.com"
    captcha = Turnstile("1x00000000000000000000AA", "secret-of-the-tests")
    with serving(framework, guard=Guard("enforce", captcha, risk=judge)) as served:
        visitor = FormVisitor(f"{served.url}/signup")
        assert origin not in visitor.look().headers["Content-Security-Policy"]
        asked = visitor.post("send", phone=phone)
        policy = dict(each.split(" ", 1) for each in asked.headers["Content-Security-Policy"].split("; "))
        assert re.fullmatch(f"'nonce-[^']+' {origin}", policy["script-src"])
        assert policy["frame-src"] == origin
        assert asked.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
        assert "connect-src" not in policy
        assert origin in visitor.look().text, "It is still asked for when the page is reloaded."
        assert origin not in visitor.post("restart").text


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_policy_has_only_the_captcha_of_the_purpose(framework: Framework, phone: str) -> None:
    """Another purpose's provider is not let in."""
    captchas = {"signup": Turnstile("site-key", "secret-of-the-tests"), "login": HCaptcha("site-key", "secret-of-it")}
    origins = {"signup": "https://challenges.cloudflare.com", "login": "https://hcaptcha.com"}
    with serving(framework, guard=Guard("enforce", captchas, risk=judge)) as served:
        for purpose, origin in origins.items():
            visitor = FormVisitor(f"{served.url}/{purpose}")
            visitor.look()
            asked = visitor.post("send", phone=phone)
            assert asked.status_code == 403
            policy = asked.headers["Content-Security-Policy"]
            assert [each for each in origins.values() if each in policy] == [origin]


def test_known_number_is_the_requests_own(served: Served, visitor: FormVisitor, phone: str) -> None:
    visitor.session.headers["User-Agent"] = "ours"
    seen.clear()
    assert visitor.post("send", phone=OURS, known="true").status_code == 200
    assert seen[-1].known
    stranger = FormVisitor(visitor.url)
    stranger.look()
    assert stranger.post("send", phone=OURS, known="true").status_code == 403
    assert not seen[-1].known


def test_json_router_carries_captchas(phone: str) -> None:
    with serving("fastapi", guard=GUARD, known=is_known) as served, requests.Session() as session:

        def post(body: dict[str, Any], **headers: str) -> requests.Response:
            return session.post(f"{served.url}/api/signup/challenges", json=body, headers=headers, timeout=20)

        asked = post({"phone": phone})
        assert asked.status_code == 403
        found = asked.json()
        assert (found["code"], found["provider"]) == ("captcha_required", "passing")
        assert "risk" not in asked.text, "Why is not for visitors."
        assert found["parameters"] == {"provider": "passing", "field": "captcha"}
        assert post({"phone": phone, "captcha": "an answer"}).status_code == 202
        assert post({"phone": phone, "known": True}).status_code == 422, "The visitor may not say so."
        assert post({"phone": OURS}, **{"User-Agent": "ours"}).status_code == 202


class KnowingView(SignupView):
    def known(self, phone: str) -> bool:
        return is_known(self.request, phone)


urlpatterns = [path("signup/", KnowingView.as_view(success_url="/"))]


def test_django_asks_and_knows(phone: str) -> None:
    with site(GUARD=GUARD) as shop, override_settings(ROOT_URLCONF=__name__):
        browser = Browser()
        fields = hidden(browser.get("/signup/"))
        asked = browser.post("/signup/", fields | {"phone": phone})
        assert asked.status_code == 403
        assert 'name="captcha"' in asked.content.decode()
        assert browser.post("/signup/", hidden(asked) | {"phone": phone, "captcha": "an answer"}).status_code == 303
        assert len(shop.outbox) == 1
        ours = Browser(headers={"User-Agent": "ours"})
        assert ours.fill("/signup/", phone=OURS).status_code == 303
        assert len(shop.outbox) == 2
