"""The form that requests a call with the same code, on pages of a site whose gateway can call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.secrets import SECRET
from test_forms import PHONE, Page

from otpkit import OTP, AsyncOTP, GatewayRejectedError, Policy, Template
from otpkit.gateways import Failover
from otpkit.testing import MovableClock, Outbox
from otpkit.web import PhoneForms, View, drive, drive_async, pages
from otpkit.web.forms import Asked


class Calls(Outbox):
    """A gateway that only makes calls."""

    name = "calls"
    channels = frozenset({"voice"})


class Both(Outbox):
    """A gateway that sends messages and makes calls."""

    name = "both"
    channels = frozenset({"sms", "voice"})


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def page(calls: Calls) -> Iterator[Page]:
    """Yield a page at the form for the code, of a site with a gateway for messages and one for calls."""
    yield from page_of(Failover([outbox := Outbox(), calls]), outbox)


def page_of(gateway: object, outbox: Outbox, policy: Policy | None = None) -> Iterator[Page]:
    clock = MovableClock()
    template = Template("SMS_1", "otpkit")
    with OTP("memory://", gateway, template, SECRET, policy=policy or Policy(), clock=clock) as otp:  # type: ignore[arg-type]
        page = Page(otp, outbox, clock)
        page.show()
        yield page


def test_call_carries_the_same_code(page: Page, calls: Calls) -> None:
    page.post("send", phone=PHONE)
    assert (page.view.can_call, len(calls)) == (True, 0)
    page.clock.advance(60)
    page.show()
    page.post("call")
    assert (page.view.notice, page.view.problem) == ("called", "")
    assert (calls[-1].code, calls[-1].channel, calls[-1].phone) == (page.outbox[-1].code, "voice", PHONE)
    assert page.post("verify", code=calls[-1].code).proof is not None


def test_uncertain_call_says_so(page: Page, calls: Calls) -> None:
    page.post("send", phone=PHONE)
    page.clock.advance(60)
    page.show()
    calls.lose_next()
    page.post("call")
    assert page.view.notice == "called_unsure"


def test_call_keeps_the_limits_of_a_resend(page: Page, calls: Calls) -> None:
    page.post("send", phone=PHONE)
    page.post("call")  # This is too soon.
    assert (page.view.error, page.view.notice, len(calls)) == ("rate_limit", "", 0)
    assert page.view.retry_in > 0


def test_call_that_is_rejected_names_the_problem(page: Page, calls: Calls) -> None:
    page.post("send", phone=PHONE)
    page.clock.advance(60)
    page.show()
    calls.reject_next(GatewayRejectedError("Out of order.", category="account"))
    page.post("call")
    assert (page.view.error, page.view.notice) == ("gateway_rejected", "")


def test_call_form_sent_twice_calls_once(page: Page, calls: Calls) -> None:
    page.post("send", phone=PHONE)
    page.clock.advance(60)
    page.show()
    form = page.fill("call")
    for _ in range(2):
        page.send(form)
    assert len(calls) == 1


def test_call_after_a_resend_of_the_same_page(page: Page, calls: Calls) -> None:
    """Both forms have one key. A visitor who goes back and requests a call gets one."""
    page.post("send", phone=PHONE)
    page.clock.advance(60)
    page.show()
    resend, call = page.fill("send"), page.fill("call")
    page.send(resend)
    page.clock.advance(60)
    page.send(call)
    assert (len(page.outbox), len(calls)) == (2, 1)


@pytest.mark.parametrize("gateway", [Outbox, Calls])
def test_no_call_is_offered_without_a_second_way(gateway: type[Outbox]) -> None:
    """A forged form uses the only channel, and causes no configuration error."""
    outbox = gateway()
    for page in page_of(outbox, outbox):
        page.post("send", phone=PHONE)
        assert not page.view.can_call
        page.clock.advance(60)
        page.show()
        assert page.post("call").status == 303
        assert (page.view.notice, len(outbox)) == ("again", 2)


def test_one_gateway_may_do_both() -> None:
    outbox = Both()
    for page in page_of(outbox, outbox):
        page.post("send", phone=PHONE)
        page.clock.advance(60)
        page.show()
        page.post("call")
        assert [each.channel for each in outbox] == ["sms", "voice"]


def test_call_is_offered_by_region() -> None:
    sms, calls = Outbox(), Calls()
    gateway = {"CN": Failover([sms, calls]), "*": sms}
    for page in page_of(gateway, sms, Policy(regions={"CN", "GB"})):
        page.post("send", phone="+44 7400 123456", region="GB")
        assert (page.view.step, page.view.can_call) == ("code", False)
        page.post("restart")
        assert not page.view.can_call
        page.post("send", phone=PHONE, region="CN")
        assert page.view.can_call


def test_strangers_get_the_same_notice_of_a_call(calls: Calls) -> None:
    notices = []
    for is_limited in (False, True):
        outbox = Outbox()
        for page in page_of(Failover([outbox, calls]), outbox):
            page.forms = PhoneForms("signup", page.otp.policy, page.render, discreet=True)
            page.show()
            page.post("send", phone=PHONE)
            page.clock.advance(60)
            if is_limited:
                page.otp.issue(PHONE, "login")
            page.show()
            page.post("call")
            notices.append(page.view.notice)
    assert notices == ["called_unsure"] * 2


async def test_async_otp_calls_too(calls: Calls) -> None:
    outbox, clock, views, state = Outbox(), MovableClock(), list[View](), dict[str, str]()
    template, asked = Template("SMS_1", "otpkit"), Asked(url="/signup")

    def render(view: View) -> str:
        views.append(view)
        return pages.render(view)

    async with AsyncOTP("memory://", Failover([outbox, calls]), template, SECRET, clock=clock) as otp:
        forms = PhoneForms("signup", otp.policy, render)
        await drive_async(forms.show(state, asked), otp)
        for action in ("send", "call"):
            form = {**views[-1].hidden, "action": action, "phone": PHONE}
            await drive_async(forms.submit(state, form, asked), otp)
            clock.advance(60)
            answer = await drive_async(forms.show(state, asked), otp)
        assert (len(outbox), len(calls), views[-1].notice) == (1, 1, "called")
        assert "Call me instead" in answer.body


@pytest.mark.parametrize(("language", "text"), [("en", "Call me instead"), ("zh", "改用语音电话")])
def test_form_waits_like_a_resend(page: Page, language: str, text: str) -> None:
    page.forms = PhoneForms("signup", page.otp.policy, lambda view: page.render(view) + pages.render(view))
    page.post("send", phone=PHONE)
    asked = Asked(url="/signup", accept_language=language)
    early = drive(page.forms.show(page.state, asked), page.otp).body
    assert (early.count(text), early.count("data-seconds=")) == (1, 2)
    page.clock.advance(60)
    late = drive(page.forms.show(page.state, asked), page.otp).body
    assert (late.count(text), late.count("data-seconds=")) == (1, 0)
