"""`otpkit demo` in a real browser: sign up on one side, read the message on the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import FrameLocator, Page, expect
from support.demo import DemoStage, demo_stage

from otpkit import normalize
from otpkit.cli.attack import Attack
from otpkit.cli.demo import EXAMPLES
from otpkit.languages import texts

Open = Callable[..., Page]
TIMEOUT_MS = 20_000  # for what takes many requests, or a proof of work


@pytest.fixture
def stage() -> Iterator[DemoStage]:
    with demo_stage() as stage:
        yield stage


def sides(page: Page) -> tuple[FrameLocator, FrameLocator]:
    return page.frame_locator("iframe >> nth=0"), page.frame_locator("iframe >> nth=1")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_person_signs_up_with_the_inbox_beside(stage: DemoStage, open_page: Open, scripts: bool) -> None:
    page = open_page(f"{stage.base_url}/signup", java_script_enabled=scripts)
    signup, inbox = sides(page)
    signup.get_by_label("Mobile number").fill("13800138000")
    signup.get_by_label("Mobile number").press("Enter")
    expect(signup.get_by_label("6-digit code")).to_be_visible()
    if not scripts:
        page.reload()  # With scripts, or after a while, the inbox reloads by itself.
    message = inbox.get_by_text("Your otpkit code is")
    expect(message).to_be_visible()
    found = re.search(r"[0-9]{6}", message.inner_text())
    assert found
    signup.get_by_label("6-digit code").click()
    page.keyboard.type(found[0])
    if not scripts:
        signup.get_by_label("6-digit code").press("Enter")
    if scripts:
        expect(signup.get_by_label("Your name")).to_be_focused()
    signup.get_by_label("Your name").fill("Ada")
    signup.get_by_label("Your name").press("Enter")
    expect(signup.get_by_role("heading")).to_have_text("Account created")
    expect(signup.get_by_text("Welcome, Ada!")).to_be_visible()
    page.reload()
    expect(signup.get_by_text("Welcome, Ada!")).to_be_visible()


def test_the_whole_page_follows_the_language_of_the_form(stage: DemoStage, open_page: Open) -> None:
    page = open_page(f"{stage.base_url}/signup")
    sides(page)[0].get_by_role("link", name="中文").click()
    expect(page).to_have_title("otpkit 演示")
    expect(sides(page)[0].get_by_role("heading")).to_have_text("注册")


def test_the_sides_are_stacked_on_a_narrow_screen(stage: DemoStage, open_page: Open) -> None:
    page = open_page(f"{stage.base_url}/signup", viewport={"width": 320, "height": 640})
    above, below = (page.locator("iframe").nth(n).bounding_box() for n in (0, 1))
    assert above
    assert below
    assert above["x"] == below["x"] == 0
    assert above["width"] == below["width"] == 320
    assert above["y"] + above["height"] <= below["y"] + 1
    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_demonstration_is_accessible(
    stage: DemoStage, open_page: Open, shut_out: Callable[[Page], list[str]], look: str
) -> None:
    page = open_page(f"{stage.base_url}/signup", color_scheme=look)
    expect(sides(page)[0].get_by_label("Mobile number")).to_be_visible()
    assert shut_out(page) == []
    page.goto(f"{stage.base_url}/signup/account")
    page.get_by_label("Mobile number").fill("13800138000")
    page.keyboard.press("Enter")
    expect(page.get_by_label("6-digit code")).to_be_focused()
    page.keyboard.type(stage.code("+8613800138000"))
    expect(page.get_by_label("Your name")).to_be_focused()
    assert shut_out(page) == []
    page.keyboard.type("Ada\n")
    expect(page.get_by_role("heading")).to_have_text("Account created")
    assert shut_out(page) == []


PLAIN = re.compile(r"\{[a-z]*\}").split
# These names from the requests are the same in every language.
TECHNICAL = {"code", "Code", "Id"}
# All text that a page shows or reads aloud, without the names of other languages and the request as it was sent.
SHOWN = """body => {
  const copy = body.cloneNode(true);
  for (const each of copy.querySelectorAll("script, style, pre, code, [hreflang], #api")) each.remove();
  const names = ["aria-label", "title", "placeholder", "alt", "data-text", "data-over", "data-news"];
  const all = [copy, ...copy.querySelectorAll("*")];
  const read = all.flatMap((each) => names.map((name) => each.getAttribute(name) ?? ""));
  return [copy.textContent, ...read].join(" | ");
}"""


def leaves(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    else:
        for each in tree.values() if isinstance(tree, Mapping) else tree:
            yield from leaves(each)


def words(language: str) -> set[str]:
    """Return the parts between the placeholders of a language's texts for the demo."""
    trees = [texts(language)[name] for name in ("demo", "pages", "inbox")]
    parts = {part.strip(" .,;:") for tree in trees for text in leaves(tree) for part in PLAIN(text)}
    return {part for part in parts if len(part) > 3}


