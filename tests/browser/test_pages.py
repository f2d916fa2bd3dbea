"""A sign-up in a real browser: the whole way, and the possible mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from page_site import PageSite, page_site
from page_visitor import PHONE, ask_for_code, code_field, come_back_after, is_welcomed, problem, type_code
from playwright.sync_api import Page, expect

from otpkit import GatewayRejectedError, Policy
from otpkit.languages import duration, texts

Open = Callable[..., Page]


@pytest.fixture
def site() -> Iterator[PageSite]:
    with page_site() as site:
        yield site


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_person_signs_up(site: PageSite, open_page: Open, scripts: bool) -> None:
    page = open_page(site.url, java_script_enabled=scripts)
    ask_for_code(page)
    expect(page.get_by_text("We sent it to")).to_contain_text("+86 138 0013 8000")
    code_field(page).fill(f"{site.code[:3]} {site.code[3:]}")
    if not scripts:
        page.get_by_role("button", name="Verify").click()
    is_welcomed(page)
    assert [message.phone for message in site.outbox] == ["+8613800138000"]


def test_full_width_digits_are_digits_without_scripts_too(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, java_script_enabled=False)
    ask_for_code(page, "１３８００１３８０００")
    code_field(page).fill(site.code.translate(str.maketrans("0123456789", "０１２３４５６７８９")))
    page.get_by_role("button", name="Verify").click()
    is_welcomed(page)


def test_an_invalid_number_is_refused_and_can_be_corrected(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    field = page.get_by_label("Mobile number")
    field.fill("12")
    field.press("Enter")
    expect(problem(page)).to_have_text("Please enter a valid mobile number.")
    expect(page).to_have_title("Please enter a valid mobile number. – Sign up")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("Please enter a valid mobile number"))
    expect(field).to_have_value("12")
    ask_for_code(page)


def test_a_message_that_was_not_sent_blames_no_field(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    site.outbox.reject_next(GatewayRejectedError("Out of order.", gateway="outbox", category="account"))
    page.get_by_label("Mobile number").fill(PHONE)
    page.get_by_role("button", name="Send code").click()
    expect(problem(page)).to_contain_text("could not be sent")
    expect(page.get_by_label("Mobile number")).not_to_have_attribute("aria-invalid", "true")


def test_a_wrong_code_costs_an_attempt_and_says_so(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    type_code(page, site.wrong_code)
    expect(problem(page)).to_have_text("That code is not right. Attempts left: 4.")
    expect(page).to_have_title(re.compile("^That code is not right"))
    expect(code_field(page)).to_be_focused()
    expect(code_field(page)).to_have_attribute("aria-invalid", "true")
    page.goto(site.url)
    expect(code_field(page)).to_have_accessible_description(re.compile(r"Attempts left: 4\. Valid for 5 min\."))
    type_code(page, site.code)
    is_welcomed(page)


def test_after_the_last_wrong_code_there_is_a_way_out(open_page: Open) -> None:
    with page_site(policy=Policy(attempts=1)) as site:
        page = open_page(site.url)
        ask_for_code(page)
        type_code(page, site.wrong_code)
        expect(problem(page)).to_have_text(
            "That code is not right, and there are no attempts left. Please request a new one."
        )
        expect(page.get_by_role("main")).not_to_contain_text("Attempts left")
        expect(page.get_by_role("heading")).to_have_text("You need a new code")
        expect(code_field(page)).to_have_count(0)
        come_back_after(site, page, 60)
        page.get_by_role("button", name="Send a new code").click()
        expect(code_field(page)).to_be_focused()
        type_code(page, site.code)
        is_welcomed(page)


def test_an_expired_code_is_told_and_a_new_one_helps(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    late = site.code
    site.clock.advance(301)
    type_code(page, late)
    expect(problem(page)).to_have_text("This code is no longer valid. Please request a new one.")
    expect(page.get_by_role("button", name="Send a new code")).to_be_focused()
    page.keyboard.press("Enter")
    expect(code_field(page)).to_be_focused()
    expect(problem(page)).to_have_count(0)
    type_code(page, site.code)
    is_welcomed(page)


def test_a_code_that_expires_before_ones_eyes_is_told_once(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.clock.install()
    ask_for_code(page)
    page.clock.fast_forward(298_000)
    expect(page.get_by_text("Valid for 5 min.")).to_be_visible()
    page.clock.fast_forward(3_000)
    expect(
        page.get_by_role("status").filter(has_text="This code has expired. Please request a new one.")
    ).to_be_visible()


def test_sending_again_waits_for_its_minute(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.clock.install()
    ask_for_code(page)
    again, first = page.get_by_role("button", name="Send again"), site.code
    expect(again).to_be_disabled()
    page.clock.fast_forward(30_000)
    expect(page.get_by_text(re.compile("^in (30|29|28) s$"))).to_be_visible()
    # A screen reader does not announce each second.
    assert page.locator("[role=status]:has(.wait), .wait [role=status]").count() == 0
    page.clock.fast_forward(31_000)
    expect(again).to_be_enabled()
    expect(page.get_by_role("status").filter(has_text="You can send it again now.")).to_have_count(1)
    site.clock.advance(60)
    again.click()
    expect(again).to_be_disabled()
    assert [message.code for message in site.outbox] == [first, first]


def test_the_script_tells_times_as_the_page_does(site: PageSite, open_page: Open) -> None:
    page, units = open_page(site.url), texts("en")["units"]
    for seconds in (0, 1, 59, 60, 119, 120, 121, 3600, 7199, 7200, 7201, 172_799, 172_800, 172_801):
        assert page.evaluate("([seconds, units]) => duration(seconds, units)", [seconds, units]) == duration(
            seconds, "en"
        )


def test_a_strangers_fifth_message_within_an_hour_must_wait(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, java_script_enabled=False)  # With scripts the button would wait.
    ask_for_code(page)
    for _ in range(3):
        site.clock.advance(61)
        with page.expect_navigation():
            page.get_by_role("button", name="Send again").click()
        expect(problem(page)).to_have_count(0)
    site.clock.advance(61)
    page.get_by_role("button", name="Send again").click()
    expect(problem(page)).to_have_text("Too many requests. You can try again in 56 min.")
    expect(page.get_by_text("in 56 min", exact=True)).to_be_visible()
    expect(code_field(page)).not_to_have_attribute("aria-invalid", "true")
    assert len(site.outbox) == 4
    code_field(page).fill(site.code)
    page.get_by_role("button", name="Verify").click()
    is_welcomed(page)


def test_a_doubtful_message_is_told_honestly(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    site.outbox.lose_next()
    ask_for_code(page)
    expect(page.get_by_text("We don't know if it was sent to +86 138 0013 8000.")).to_be_visible()


def test_another_number_can_be_taken(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    page.get_by_role("button", name="Use another number").click()
    ask_for_code(page, "13900139009")
    expect(page.get_by_text("+86 139 0013 9009")).to_be_visible()


def test_a_number_of_another_region_is_read_by_the_region_beside_it(open_page: Open) -> None:
    with page_site("login", Policy(regions={"CN", "HK"})) as site:
        page = open_page(site.url)
        expect(page.get_by_role("heading")).to_have_text("Log in")
        region = page.get_by_label("Country or region")
        assert region.locator("option").all_inner_texts() == ["China +86", "Hong Kong +852"]
        region.select_option("HK")
        page.get_by_label("Mobile number").fill("12")
        page.keyboard.press("Enter")
        expect(problem(page)).to_be_visible()
        expect(region).to_have_value("HK")
        ask_for_code(page, "5123 4567")
        expect(page.get_by_text("+852 5123 4567")).to_be_visible()
        expect(page.get_by_role("button", name="Log in")).to_be_enabled()
        assert site.outbox[-1].phone == "+85251234567"
