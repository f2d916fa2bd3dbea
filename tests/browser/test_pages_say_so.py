"""Messages of the pages about waits, resends, other tabs and languages, in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from page_site import Calls, PageSite, page_site
from page_visitor import PHONE, ask_for_code, code_field, come_back_after, is_welcomed, problem, type_code
from playwright.sync_api import Page, expect

from otpkit import GatewayRejectedError, Policy

Open = Callable[..., Page]
CHINESE = {"locale": "zh-CN"}


@pytest.fixture
def site() -> Iterator[PageSite]:
    with page_site() as site:
        yield site


def consoled(page: Page) -> list[str]:
    lines: list[str] = []
    page.on("console", lambda line: lines.append(line.text))
    return lines


@pytest.mark.parametrize(
    ("locale", "heading", "said", "button", "wait"),
    [
        (
            "en-US",
            "You need a new code",
            [
                "The code for +86 138 0013 8000 was entered wrongly too many times and can no longer be used.",
                "That code is not right, and there are no attempts left. Please request a new one.",
            ],
            "Send a new code",
            r"^You can get a new code in \d+ s\.$",
        ),
        (
            "zh-CN",
            "验证码已失效",
            [
                "发送至 +86 138 0013 8000 的验证码错误次数过多，已失效。",
                "验证码不正确，尝试次数已用完，请重新获取。",
            ],
            "重新获取验证码",
            r"^\d+ 秒后可以重新获取验证码。$",
        ),
    ],
)
def test_after_the_last_wrong_code_the_page_says_when_a_new_one_can_be_had(
    site: PageSite, open_page: Open, locale: str, heading: str, said: list[str], button: str, wait: str
) -> None:
    """It mentions no attempts, because none are left, and fits a narrow screen."""
    page = open_page(site.url, locale=locale, viewport={"width": 375, "height": 667})
    page.locator("#phone").fill(PHONE)
    page.locator("#phone").press("Enter")
    for _ in range(5):
        page.locator("#code").press_sequentially(site.wrong_code)
        expect(problem(page)).to_be_visible()
    expect(page.get_by_role("heading")).to_have_text(heading)
    expect(page.locator("#lead, #problem")).to_have_text(said)
    renew = page.get_by_role("button", name=button)
    expect(renew).to_be_disabled()
    expect(page.locator(".wait")).to_have_text(re.compile(wait))
    expect(page.get_by_role("main")).not_to_contain_text(re.compile(r"\b0\b|left: |还可"))
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.goto(site.url)  # The visitor opens the page again.
    expect(renew).to_be_disabled()
    come_back_after(site, page, 60)
    expect(page.locator(".wait")).to_have_count(0)
    renew.click()
    page.locator("#code").press_sequentially(site.code)
    is_welcomed(page)


def test_last_wrong_code_that_locks_the_number_asks_for_no_new_one(open_page: Open) -> None:
    """No new code would be sent."""
    with page_site(policy=Policy(attempts=2, max_consecutive_failures=2)) as site:
        page = open_page(site.url)
        ask_for_code(page)
        type_code(page, site.wrong_code)
        expect(problem(page)).to_have_text("That code is not right. Attempts left: 1.")
        type_code(page, site.wrong_code)
        expect(page.get_by_role("heading")).to_have_text("This number is locked")
        expect(problem(page)).to_contain_text("contact support")
        expect(page.get_by_role("button")).to_have_text(["Use another number"])


def test_a_locked_number_is_offered_no_code(open_page: Open) -> None:
    with page_site(policy=Policy(attempts=5, max_consecutive_failures=2)) as site:
        page = open_page(site.url)
        ask_for_code(page)
        for _ in range(2):
            type_code(page, site.wrong_code)
            expect(problem(page)).to_be_visible()
        for _ in range(2):
            come_back_after(site, page, 301)
            expect(page.get_by_role("heading")).to_have_text("This number is locked")
            expect(problem(page)).to_contain_text("contact support")
            expect(page.get_by_role("button")).to_have_text(["Use another number"])


def test_used_up_failures_hold_the_button_back(open_page: Open) -> None:
    with page_site(policy=Policy(failures="2/hour")) as site:
        page = open_page(site.url)
        ask_for_code(page)
        for _ in range(3):
            type_code(page, site.wrong_code)
            expect(problem(page)).to_be_visible()
        expect(problem(page)).to_contain_text("Too many requests")
        expect(page.get_by_role("button", name="Verify")).to_be_disabled()
        expect(page.locator(".wait").first).to_have_text(re.compile(r"^in \d+ min$"))


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_used_up_failures_offer_no_attempts(open_page: Open, locale: str) -> None:
    """The page does not count attempts, or the life of the code, which can't be used before the code is over."""
    with page_site(policy=Policy(failures="2/hour")) as site:
        page = open_page(site.url, locale=locale)
        page.locator("#phone").fill(PHONE)
        page.locator("button").click()
        for _ in range(3):
            page.locator("#code").press_sequentially(site.wrong_code)
            expect(problem(page)).to_be_visible()
        expect(page.locator("button").first).to_be_disabled()
        expect(page.locator("#hint")).to_have_text("")