@pytest.mark.parametrize(("language", "locale"), [("en", "en-GB"), ("zh", "zh-CN")])
def test_demo_is_in_one_language(stage: DemoStage, open_page: Open, language: str, locale: str) -> None:
    """All text that is shown or read aloud, from the first form to the account, is in the page's language."""
    page = open_page(f"{stage.base_url}/signup", locale=locale)
    signup, inbox = sides(page)
    shown = [page.locator("body").evaluate(SHOWN)]

    def look() -> None:
        for frame in (signup, inbox):
            expect(frame.locator("html")).to_have_attribute("lang", re.compile(f"^{language}"))
            shown.append(frame.locator("body").evaluate(SHOWN))

    look()
    signup.locator("#phone").fill("13800138000")
    signup.locator("#phone").press("Enter")
    expect(signup.locator("#code")).to_be_visible()
    expect(inbox.locator("[data-part=status].delivered")).to_be_visible()
    look()
    signup.locator("#code").fill(stage.code("+8613800138000"))
    expect(signup.locator("#name")).to_be_visible()
    look()
    signup.locator("#name").fill("Ada")
    signup.locator("#name").press("Enter")
    expect(signup.locator("#name")).to_have_count(0)
    look()
    chinese = re.compile("[\u4e00-\u9fff]")
    for text in shown:
        if language == "en":
            assert not chinese.search(text), text
        else:
            assert chinese.search(text), text
            foreign = {
                each for each in words("en") - words("zh") - TECHNICAL if re.search(rf"\b{re.escape(each)}\b", text)
            }
            assert not foreign, text


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_switch_of_the_demo_changes_all_of_it(stage: DemoStage, open_page: Open, scripts: bool) -> None:
    page = open_page(f"{stage.base_url}/signup", java_script_enabled=scripts)
    page.get_by_role("link", name="中文").click()
    expect(page).to_have_title("otpkit 演示")
    signup, inbox = sides(page)
    expect(signup.get_by_role("heading")).to_have_text("注册")
    expect(inbox.get_by_role("heading", level=1)).to_have_text("收件箱")


@pytest.mark.parametrize(
    ("locale", "look", "width"), [("en-US", "light", 1080), ("zh-CN", "dark", 375)], ids=["wide", "narrow"]
)
def test_figures_follow_what_happens(
    stage: DemoStage, open_page: Open, shut_out: Callable[[Page], list[str]], locale: str, look: str, width: int
) -> None:
    """They change while the page is open, and a page without scripts has those of its time."""
    options = {"locale": locale, "color_scheme": look, "viewport": {"width": width, "height": 700}}
    page = open_page(f"{stage.base_url}/signup", **options)
    language = locale[:2]
    figures, t = page.locator("#figures"), texts(language)["demo"]["figures"]
    signup, _ = sides(page)

    def shown(*values: str) -> None:
        for name, value in zip(("sent", "verified", "conversion", "cost"), values, strict=True):
            expect(figures.locator(f"#{name}")).to_have_text(value)

    expect(figures.get_by_role("heading")).to_have_text(t["title"])
    expect(figures.locator("dt")).to_have_text([t["sent"], t["verified"], t["conversion"], t["cost"]])
    shown("0", "0", "–", "0 CNY")
    signup.locator("#phone").fill("13800138000")
    signup.locator("#phone").press("Enter")
    expect(signup.locator("#code")).to_be_visible()
    shown("1", "0", "0%", "0.045 CNY")
    signup.locator("#code").fill(stage.code("+8613800138000"))
    shown("1", "1", "100%", "0.045 CNY")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert shut_out(page) == []
    stage.clock.advance(24 * 3600)
    shown("0", "0", "–", "0 CNY")


def test_figures_need_no_scripts(stage: DemoStage, open_page: Open) -> None:
    page = open_page(f"{stage.base_url}/signup", java_script_enabled=False)
    sides(page)[0].get_by_label("Mobile number").fill("13800138000")
    sides(page)[0].get_by_label("Mobile number").press("Enter")
    expect(sides(page)[0].get_by_label("6-digit code")).to_be_visible()
    page.reload()
    expect(page.locator("#figures #sent")).to_have_text("1")


