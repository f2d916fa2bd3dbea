"""`otpkit demo` in a real browser: sign up on one side, read the message on the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import FrameLocator, Page, expect
from support.demo import DemoStage, demo_stage

Open = Callable[..., Page]


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
        page.reload()  # with them, or after a while, the inbox looks by itself
    message = inbox.get_by_text("【阿里大鱼】").or_(inbox.get_by_text("验证码")).first
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
def test_the_demonstration_shuts_nobody_out(
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
