"""A send that needs a captcha, in a real browser: by mouse, by keyboard, in both languages, and without scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from page_site import PageSite, page_site
from page_visitor import PHONE, code_field, is_welcomed, problem, type_code
from playwright.sync_api import Page, expect

from otpkit import Decision, Guard, Policy, RiskContext
from otpkit.captcha import ProofOfWork, Turnstile
from otpkit.sandbox import Sandbox, running

Open = Callable[..., Page]
EASY, SECONDS, SLOW = 20_000, 1_500_000, 60_000_000  # hashes: at once, some seconds, and longer than any test
WORK_MS = 20_000


def ask_for_captcha(_: RiskContext) -> Decision:
    """Ask for a captcha where a site's own judgement does."""
    return Decision("captcha", ("test",))


class LateWork(ProofOfWork):
    """A proof of work whose solution is always the last number."""

    def _first_format(self, tag: str, expires: int, number: int) -> dict[str, object]:
        return super()._first_format(tag, expires, self.difficulty)


def guard(difficulty: int = EASY, **options: object) -> Guard:
    """Return a guard that asks for a proof of work, after the first try."""
    return Guard("enforce", LateWork(difficulty), **{"risk": ask_for_captcha, **options})  # type: ignore[arg-type]


@pytest.fixture
def site() -> Iterator[PageSite]:
    with page_site(guard=guard()) as site:
        yield site


@pytest.fixture
def always() -> Iterator[PageSite]:
    with page_site(policy=Policy(regions={"CN", "HK"}), guard=guard(ask="always", risk=None)) as site:
        yield site


def send(page: Page) -> None:
    page.get_by_role("button", name="Send code").click()


