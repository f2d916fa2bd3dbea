"""The two forms without a web framework: the contents of a page, and the effects of a form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.secrets import SECRET

from otpkit import (
    OTP,
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    Policy,
    Proof,
    StoreUnavailableError,
    Template,
    UsedTokenError,
)
from otpkit.testing import MovableClock, Outbox
from otpkit.web import Answer, Asked, PhoneForms, View, bind_of, cookie_name, drive, read_form, take_proof, visit

PHONE = "+8613800138000"
ASKED = Asked(url="/signup", ip="203.0.113.7")


@dataclass
class Page:
    """A page and its visitor: their session, and the views that they saw."""

    otp: OTP
    outbox: Outbox
    clock: MovableClock
    keep_proof: bool = True
    state: dict[str, str] = field(default_factory=dict)
    views: list[View] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forms = PhoneForms("signup", self.otp.policy, self.render, keep_proof=self.keep_proof)

    def render(self, view: View) -> str:
        self.views.append(view)
        return f"page {len(self.views)}"

    @property
    def view(self) -> View:
        return self.views[-1]

    def show(self, asked: Asked = ASKED) -> Answer:
        return drive(self.forms.show(self.state, asked), self.otp)

    def fill(self, action: str, **typed: str) -> dict[str, str]:
        return {**self.view.hidden, "action": action, **typed}

    def send(self, form: dict[str, str], asked: Asked = ASKED) -> Answer:
        return drive(self.forms.submit(self.state, form, asked), self.otp)

    def post(self, action: str, **typed: str) -> Answer:
        """Fill in the current form, send it, and follow the redirect."""
        answer = self.send(self.fill(action, **typed))
        if answer.headers.get("Location"):
            self.show()
        return answer

    def redeem(self, state: dict[str, str], key: str | None = None) -> Proof:
        """Redeem as the next form of an application does."""
        return self.otp.redeem(take_proof(state), bind=bind_of(state), idempotency_key=key)

    def verify(self) -> Answer:
        self.post("send", phone=PHONE)
        return self.post("verify", code=self.outbox[-1].code)


def new_page(policy: Policy | None = None, *, keep_proof: bool = True) -> Page:
    outbox, clock = Outbox(), MovableClock()
    template = Template("SMS_1", "otpkit")
    otp = OTP("memory://", outbox, template, SECRET, policy=policy or Policy(), clock=clock)
    page = Page(otp, outbox, clock, keep_proof=keep_proof)
    page.show()
    return page


@pytest.fixture
def page() -> Iterator[Page]:
    page = new_page()
    yield page
    page.otp.close()


def test_a_visitor_is_first_asked_for_a_number(page: Page) -> None:
    answer = page.show()
    assert (answer.status, answer.body, answer.proof) == (200, "page 2", None)
    assert (page.view.step, page.view.problem, page.view.challenge) == ("phone", "", None)
    assert set(page.state) == {"id", "csrf"}


def test_the_form_of_the_code_follows(page: Page) -> None:
    answer = page.post("send", phone="138 0013 8000")
    assert (answer.status, answer.headers["Location"]) == (303, "/signup")
    assert (page.view.step, page.view.phone, page.view.retry_in) == ("code", PHONE, 60)
    assert page.view.challenge is not None
    assert page.view.challenge.delivery == "accepted"


def test_an_uncertain_message_may_arrive_all_the_same(page: Page) -> None:
    page.outbox.lose_next()
    page.post("send", phone=PHONE)
    assert page.view.step == "code"
    assert page.view.challenge is not None
    assert page.view.challenge.delivery == "uncertain"


def test_a_message_that_was_not_sent_asks_for_the_number_again(page: Page) -> None:
    page.outbox.reject_next()
    answer = page.post("send", phone=PHONE)
    assert answer.status == 502
    assert (page.view.step, page.view.typed) == ("phone", PHONE)
    assert page.view.problem.startswith("The message could not be sent.")


@pytest.mark.parametrize("typed", ["", "12", "abc", "1" * 15_000, "+86138\n00138000", "\ud800", "\x00"])
def test_what_is_no_number_is_shown_again(page: Page, typed: str) -> None:
    assert page.post("send", phone=typed).status == 422
    assert (page.view.step, page.view.typed) == ("phone", typed)
    assert page.view.problem == "Please enter a valid mobile number."


def test_a_number_is_of_the_region_that_was_chosen_beside_it() -> None:
    page = new_page(Policy(regions=frozenset({"CN", "HK"})))
    page.post("send", phone="51234567", region="HK")
    assert page.view.phone == "+85251234567"
    page.otp.close()


@pytest.mark.parametrize("region", ["HK", "XX", "", "cn"])
def test_a_region_that_is_not_served_is_the_default_one(page: Page, region: str) -> None:
    page.post("send", phone="13800138000", region=region)
    assert page.view.phone == PHONE


def test_while_a_code_is_live_it_can_be_typed_although_a_limit_is_used_up(page: Page) -> None:
    page.post("send", phone=PHONE)
    page.post("restart")
    assert page.view.step == "phone"
    answer = page.post("send", phone=PHONE)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
    assert (page.view.step, page.view.retry_in) == ("code", 60)
    assert page.post("verify", code=page.outbox[-1].code).proof is not None


def test_a_wrong_code_is_told_and_counted(page: Page) -> None:
    page.post("send", phone=PHONE)
    code = page.outbox[-1].code
    answer = page.post("verify", code=f"{code[:-1]}{(int(code[-1]) + 1) % 10}")
    assert answer.status == 422
    assert page.view.problem == "That code is not right. Attempts left: 4."
    assert page.view.challenge is not None
    assert page.view.challenge.attempts_left == 4


def test_an_expired_code_leaves_the_step_where_it_is(page: Page) -> None:
    page.post("send", phone=PHONE)
    page.clock.advance(301)
    assert page.post("verify", code=page.outbox[-1].code).status == 422
    assert (page.view.step, page.view.challenge, page.view.retry_in) == ("code", None, 0)
    page.post("send")
    assert page.view.challenge is not None


def test_a_right_code_keeps_the_proof_for_the_next_form(page: Page) -> None:
    answer = page.verify()
    assert answer.proof is not None
    assert answer.status == 303
    assert "Location" not in answer.headers  # The application decides the target.
    assert page.state["token"] == answer.proof.token
    again = page.show()
    assert again.proof == answer.proof
    assert page.redeem(page.state).phone == PHONE
    assert page.show().proof is None
    assert page.view.step == "phone"


def test_where_the_application_takes_the_proof_at_once_none_is_kept() -> None:
    page = new_page(keep_proof=False)
    assert page.verify().proof is not None
    assert "token" not in page.state
    with pytest.raises(InvalidTokenError):
        page.redeem(page.state)
    page.otp.close()


def test_a_kept_proof_is_found_by_the_browser_that_has_its_cookie(page: Page) -> None:
    """The framework passes the cookie. Without one, as with sessions in signed cookies, the session is enough."""
    cookie = page.verify().cookie
    assert cookie is not None
    assert (cookie.name, cookie.max_age) == (cookie_name("signup"), 300)
    assert cookie.value not in repr(cookie)
    for wrong in ("", "x", "ü", "\ud800", cookie.value[:-1], cookie.value.upper(), page.state["token"]):
        before = dict(page.state)
        assert page.show(Asked(url="/signup", cookie=wrong)).proof is None
        assert take_proof(page.state, cookie=wrong) == ""
        assert page.state == before
    assert page.show(Asked(url="/signup", cookie=cookie.value)).proof is not None
    token = take_proof(page.state, cookie=cookie.value)
    assert [take_proof(page.state, cookie=value) for value in (cookie.value, "", None)] == [token, "", token]


def test_a_token_that_was_taken_is_found_beside_a_newer_one(page: Page) -> None:
    """Two browsers share the session, and each continues with its own proof."""
    first = page.verify().cookie
    taken = take_proof(page.state)
    page.post("restart")
    page.post("send", phone="13900139000")
    second = page.post("verify", code=page.outbox[-1].code).cookie
    assert first is not None
    assert second is not None
    assert take_proof(page.state, cookie=first.value) == taken
    assert page.otp.check(take_proof(page.state, cookie=second.value), bind=page.state["id"]).phone == "+8613900139000"


@pytest.mark.parametrize("purpose", ["signup", "own page", "支付", "a=b; c", "p" * 128, "支" * 40])
def test_the_name_of_the_cookie_is_one_for_every_purpose(purpose: str) -> None:
    assert re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,1200}", cookie_name(purpose))
    assert cookie_name(purpose) != cookie_name(purpose + "x")


def test_a_form_that_comes_twice_is_answered_twice_alike(page: Page) -> None:
    form = page.fill("send", phone=PHONE)
    answers = [page.send(form) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    assert len(page.outbox) == 1
    page.show()
    form = page.fill("verify", code=page.outbox[-1].code)
    first, second = page.send(form).proof, page.send(form).proof
    assert first is not None
    assert first == second
    redeemed = [page.redeem(page.state, "one") for _ in range(2)]
    assert redeemed == [first, first]
    with pytest.raises(UsedTokenError):
        page.redeem(page.state, "other")


def test_an_expired_proof_leads_to_a_new_start(page: Page) -> None:
    page.verify()
    kept = dict(page.state)
    page.clock.advance(301)
    assert page.show().proof is None
    assert "token" not in page.state
    with pytest.raises(ExpiredTokenError):
        page.redeem(kept)


def test_a_proof_of_another_session_is_none(page: Page) -> None:
    page.verify()
    stolen = {**page.state, "id": "another"}
    with pytest.raises(InvalidTokenError):
        page.redeem(stolen)
    assert page.redeem(page.state)


@pytest.mark.parametrize("forged", [{}, {"csrf": ""}, {"csrf": "x"}, {"csrf": "ü"}, {"csrf": "\ud800"}])
def test_a_form_that_is_not_of_this_visit_does_nothing(page: Page, forged: dict[str, str]) -> None:
    answer = page.send({"action": "send", "phone": PHONE, **forged})
    assert (answer.status, page.view.problem) == (403, "stale")
    assert not page.outbox


def test_a_visitor_whose_browser_keeps_no_cookie_is_told(page: Page) -> None:
    form = page.fill("send", phone=PHONE)
    page.state.clear()
    assert page.send(form).status == 403
    assert page.view.hidden["csrf"] == page.state["csrf"]


@pytest.mark.parametrize("action", ["", "verify", "nonsense", "restart"])
def test_an_action_that_has_nothing_to_act_on_leads_back(page: Page, action: str) -> None:
    assert page.post(action, code="123456").status == 303
    assert page.view.step == "phone"


def test_of_two_tabs_none_tries_its_code_on_the_number_of_the_other(page: Page) -> None:
    page.post("send", phone=PHONE)
    first = page.fill("verify", code=page.outbox[-1].code)
    page.post("restart")
    page.post("send", phone="13900139000")
    assert page.send(first).headers["Location"] == ASKED.url
    page.show()
    assert page.view.challenge is not None
    assert page.view.challenge.attempts_left == 5
    assert page.post("verify", code=page.outbox[-1].code).proof is not None


def test_restart_forgets_the_number_and_the_proof(page: Page) -> None:
    page.verify()
    page.send(page.fill("restart"))
    assert set(page.state) == {"id", "csrf"}


def test_the_language_that_was_chosen_is_kept(page: Page) -> None:
    assert page.show(Asked(url="/signup", accept_language="zh-CN")).headers["Content-Language"] == "zh-CN"
    assert page.show(Asked(url="/signup", language="zh")).headers["Location"] == "/signup"
    assert page.show(Asked(url="/signup", accept_language="en")).headers["Content-Language"] == "zh-CN"
    assert page.show(Asked(url="/signup", language="fr")).status == 200


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/甲/signup", "/%E7%94%B2/signup"),
        ("//evil.example/signup", "/evil.example/signup"),
        ("/\\evil.example/signup", "/%5Cevil.example/signup"),
        ("/a?b#c%\r\nX: y/signup", "/a%3Fb%23c%25%0D%0AX%3A%20y/signup"),
        ("/\udcff/signup", "/%3F/signup"),
    ],
)
def test_a_path_stays_on_this_site_whatever_stands_in_it(page: Page, path: str, url: str) -> None:
    assert page.show(Asked(url=path, language="zh")).headers["Location"] == url
    page.show(Asked(url=path))
    assert page.view.url == url


def test_where_the_store_is_away_the_page_says_so() -> None:
    views: list[View] = []
    policy = Policy()
    forms = PhoneForms("signup", policy, lambda view: views.append(view) or "page")  # type: ignore[func-returns-value]
    with OTP("redis://127.0.0.1:1/0", Outbox(), Template("SMS_1", "otpkit"), SECRET) as otp:
        state = {"phone": PHONE, "id": "i", "csrf": "c"}
        assert drive(forms.show(state, ASKED), otp).status == 503
        assert views[-1].problem == StoreUnavailableError().message()
        assert drive(forms.submit(state, {"csrf": "c", "action": "send"}, ASKED), otp).status == 503


def test_what_is_the_developers_fault_is_not_told_to_the_visitor() -> None:
    templates = {"login": Template("SMS_1", "otpkit")}
    with OTP("memory://", Outbox(), templates, SECRET) as otp:
        forms = PhoneForms("signup", otp.policy, lambda view: "")
        with pytest.raises(ConfigurationError, match="signup"):
            drive(forms.submit({"id": "i", "csrf": "c"}, {"csrf": "c", "action": "send", "phone": PHONE}, ASKED), otp)


@pytest.mark.parametrize("purpose", ["", "p" * 129, None])
def test_a_purpose_that_is_none_is_told_before_a_visitor_comes(page: Page, purpose: Any) -> None:
    with pytest.raises(ConfigurationError, match="purpose"):
        PhoneForms(purpose, page.otp.policy, page.render)


def test_the_page_forbids_all_but_its_own(page: Page) -> None:
    headers = page.show().headers
    assert f"script-src 'nonce-{page.view.nonce}'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    nonce = page.view.nonce
    page.show()
    assert page.view.nonce != nonce


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"a=1&b=%E9%98%BF&c=", {"a": "1", "b": "阿", "c": ""}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a=%ff+%00", {"a": "\ufffd \x00"}),
        (b"\xff=1", {"\ufffd": "1"}),
        (b"", {}),
        (b"a=" + b"1" * 16_383, {}),
        (b"&".join(b"f%d=1" % i for i in range(21)), {}),
    ],
)
def test_a_form_is_read_as_a_browser_writes_it_and_within_bounds(body: bytes, fields: dict[str, str]) -> None:
    assert read_form(body) == fields


# The session


def test_a_visit_keeps_what_changed_also_after_an_error() -> None:
    session: dict[str, Any] = {"user": "Ada", "otpkit": {"login": {"id": "1"}}}
    with suppress(UsedTokenError), visit(session, "signup") as state:
        state["id"] = "2"
        raise UsedTokenError
    assert session == {"user": "Ada", "otpkit": {"login": {"id": "1"}, "signup": {"id": "2"}}}


def test_a_visit_that_changes_nothing_leaves_the_session_alone() -> None:
    class Untouched(dict[str, Any]):
        def __setitem__(self, name: str, value: Any) -> None:
            raise AssertionError(name)

    with visit(Untouched(otpkit={"login": {"id": "1"}}), "login") as state:
        assert state == {"id": "1"}
    with visit(Untouched(), "login"):
        pass


@pytest.mark.parametrize(
    ("site", "token"), [("", "t"), ("same-origin", "t"), ("none", "t"), ("same-site", ""), ("x", "")]
)
def test_another_sites_request_takes_no_proof(site: str, token: str) -> None:
    state = {"token": "t", "phone": PHONE}
    assert take_proof(state, sec_fetch_site=site) == token
    assert ("token" in state) is (token == "")
