"""Notices that a page shows once: a code was sent again, or the form belongs to another tab's number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.secrets import SECRET
from test_forms import ASKED, PHONE, Page, new_page

from otpkit import OTP, GatewayRejectedError, Policy, Template
from otpkit.testing import MovableClock, Outbox
from otpkit.web import Asked, PhoneForms


@pytest.fixture
def page() -> Iterator[Page]:
    page = new_page()
    yield page
    page.otp.close()


def test_a_code_that_is_sent_again_is_said_to_be_the_same_once(page: Page) -> None:
    page.post("send", phone=PHONE)
    assert page.view.notice == ""
    page.clock.advance(60)
    page.post("send")
    assert (page.view.notice, page.outbox[0].code) == ("again", page.outbox[1].code)
    page.show()
    assert page.view.notice == ""


def test_a_form_that_comes_twice_is_no_resend(page: Page) -> None:
    form = page.fill("send", phone=PHONE)
    for _ in range(2):  # The session is on the server, so the second form meets the state after the first.
        page.send(form)
        page.show()
        assert page.view.notice == ""
    page.clock.advance(60)
    form = page.fill("send")
    before = dict(page.state)
    for _ in range(2):  # Or the session is a cookie, so the second form comes with the state before the first.
        page.state = dict(before)
        page.send(form)
        page.show()
        assert page.view.notice == "again"


def test_a_new_code_is_not_said_to_be_the_same(page: Page) -> None:
    page.post("send", phone=PHONE)
    page.clock.advance(301)
    page.show()
    page.post("send")
    assert (page.view.notice, len(page.outbox)) == ("", 2)


def test_another_number_gets_another_code(page: Page) -> None:
    page.post("send", phone=PHONE)
    page.post("restart")
    page.post("send", phone="13900139000")
    assert page.view.notice == ""


def test_an_uncertain_resend_has_a_notice_of_its_own(page: Page) -> None:
    page.post("send", phone=PHONE)
    page.clock.advance(60)
    page.show()
    page.outbox.lose_next()
    page.post("send")
    assert page.view.notice == "again_unsure"


def test_what_was_refused_was_not_sent_again(page: Page) -> None:
    page.post("send", phone=PHONE)
    page.post("send")  # This is too soon.
    assert (page.view.notice, page.view.error) == ("", "rate_limit")
    page.clock.advance(60)
    page.show()
    page.outbox.reject_next(GatewayRejectedError("Out of order.", category="account"))
    page.post("send")
    assert (page.view.notice, page.view.error) == ("", "gateway_rejected")


def test_strangers_are_told_the_same_whether_it_was_sent_or_not() -> None:
    notices = []
    for is_limited in (False, True):
        outbox, clock = Outbox(), MovableClock()
        with OTP("memory://", outbox, Template("SMS_1", "otpkit"), SECRET, clock=clock) as otp:
            page = Page(otp, outbox, clock)
            page.forms = PhoneForms("signup", otp.policy, page.render, discreet=True)
            page.show()
            page.post("send", phone=PHONE)
            clock.advance(60)
            if is_limited:
                otp.issue(PHONE, "login")
            page.show()
            page.post("send")
            notices.append(page.view.notice)
            assert len(outbox) == 2
    assert notices == ["again_unsure"] * 2


def test_of_two_tabs_the_one_left_behind_says_so(page: Page) -> None:
    page.post("send", phone=PHONE)
    first = page.fill("verify", code="123456")
    page.post("restart")
    assert page.send(first).headers["Location"] == ASKED.url
    page.show()
    assert (page.view.step, page.view.problem) == ("phone", "switched")
    page.post("send", phone="13900139000")
    assert page.view.problem == ""
    page.send(first)
    page.show()
    assert (page.view.step, page.view.problem) == ("code", "switched")
    page.show()
    assert page.view.problem == ""


def test_when_a_new_code_can_be_had_is_known_without_asking() -> None:
    page = new_page(Policy(attempts=1))
    with page.otp:
        page.post("send", phone=PHONE)
        page.clock.advance(20)
        page.send(page.fill("verify", code=f"{(int(page.outbox[-1].code) + 1) % 1_000_000:06}"))
        assert (page.view.error, page.view.challenge, page.view.retry_in) == ("wrong_code", None, 40)
        page.clock.advance(30)
        page.show()
        assert page.view.retry_in == 10


def test_a_path_that_was_wanted_stays_in_the_address(page: Page) -> None:
    asked = Asked(url="/signup", next="/cart?a=1&b=2")
    page.show(asked)
    assert page.view.next == "/cart?a=1&b=2"
    assert (
        page.send(page.fill("send", phone=PHONE), asked).headers["Location"] == "/signup?next=%2Fcart%3Fa%3D1%26b%3D2"
    )
    for elsewhere in ("//evil.example", "https:evil.example", "/\\evil.example"):
        page.show(Asked(url="/signup", next=elsewhere))
        assert page.view.next == ""