@pytest.mark.parametrize("width", [320, 1080])
def test_person_signs_up_during_an_attack(open_page: Open, shut_out: Callable[[Page], list[str]], width: int) -> None:
    """The guard stops the script's messages, and the person's browser computes the captcha by itself."""
    with demo_stage(Attack(requests=100_000, pace=0.05)) as stage:
        page = open_page(f"{stage.base_url}/signup", viewport={"width": width, "height": 700})
        signup, _ = sides(page)
        signup.get_by_label("Mobile number").fill("13800138000")
        page.get_by_role("button", name="Start an attack").click()
        expect(page.locator("#captchas")).to_have_text(re.compile("[1-9]"), timeout=TIMEOUT_MS)
        status = page.locator("#attack").get_by_role("status")
        expect(status).to_contain_text("The guard now asks every visitor for a captcha.")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert shut_out(page) == []
        expect(signup.get_by_label("Mobile number")).to_have_value("13800138000")  # The page was not loaded again.
        signup.get_by_label("Mobile number").press("Enter")
        expect(signup.get_by_label("6-digit code")).to_be_visible(timeout=TIMEOUT_MS)
        signup.get_by_label("6-digit code").fill(stage.code("+8613800138000"))
        signup.get_by_label("Your name").fill("Ada")
        signup.get_by_label("Your name").press("Enter")
        expect(signup.get_by_text("Welcome, Ada!")).to_be_visible(timeout=TIMEOUT_MS)
        assert stage.attack.is_running, "the sign-up must have been during the attack"
        page.get_by_role("button", name="Stop the attack").click()
        expect(page.get_by_role("button", name="Start an attack")).to_be_visible(timeout=TIMEOUT_MS)
        expect(status).to_contain_text("The script has stopped.")
        assert not stage.attack.is_running
        assert 0 < stage.attack.counts.messages < 30 < stage.attack.counts.requests
        assert page.locator("#requests").inner_text() == str(stage.attack.counts.requests)


@pytest.mark.parametrize(("language", "locale"), [("en", "en-GB"), ("zh", "zh-CN")])
def test_attack_ends_by_itself(open_page: Open, language: str, locale: str) -> None:
    with demo_stage(Attack(requests=30, pace=0.01)) as stage:
        page = open_page(f"{stage.base_url}/signup", locale=locale)
        phases = texts(language)["demo"]["attack"]["phases"]
        status = page.locator("#attack").get_by_role("status")
        expect(status).to_have_text(phases["ready"])
        page.locator("#attack button").click()
        expect(status).to_have_text(phases["over"], timeout=TIMEOUT_MS)
        expect(page.locator("#requests")).to_have_text("30")
        page.reload()
        expect(status).to_have_text(phases["over"])
        expect(page.locator("#messages")).to_have_text(str(len(stage.sandbox.messages())))


def test_attack_is_started_without_scripts(open_page: Open) -> None:
    with demo_stage(Attack(requests=100_000)) as stage:
        page = open_page(f"{stage.base_url}/signup", java_script_enabled=False)
        page.get_by_role("button", name="Start an attack").click()
        page.get_by_role("button", name="Stop the attack").click()
        page.wait_for_url(f"{stage.base_url}/signup")


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_times_are_those_of_the_visitors_clock(stage: DemoStage, open_page: Open, zone: str) -> None:
    page = open_page(f"{stage.base_url}/signup", timezone_id=zone)
    signup, inbox = sides(page)
    signup.get_by_label("Mobile number").fill("13800138000")
    signup.get_by_label("Mobile number").press("Enter")
    sent = inbox.locator("time").first
    expect(sent).to_be_visible()
    at = datetime.fromtimestamp(stage.sandbox.messages()[0].sent_at, UTC).astimezone(ZoneInfo(zone))
    expect(sent).to_have_text(f"{at:%m/%d, %H:%M:%S}")
    expect(sent).to_have_attribute("title", zone)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_each_region_takes_its_example(stage: DemoStage, open_page: Open, scripts: bool) -> None:
    page = open_page(f"{stage.base_url}/signup/phone", java_script_enabled=scripts)
    values = [each.get_attribute("value") for each in page.get_by_label("Country or region").locator("option").all()]
    assert set(values) == set(EXAMPLES)
    for region, number in EXAMPLES.items():
        page.get_by_label("Country or region").select_option(region)
        if scripts or region == "CN":  # Without a script, the page keeps its first region's example.
            expect(page.locator("#example")).to_have_text(f"For example: {number}")
        page.get_by_label("Mobile number").fill(number)
        page.get_by_label("Mobile number").press("Enter")
        expect(page.get_by_label("6-digit code")).to_be_visible()
        assert stage.code(normalize(number, region, regions=set(EXAMPLES)))
        page.get_by_role("button", name="Use another number").click()
        expect(page.get_by_label("Mobile number")).to_be_visible()
