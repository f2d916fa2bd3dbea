"""The captcha of the two forms without a web framework: in which form it is, and what is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.secrets import SECRET
from test_forms import ASKED, PHONE, Page

from otpkit import OTP, Guard, Policy, RiskContext, Template
from otpkit.gateways import Failover
from otpkit.testing import FailingCaptcha, MovableClock, Outbox, PassingCaptcha, SilentCaptcha
from otpkit.web import Asked
from otpkit.web.captchas import answer_in


class Calls(Outbox):
    name = "calls"
    channels = frozenset({"voice"})


def page_with(guard: Guard, *, discreet: bool = False, calls: Outbox | None = None) -> Page:
    """Return a page whose OTP has a guard."""
    outbox, clock = Outbox(), MovableClock()
    gateway: Any = outbox if calls is None else Failover([outbox, calls])
    otp = OTP(
        "memory://",
        gateway,
        Template("SMS_1", "otpkit"),
        SECRET,
        policy=Policy(sends="9/day"),
        clock=clock,
        guard=guard,
    )
    page = Page(otp, outbox, clock)
    page.forms._discreet = discreet
    page.show()
    return page


def asking(**options: Any) -> Guard:
    return Guard("enforce", **{"captcha": PassingCaptcha(), "risk": lambda _: "captcha", **options})


def test_captcha_stays_until_it_is_solved() -> None:
    """Also when the page is loaded again; another error keeps the answer, and a send forgets it."""
    page = page_with(asking())
    assert page.view.captcha is None
    assert page.post("send", phone=PHONE).status == 403
    captcha = page.view.captcha
    assert captcha is not None
    assert (captcha.provider, captcha.action, captcha.answer) == ("passing", "send", "")
    assert (page.view.error, page.view.typed) == ("captcha_required", PHONE)
    page.show()
    assert page.view.captcha == captcha
    page.post("send", phone="12", captcha="an answer")
    assert page.view.error == "phone"
    assert page.view.captcha is not None
    assert page.view.captcha.answer == "an answer"
    page.post("send", phone=PHONE, captcha="an answer")
    assert (page.view.step, page.view.captcha) == ("code", None)
    assert len(page.outbox) == 1


def test_captcha_is_in_the_form_that_was_sent() -> None:
    calls = Calls()
    page = page_with(asking(), calls=calls)
    page.post("send", phone=PHONE, captcha="an answer")
    page.post("call")
    assert page.view.captcha is not None
    assert (page.view.step, page.view.captcha.action) == ("code", "call")
    page.show()
    assert page.view.captcha is not None
    assert page.view.captcha.action == "call"
    page.post("call", captcha="another answer")
    assert len(calls) == 1
    page.post("send")
    assert page.view.captcha is not None
    assert page.view.captcha.action == "send"
    page.post("restart")
    assert page.view.captcha is None


def test_captcha_is_shown_at_once_where_it_is_always_asked() -> None:
    """Not beside a live code, which may be all that the visitor needs."""
    page = page_with(asking(ask="always", risk=None))
    assert page.view.captcha is not None
    page.post("send", phone=PHONE, captcha="an answer")
    assert page.view.captcha is None
    page.clock.advance(301)
    page.show()
    assert page.view.captcha is not None


def test_observer_shows_none() -> None:
    page = page_with(Guard("observe", PassingCaptcha(), ask="always"))
    assert page.view.captcha is None
    page.post("send", phone=PHONE)
    assert len(page.outbox) == 1


def test_rejected_answer_is_told_each_time() -> None:
    page = page_with(asking(captcha=FailingCaptcha()))
    for _ in range(3):
        page.post("send", phone=PHONE, captcha="an answer")
        assert page.view.error == "captcha_rejected"
        assert page.view.problem == "That check was not passed or is too old. Please try it again."
        assert page.view.captcha is not None
        assert page.view.captcha.answer == ""


def test_silent_provider_is_told() -> None:
    page = page_with(asking(captcha=SilentCaptcha(), fallback="refuse"))
    answer = page.post("send", phone=PHONE, captcha="an answer")
    assert answer.status == 503
    assert page.view.error == "captcha_unavailable"
    assert page.view.typed == PHONE


def test_fallback_is_shown_after_a_silent_provider() -> None:
    page = page_with(asking(captcha=SilentCaptcha(), fallback=FailingCaptcha()))
    page.post("send", phone=PHONE, captcha="an answer")
    page.show()
    assert page.view.captcha is not None
    assert page.view.captcha.provider == "failing"


def test_discreet_page_shows_captchas() -> None:
    page = page_with(asking(), discreet=True)
    assert page.post("send", phone=PHONE).status == 403
    assert page.view.captcha is not None
    page.post("send", phone=PHONE, captcha="an answer")
    assert page.view.step == "code"


def test_known_is_asked_about_the_number() -> None:
    seen: list[RiskContext] = []

    def judge(context: RiskContext) -> str:
        seen.append(context)
        return "allow"

    page = page_with(Guard("enforce", risk=judge))
    asked: list[str] = []
    known = Asked(url=ASKED.url, ip=ASKED.ip, known=lambda phone: bool(asked.append(phone)) or True)
    page.send(page.fill("send", phone="138 0013 8000", known="false"), known)
    assert asked == [PHONE]
    assert [each.known for each in seen] == [True]


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        ({}, None),
        ({"captcha": ""}, None),
        ({"captcha": "a", "altcha": "b"}, "a"),
        ({"captcha": "", "cf-turnstile-response": "a"}, "a"),
        ({"ticket": "a"}, None),
        ({"ticket": "a", "randstr": "b"}, {"ticket": "a", "randstr": "b"}),
    ],
)
def test_answer_is_found_in_a_form(form: dict[str, str], answer: object) -> None:
    found = answer_in(form)
    assert (json.loads(found) if isinstance(answer, dict) and found else found) == answer