def test_a_resend_is_confirmed_and_the_code_is_the_same(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    notice = page.locator("#notice")
    expect(notice).to_have_count(0)
    first = site.code
    come_back_after(site, page, 60)
    page.get_by_role("button", name="Send again").click()
    expect(notice).to_contain_text("We sent the same code again")
    expect(notice).to_have_attribute("aria-live", "polite")
    expect(code_field(page)).to_have_accessible_description(re.compile("^We sent the same code again"))
    expect(page).to_have_title(re.compile("^We sent the same code again"))
    page.reload()
    expect(notice).to_have_count(0)
    assert site.code == first
    type_code(page, first)
    is_welcomed(page)


@pytest.mark.parametrize(
    ("locale", "text", "notice"),
    [("en-US", "Call me instead", "We are calling you"), ("zh-CN", "改用语音电话", "正在拨打您的电话")],
)
@pytest.mark.parametrize("width", [320, 1280])
def test_call_by_keyboard(open_page: Open, locale: str, text: str, notice: str, width: int) -> None:
    with page_site(calls=(calls := Calls())) as site:
        page = open_page(site.url, locale=locale, viewport={"width": width, "height": 800})
        page.locator("#phone").fill("138 0013 8000")
        page.locator("#phone").press("Enter")
        call = page.get_by_role("button", name=text)
        expect(call).to_be_disabled()
        come_back_after(site, page, 60)
        expect(call).to_be_enabled()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        call.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#notice")).to_contain_text(notice)
        assert (calls[-1].channel, calls[-1].code) == ("voice", site.code)
        page.locator("#code").press_sequentially(calls[-1].code)
        is_welcomed(page)


def test_a_second_tab_with_another_number_says_so(site: PageSite, open_page: Open) -> None:
    first = open_page(site.url)
    ask_for_code(first)
    code = site.code
    second = first.context.new_page()
    second.goto(site.url)
    second.get_by_role("button", name="Use another number").click()
    ask_for_code(second, "139 0013 9000")
    type_code(first, code)
    expect(problem(first)).to_contain_text("You changed to the number shown here in another tab.")
    expect(first.locator("#lead")).to_contain_text("+86 139 0013 9000")
    second.get_by_role("button", name="Use another number").click()
    expect(second.get_by_label("Mobile number")).to_be_focused()
    type_code(first, "123456")
    expect(problem(first)).to_contain_text("Please enter your number again.")
    expect(first.get_by_label("Mobile number")).to_be_focused()


def test_no_page_quarrels_with_the_browser_about_the_focus(site: PageSite, open_page: Open) -> None:
    page = open_page("about:blank")
    lines = consoled(page)
    page.goto(site.url)
    expect(page.get_by_label("Mobile number")).to_be_focused()
    ask_for_code(page)
    type_code(page, site.wrong_code)
    expect(problem(page)).to_be_visible()
    expect(code_field(page)).to_be_focused()
    site.clock.advance(301)
    page.reload()
    expect(page.get_by_role("button", name="Send a new code")).to_be_focused()
    page.wait_for_timeout(200)
    assert [line for line in lines if "utofocus" in line] == []


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_what_is_typed_survives_a_change_of_language(site: PageSite, open_page: Open, locale: str) -> None:
    page = open_page(f"{site.url}?next=/home", locale=locale)
    page.locator("#phone").fill("138 0013")
    page.locator(".language").click()
    expect(page.locator("html")).to_have_attribute("lang", "en" if locale == "zh-CN" else "zh-CN")
    expect(page.locator("#phone")).to_have_value("138 0013")
    page.locator("#phone").fill(PHONE)
    page.keyboard.press("Enter")
    page.locator("#code").press_sequentially("123")
    page.locator(".language").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN" if locale == "zh-CN" else "en")
    expect(page.locator("#code")).to_have_value("123")
    assert page.url.endswith("?next=/home") or page.url.endswith("?next=%2Fhome")
    assert page.evaluate("sessionStorage.length") == 0


def test_typed_digits_are_no_other_pages(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.locator("#phone").fill("138 0013 8001")
    page.locator(".language").click()
    expect(page.locator("#phone")).to_have_value("138 0013 8001")
    page.goto(site.url)
    expect(page.locator("#phone")).to_have_value("")


def test_the_region_that_was_chosen_survives_too(open_page: Open) -> None:
    with page_site(policy=Policy(regions={"CN", "HK"})) as site:
        page = open_page(site.url)
        page.locator("#region").select_option("HK")
        page.locator(".language").click()
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page.locator("#region")).to_have_value("HK")


@pytest.mark.parametrize("category", ["account", "configuration", "request", "quota", "connection"])
def test_what_is_our_fault_is_not_put_on_the_number(site: PageSite, open_page: Open, category: str) -> None:
    page = open_page(site.url)
    site.outbox.reject_next(GatewayRejectedError("Out of order.", gateway="outbox", category=category))  # type: ignore[arg-type]
    page.get_by_label("Mobile number").fill(PHONE)
    page.get_by_role("button", name="Send code").click()
    expect(problem(page)).to_have_text(re.compile("could not be sent. The problem is on our side"))


def test_a_number_that_cant_be_served_is_to_be_checked(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, **CHINESE)
    site.outbox.reject_next(GatewayRejectedError("No such number.", gateway="outbox", category="number"))
    page.locator("#phone").fill(PHONE)
    page.keyboard.press("Enter")
    expect(problem(page)).to_have_text("短信无法发送至该号码，请检查号码。")


def test_regions_stand_in_the_order_of_their_language(open_page: Open) -> None:
    regions = {"CN", "US", "FR", "AL", "PE", "KP", "AO", "ZA", "GB", "HK"}
    with page_site(policy=Policy(regions=regions)) as site:
        page = open_page(site.url, **CHINESE)
        names = [each.split(" +")[0] for each in page.locator("#region option").all_inner_texts()]
        assert names == ["阿尔巴尼亚", "安哥拉", "秘鲁", "朝鲜", "法国", "美国", "南非", "香港", "英国", "中国"]
        page.locator(".language").click()
        names = [each.split(" +")[0] for each in page.locator("#region option").all_inner_texts()]
        assert names == sorted(names)


@pytest.mark.parametrize(("locale", "link"), [("en-US", "Verify my number"), ("zh-CN", "验证手机号")])
def test_a_page_that_lacks_a_proof_leads_to_the_form_and_back(
    open_page: Open, shut_out: Callable[[Page], list[str]], locale: str, link: str
) -> None:
    with page_site("payment") as site:
        account = site.url.replace("/payment", "/account?order=42")
        page = open_page(account, locale=locale, viewport={"width": 320, "height": 600})
        assert shut_out(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        page.get_by_role("link", name=link).click()
        page.locator("#phone").fill(PHONE)
        page.keyboard.press("Enter")
        expect(page.locator("#code")).to_be_focused()
        page.locator("#code").press_sequentially(site.code)
        is_welcomed(page)
        assert page.url == account


def test_notices_are_accessible(site: PageSite, open_page: Open, shut_out: Callable[[Page], list[str]]) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    come_back_after(site, page, 60)
    page.get_by_role("button", name="Send again").click()
    expect(page.locator("#notice")).to_be_visible()
    assert shut_out(page) == []