def test_send_goes_on_after_the_work(site: PageSite, open_page: Open) -> None:
    """The visitor has asked for the code already, so nothing more is asked of them."""
    page = open_page(site.url)
    page.get_by_label("Mobile number").fill(PHONE)
    send(page)
    expect(code_field(page)).to_be_focused()
    type_code(page, site.code)
    is_welcomed(page)
    assert len(site.outbox) == 1


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_work_begins_with_the_page(always: PageSite, open_page: Open, by: str) -> None:
    page = open_page(f"{always.url}?next=/account")
    field = page.get_by_label("Mobile number")
    expect(page.get_by_role("group", name="Check that you are a person")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Security check by your device")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("The check is done.")
    if by == "mouse":
        field.fill(PHONE)
        send(page)
    else:
        expect(field).to_be_focused()
        page.keyboard.type(f"{PHONE}\n")
    expect(code_field(page)).to_be_focused()
    assert "next=%2Faccount" in page.url
    assert len(always.outbox) == 1


def test_button_waits_for_the_work(open_page: Open) -> None:
    with page_site(guard=guard(SECONDS, ask="always", risk=None)) as site:
        page = open_page(site.url)
        page.get_by_label("Mobile number").fill(PHONE)
        send(page)
        expect(page.get_by_role("status")).to_have_text(re.compile("as soon as the check is done"))
        assert len(site.outbox) == 0
        expect(code_field(page)).to_be_focused(timeout=WORK_MS)
        assert len(site.outbox) == 1


def test_page_tells_of_the_work_and_keeps_what_was_typed(open_page: Open) -> None:
    policy = Policy(regions={"CN", "HK"})
    with page_site(policy=policy, guard=guard(SLOW)) as site:
        page = open_page(f"{site.url}?next=/account")
        page.get_by_label("Country or region").select_option("HK")
        page.get_by_label("Mobile number").fill("6123 4567")
        send(page)
        progress = page.get_by_role("progressbar", name="Security check by your device")
        expect(progress).to_be_visible()
        expect(page.get_by_text("a short security check by your device")).to_be_visible()
        expect(problem(page)).to_have_count(0)
        expect(progress).not_to_have_js_property("value", 0)
        expect(page.get_by_label("Mobile number")).to_have_value("6123 4567")
        expect(page.get_by_label("Country or region")).to_have_value("HK")
        page.get_by_role("link", name="中文").click()
        expect(page.get_by_role("progressbar", name="安全检测")).to_be_visible()
        expect(page.get_by_label("手机号")).to_have_value("6123 4567")
        expect(page.get_by_label("国家/地区")).to_have_value("HK")
        assert "next=%2Faccount" in page.url
        assert len(site.outbox) == 0


def test_number_can_be_corrected_during_the_work(open_page: Open) -> None:
    """A form that the visitor changes is not sent by itself."""
    with page_site(guard=guard(SECONDS)) as site:
        page = open_page(site.url)
        page.get_by_label("Mobile number").fill(PHONE)
        send(page)
        page.get_by_label("Mobile number").press_sequentially("1")
        expect(page.get_by_role("status").last).to_have_text("The check is done.", timeout=WORK_MS)
        assert len(site.outbox) == 0
        page.get_by_label("Mobile number").fill("139 0013 9000")
        send(page)
        expect(code_field(page)).to_be_focused()
        assert [each.phone for each in site.outbox] == ["+8613900139000"]


def test_resend_shows_the_captcha_in_its_form(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.get_by_label("Mobile number").fill(PHONE)
    send(page)
    expect(code_field(page)).to_be_focused()
    site.clock.advance(61)
    page.goto(site.url)
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_text("We sent the same code again")).to_be_visible()
    assert len(site.outbox) == 2


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_captcha_shuts_nobody_out(
    open_page: Open, shut_out: Callable[[Page], list[str]], locale: str, look: str
) -> None:
    with page_site(guard=guard(SLOW)) as site:
        page = open_page(site.url, locale=locale, color_scheme=look, viewport={"width": 320, "height": 568})
        with page.expect_navigation():
            page.locator("#phone").fill(PHONE)
            page.locator("#phone").press("Enter")
        expect(page.get_by_role("progressbar")).to_be_visible()
        assert shut_out(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_page_without_scripts_says_what_to_do(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, java_script_enabled=False)
    page.get_by_label("Mobile number").fill(PHONE)
    send(page)
    expect(page.get_by_text("This check needs JavaScript.")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_label("Mobile number")).to_have_value(PHONE)
    send(page)  # As often as one likes.
    expect(page.get_by_text("This check needs JavaScript.")).to_be_visible()
    assert len(site.outbox) == 0


def test_work_is_done_again_where_it_is_too_old(always: PageSite, open_page: Open) -> None:
    page = open_page(always.url)
    for _ in range(3):
        expect(page.get_by_role("status")).to_have_text("The check is done.")
        always.clock.advance(601)
        page.get_by_label("Mobile number").fill(PHONE)
        send(page)
        expect(problem(page)).to_have_text("That check was not passed or is too old. Please try it again.")
        expect(page.get_by_label("Mobile number")).to_have_value(PHONE)
    expect(page.get_by_role("status")).to_have_text("The check is done.")
    send(page)
    expect(code_field(page)).to_be_focused()


@pytest.fixture
def turnstile_site() -> Iterator[PageSite]:
    """Serve pages with Turnstile, whose widget and verification are the sandbox's."""
    with running(Sandbox()) as address:
        captcha = Turnstile("sandbox", "sandbox-secret", base_url=address.base_url)
        policy = Policy(regions={"CN", "HK"})
        with page_site(policy=policy, guard=Guard("enforce", captcha, risk=ask_for_captcha)) as site:
            yield site


WORDS = {
    "en-US": ("I am a person", "One more step: please complete the check below", "Check that you are a person"),
    "zh-CN": ("我不是机器人", "还差一步：请先完成下方的人机验证", "人机验证"),
}


@pytest.mark.parametrize("locale", WORDS)
@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_widget_passes(turnstile_site: PageSite, open_page: Open, locale: str, by: str) -> None:
    label, needed, name = WORDS[locale]
    page = open_page(f"{turnstile_site.url}?next=/account", locale=locale)
    page.locator("#region").select_option("HK")
    page.locator("#phone").fill("6123 4567")
    page.locator("#phone").press("Enter")
    expect(page.get_by_text(needed)).to_be_visible()
    expect(page.get_by_role("group", name=name)).to_be_visible()
    expect(page.locator("#phone")).to_be_focused()
    expect(page.locator("#phone")).to_have_value("6123 4567")
    expect(page.locator("#region")).to_have_value("HK")
    box = page.frame_locator("iframe").get_by_role("checkbox", name=label)
    expect(box).to_be_visible()
    if by == "mouse":
        box.click()
        page.locator("button").first.click()
    else:
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").last).to_have_text(re.compile("first|请先"))
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        expect(page.get_by_role("status").last).to_have_text(re.compile("is done|已完成"))
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    expect(page.locator("#code")).to_be_focused()
    assert "next=%2Faccount" in page.url
    assert [each.phone for each in turnstile_site.outbox] == ["+85261234567"]


@pytest.mark.parametrize("locale", WORDS)
def test_widget_shuts_nobody_out(
    turnstile_site: PageSite, open_page: Open, shut_out: Callable[[Page], list[str]], locale: str
) -> None:
    page = open_page(turnstile_site.url, locale=locale, viewport={"width": 320, "height": 568})
    page.locator("#phone").fill(PHONE)
    page.locator("#phone").press("Enter")
    expect(page.frame_locator("iframe").get_by_role("checkbox")).to_be_visible()
    assert shut_out(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_solved_widget_is_kept_for_a_corrected_number(turnstile_site: PageSite, open_page: Open) -> None:
    """An answer is used up only by a send."""
    page = open_page(turnstile_site.url)
    page.get_by_label("Mobile number").fill(PHONE)
    send(page)
    page.frame_locator("iframe").get_by_role("checkbox").click()
    expect(page.get_by_role("status").last).to_have_text("The check is done.")
    page.get_by_label("Mobile number").fill("12")
    send(page)
    expect(problem(page)).to_have_text("Please enter a valid mobile number.")
    expect(page.get_by_role("status")).to_have_text("The check is done.")
    page.get_by_label("Mobile number").fill(PHONE)
    send(page)
    expect(code_field(page)).to_be_focused()


def test_script_that_does_not_load_is_told(open_page: Open) -> None:
    with running(Sandbox()) as address:
        captcha = Turnstile("sandbox", "sandbox-secret", base_url=address.base_url)
    with page_site(guard=Guard("enforce", captcha, ask="always")) as site:
        page = open_page(site.url)
        expect(page.get_by_role("status")).to_have_text(re.compile("The check could not run. Please reload"))
