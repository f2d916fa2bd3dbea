"""The sign-up page's forms over HTTP: what a browser without scripts sends, and what nobody should send."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests
from signup_page import Site, Visitor, site, wrong

PHONE = "+8613800138000"


@pytest.fixture
def served() -> Iterator[Site]:
    with site() as served:
        yield served


@pytest.fixture
def visitor(served: Site) -> Iterator[Visitor]:
    visitor = Visitor(served)
    with visitor.session:
        visitor.look()
        yield visitor


def verified(visitor: Visitor) -> None:
    """Bring a visitor to the form that creates the account."""
    visitor.post("send", phone=PHONE)
    visitor.post("verify", code=visitor.site.code(PHONE))
    assert 'name="name"' in visitor.page


def test_a_person_signs_up(visitor: Visitor) -> None:
    answer = visitor.post("send", phone="138 0013-8000")
    assert [step.status_code for step in answer.history] == [303]
    assert "+86 138 0013 8000" in visitor.page
    assert visitor.site.sandbox.messages(PHONE)[0].text in visitor.page
    code = visitor.site.code(PHONE)
    assert visitor.post("verify", code=wrong(code)).status_code == 422
    assert visitor.problem == "That code is not right. Attempts left: 4."
    visitor.post("verify", code=f" {code[:3]} {code[3:]}")
    assert "verified" in visitor.page
    visitor.post("create", name="Ada")
    assert "Account created" in visitor.page
    assert visitor.look().status_code == 200
    assert "Welcome, Ada!" in visitor.page


def test_every_form_sent_twice_gets_the_same_answer_twice(visitor: Visitor) -> None:
    for action, typed in (("send", {"phone": PHONE}), ("verify", {}), ("create", {"name": "Ada"})):
        form = visitor.fields(action) | (typed or {"code": visitor.site.code(PHONE)})
        pages = [(visitor.send(form).status_code, visitor.problem) for _ in range(2)]
        assert pages == [(200, ""), (200, "")]
    assert "Account created" in visitor.page
    assert len(visitor.site.sandbox.messages(PHONE)) == 1


def test_a_double_click_verifies_once(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    form = visitor.fields("verify") | {"code": visitor.site.code(PHONE)}
    cookies, statuses = visitor.session.cookies.get_dict(), []

    def click() -> None:
        answer = requests.post(visitor.site.url, form, cookies=cookies, allow_redirects=False, timeout=10)
        statuses.append(answer.status_code)

    clicks = [threading.Thread(target=click) for _ in range(8)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert statuses == [303] * 8


def test_a_code_that_comes_too_late_is_refused_and_a_new_one_helps(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    late = visitor.site.code(PHONE)
    visitor.site.clock.advance(301)
    visitor.post("verify", code=late)
    assert visitor.problem == "This code is no longer valid. Please request a new one."
    visitor.post("send")
    visitor.post("verify", code=visitor.site.code(PHONE))
    assert "verified" in visitor.page


def test_a_proof_that_has_expired_leads_back_to_the_number(visitor: Visitor) -> None:
    verified(visitor)
    visitor.site.clock.advance(301)
    assert visitor.post("create", name="Ada").status_code == 401
    assert visitor.problem == "Please verify your phone number again."
    assert 'name="phone"' in visitor.page


def test_a_form_left_behind_changes_nothing(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    behind = visitor.fields("verify") | {"code": visitor.site.code(PHONE)}
    visitor.post("verify", code=behind["code"])
    visitor.post("create", name="Ada")
    for form in (behind, behind | {"action": "create", "name": "Eve"}, behind | {"action": "nonsense"}):
        assert visitor.send(form).status_code == 200
        assert "Welcome, Ada!" in visitor.page


def test_a_second_code_within_a_minute_is_refused_and_the_first_still_counts(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    answer = visitor.post("send")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert visitor.problem.startswith("Too many requests.")
    visitor.post("verify", code=visitor.site.code(PHONE))
    assert "verified" in visitor.page


def test_a_number_limited_elsewhere_stays_at_the_first_form(visitor: Visitor) -> None:
    other = Visitor(visitor.site)
    with other.session:
        other.look()
        other.post("send", phone=PHONE)
    assert visitor.post("send", phone=PHONE).status_code == 429
    assert f'value="{PHONE}"' in visitor.page
    assert visitor.site.code(PHONE) not in visitor.page


def test_the_code_of_another_visitor_is_worth_nothing(visitor: Visitor) -> None:
    other = Visitor(visitor.site)
    with other.session:
        other.look()
        other.post("send", phone=PHONE)
        code = other.site.code(PHONE)
        visitor.site.clock.advance(61)
        visitor.post("send", phone=PHONE)
        if visitor.site.code(PHONE) != code:  # the same, once in a million
            visitor.post("verify", code=code)
            assert visitor.problem.startswith("That code is not right.")


def test_another_number_can_be_taken(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    visitor.post("restart")
    assert 'name="phone"' in visitor.page
    assert "【" not in visitor.page
    visitor.post("send", phone="13900139009")
    assert "+86 139 0013 9009" in visitor.page


def test_an_account_is_made_once_for_a_phone(visitor: Visitor) -> None:
    verified(visitor)
    visitor.post("create", name="Ada")
    visitor.post("restart")
    visitor.site.clock.advance(61)
    verified(visitor)
    visitor.post("create", name="Eve")
    assert "Welcome, Ada!" in visitor.page


def test_a_blank_name_does_not_spend_the_proof(visitor: Visitor) -> None:
    verified(visitor)
    assert visitor.post("create", name=" ").status_code == 422
    assert visitor.problem == "Please enter a name."
    visitor.post("create", name="Ada")
    assert "Welcome, Ada!" in visitor.page


def test_what_is_typed_is_text(visitor: Visitor) -> None:
    script = '"><script>alert(1)</script>'
    visitor.post("send", phone=script)
    assert visitor.problem == "Please enter a valid mobile number."
    assert "<script>" not in visitor.page
    verified(visitor)
    visitor.post("create", name=script)
    assert "&lt;script&gt;" in visitor.page
    assert "<script>" not in visitor.page


def test_an_uncertain_send_shows_the_form_for_the_code(visitor: Visitor) -> None:
    visitor.post("send", phone="13900100040")
    assert 'name="code"' in visitor.page
    assert "We can't tell whether" in visitor.page or "We can&#39;t tell whether" in visitor.page


def test_a_rejected_send_stays_at_the_first_form(visitor: Visitor) -> None:
    assert visitor.post("send", phone="13900050001").status_code == 502
    assert 'name="phone"' in visitor.page


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "请输入正确的手机号码。"),
        ("fr, zh-Hant;q=0.5, en;q=0.4", "请输入正确的手机号码。"),
        ("en-GB,en;q=0.9,zh;q=0.8", "Please enter a valid mobile number."),
        ("zh;q=0", "Please enter a valid mobile number."),
        ("fr", "Please enter a valid mobile number."),
        ("", "Please enter a valid mobile number."),
        (";;q=,zh;q=9,*", "Please enter a valid mobile number."),
    ],
)
def test_the_page_speaks_the_visitors_language(served: Site, header: str, problem: str) -> None:
    visitor = Visitor(served, header)
    with visitor.session:
        visitor.look()
        visitor.post("send", phone="12")
    assert visitor.problem == problem
    assert f'<html lang="{"zh-CN" if problem.startswith("请") else "en"}">' in visitor.page


def test_a_form_of_another_site_is_refused(visitor: Visitor) -> None:
    form = visitor.fields("send") | {"phone": PHONE}
    assert visitor.send(form, Origin="http://evil.example").status_code == 403
    assert visitor.send(form | {"csrf": "é"}).status_code == 403
    assert visitor.send({"action": "send", "phone": PHONE}).status_code == 403
    assert visitor.send({**form, "name": "x" * 70_000}).status_code == 403
    assert visitor.site.sandbox.messages() == []
    assert visitor.send(form, Origin=visitor.site.url.removesuffix("/signup")).status_code == 200
    assert len(visitor.site.sandbox.messages()) == 1


def test_a_form_without_the_cookie_is_refused_and_a_fresh_one_given(visitor: Visitor) -> None:
    form = visitor.fields("send") | {"phone": PHONE}
    visitor.session.cookies.clear()
    assert visitor.send(form).status_code == 403
    assert visitor.problem.startswith("This form is from an earlier visit")
    visitor.post("send", phone=PHONE)
    assert 'name="code"' in visitor.page


def test_a_name_that_another_site_points_here_gets_nothing(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    for method in ("GET", "POST"):
        answer = visitor.session.request(method, visitor.site.url, headers={"Host": "evil.example"}, timeout=10)
        assert answer.status_code == 403
        assert "【" not in answer.text


def test_the_page_is_for_this_visitor_alone(visitor: Visitor) -> None:
    answer = visitor.look()
    assert answer.headers["cache-control"] == "no-store"
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    identity = visitor.session.cookies["otpkit_signup"]
    assert identity not in visitor.page


def test_the_form_for_the_code_helps_phones_to_fill_it_in(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    assert 'inputmode="numeric" autocomplete="one-time-code"' in visitor.page
    assert '<label for="code">' in visitor.page
