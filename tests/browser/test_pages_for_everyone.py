"""The accessibility of the pages: both languages, keyboard only, a screen reader, a narrow screen, forced colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from page_site import PageSite, page_site
from page_visitor import ask_for_code, code_field, come_back_after, is_welcomed, problem, type_code
from playwright.sync_api import Page, expect

from otpkit import Policy
from otpkit.web import Brand

Open = Callable[..., Page]


@pytest.fixture
def site() -> Iterator[PageSite]:
    with page_site() as site:
        yield site


def states(site: PageSite, page: Page) -> Iterator[str]:
    """Bring a page into each of its states, with selectors that do not depend on the language."""
    yield "number"
    for phone, what in (("12", "no number"), ("13800138000", "code")):
        page.locator("#phone").fill(phone)
        with page.expect_navigation():
            page.locator("#phone").press("Enter")
        yield what
    with page.expect_navigation():
        page.locator("#code").fill(site.wrong_code)
    yield "wrong code"
    come_back_after(site, page, 0)
    yield "an attempt less"
    come_back_after(site, page, 301)
    yield "expired"
    site.outbox.lose_next()
    with page.expect_navigation():
        page.locator("button").first.click()
    yield "doubtful"


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_axe_finds_no_violation(
    open_page: Open, shut_out: Callable[[Page], list[str]], locale: str, look: Literal["light", "dark"]
) -> None:
    with page_site(policy=Policy(regions={"CN", "HK"})) as site:
        page = open_page(site.url, locale=locale, color_scheme=look)
        found = {state: shut_out(page) for state in states(site, page)}
    assert list(found.values()) == [[]] * 7, found


@pytest.mark.parametrize("accent", ["#07815c", "#1677ff", "#3b0764"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_branded_pages_are_accessible(
    open_page: Open, shut_out: Callable[[Page], list[str]], locale: str, look: Literal["light", "dark"], accent: str
) -> None:
    """Each state fits a phone's width, can be read, and shows the logo, which the page's policy allows."""
    brand = Brand(name="Acme", logo="/logo.svg", accent=accent, terms="/terms", privacy="https://acme.example/privacy")
    with page_site(policy=Policy(regions={"CN", "HK"}), brand=brand) as site:
        page = open_page(site.url, locale=locale, color_scheme=look, viewport={"width": 320, "height": 568})
        for state in states(site, page):
            assert shut_out(page) == [], state
            assert page.evaluate("document.documentElement.scrollWidth") == 320, state
            logo = page.get_by_role("img", name="Acme")
            assert logo.evaluate("logo => logo.decode().then(() => logo.naturalWidth)") == 200, state
            for link in page.get_by_role("contentinfo").get_by_role("link").all():
                box = link.bounding_box()
                assert box, state
                assert box["height"] >= 43, state


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_sticks_out_at_320_pixels(site: PageSite, open_page: Open, locale: str) -> None:
    page = open_page(site.url, locale=locale, viewport={"width": 320, "height": 568})
    for state in states(site, page):
        assert page.evaluate("document.documentElement.scrollWidth") == 320, state
        for each in page.locator("h1, p:visible, button, a, .box, .code i, ol").all():
            box = each.bounding_box()
            assert box, state
            assert box["x"] >= 0, state
            assert box["x"] + box["width"] <= 320, state
        for each in page.locator("button, a, #phone, .code, select").all():
            box = each.bounding_box()
            assert box, state
            assert box["height"] >= 43, state  # WCAG 2.2 §2.5.5: 44 pixels, minus a rounding.


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_is_lost_where_text_is_twice_as_large(site: PageSite, open_page: Open, locale: str) -> None:
    page = open_page(site.url, locale=locale, viewport={"width": 320, "height": 568})
    twice = "document.documentElement.style.fontSize = '200%'"
    for state in states(site, page):
        page.evaluate(twice)  # WCAG 2.2 §1.4.4.
        for each in page.locator("h1, header a, .steps li, .number, p:visible, label, button").all():
            box = each.bounding_box()
            assert box, state
            assert box["x"] + box["width"] <= 320, (state, each.inner_text())


def test_what_the_browser_fills_in_hides_no_box(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, color_scheme="dark")
    ask_for_code(page)
    tools = page.context.new_cdp_session(page)
    tools.send("DOM.enable")
    tools.send("CSS.enable")
    root = tools.send("DOM.getDocument")["root"]["nodeId"]
    field = tools.send("DOM.querySelector", {"nodeId": root, "selector": "#code"})["nodeId"]
    tools.send("CSS.forcePseudoState", {"nodeId": field, "forcedPseudoClasses": ["autofill"]})
    assert code_field(page).evaluate("field => field.matches(':autofill')")
    assert code_field(page).evaluate("field => getComputedStyle(field).backgroundClip") == "text"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_keyboard_is_enough(site: PageSite, open_page: Open, scripts: bool) -> None:
    page = open_page(site.url, java_script_enabled=scripts)
    expect(page.get_by_label("Mobile number")).to_be_focused()  # The browser applies `autofocus` a little later.
    page.keyboard.type("13800138000\n")
    expect(code_field(page)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Verify")).to_be_focused()
    if not scripts:  # With scripts the button waits, and the focus skips it.
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Send again")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Use another number")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Mobile number")).to_be_focused()
    site.clock.advance(60)
    page.keyboard.type("13800138000\n")
    expect(code_field(page)).to_be_focused()
    page.keyboard.type(site.code if scripts else f"{site.code}\n")
    is_welcomed(page)


def test_the_language_is_switched_where_one_stands(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading")).to_have_text("输入验证码")
    expect(page.get_by_text("验证码已发送至")).to_contain_text("+86 138 0013 8000")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.get_by_label("6 位验证码").press_sequentially(site.wrong_code)
    expect(problem(page)).to_have_text("验证码不正确，还可以尝试 4 次。")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading")).to_have_text("Enter the code")
    assert page.url == site.url
    assert len(site.outbox) == 1


@pytest.mark.parametrize(
    ("purpose", "locale", "heading"),
    [
        ("login", "en-US", "Log in"),
        ("login", "zh-CN", "登录"),
        ("signup", "zh-CN", "注册"),
        ("payment", "en-US", "Verify your phone"),
        ("payment", "zh-CN", "验证手机号"),
    ],
)
def test_each_purpose_has_its_words(open_page: Open, purpose: str, locale: str, heading: str) -> None:
    with page_site(purpose) as site:
        page = open_page(site.url, locale=locale)
        expect(page.get_by_role("heading")).to_have_text(heading)
        expect(page).to_have_title(heading)


def test_a_screen_reader_hears_where_one_is(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    steps = page.get_by_role("list", name="Progress").get_by_role("listitem")
    expect(steps.nth(0)).to_have_attribute("aria-current", "step")
    expect(page.get_by_label("Mobile number")).to_have_accessible_description(
        "Enter your mobile number, and we'll text you a code. +86"
    )
    ask_for_code(page)
    expect(steps.nth(1)).to_have_attribute("aria-current", "step")
    expect(code_field(page)).to_have_accessible_description("We sent it to +86 138 0013 8000. Valid for 5 min.")


def test_boxes_and_focus_are_seen_in_forced_colours(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, forced_colors="active")
    ask_for_code(page)
    border = page.locator(".code i").first.evaluate("box => getComputedStyle(box).border")
    assert border.startswith("2px solid")


def test_a_form_of_an_earlier_visit_is_told_in_the_visitors_language(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, locale="zh-CN")
    page.context.clear_cookies()
    page.locator("#phone").fill("13800138000")
    page.locator("#phone").press("Enter")
    expect(problem(page)).to_have_text("页面已过期，或浏览器未启用 Cookie，请重试。")
    assert len(site.outbox) == 0


def test_what_was_typed_is_text(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.get_by_label("Mobile number").fill('"><script>alert(1)</script>')
    page.get_by_role("button", name="Send code").click()
    expect(problem(page)).to_be_visible()
    expect(page.get_by_label("Mobile number")).to_have_value('"><script>alert(1)</script>')
    ask_for_code(page)
    type_code(page, site.code)
    is_welcomed(page)
