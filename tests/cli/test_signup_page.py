"""The sign-up page in a real browser: a person types a number, reads the SMS beside it, and types its code."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator

import pytest
from servers import unavailable
from signup_page import Site, site, wrong

from otpkit.sandbox import Sandbox

if "CI" not in os.environ:  # there, a test that is skipped would pass for a tested page
    pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Browser, Page, expect, sync_playwright

ARGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium: `OTPKIT_TEST_CHROMIUM`, or the one on the PATH."""
    chromium = os.environ.get("OTPKIT_TEST_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        unavailable("no chromium on the PATH; install it, or set OTPKIT_TEST_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS.split())
        yield browser
        browser.close()


@pytest.fixture
def served() -> Iterator[Site]:
    with site() as served:
        yield served


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def page(browser: Browser, served: Site, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened by a visitor who has not been there before."""
    context = browser.new_context(locale="en-US", java_script_enabled=request.param)
    context.set_default_timeout(20_000)
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda line: failures.append(line.text) if "Content Security Policy" in line.text else None)
    page.goto(served.url)
    yield page
    context.close()
    assert failures == []


def ask_for_a_code(page: Page, phone: str = "138 0013 8000") -> str:
    """Type a number, and return the code of the message that is then beside the form."""
    page.get_by_label("Mobile number").fill(phone)
    page.get_by_role("button", name="Send me a code").click()
    message = page.get_by_role("region", name="Messages on that phone").get_by_role("listitem").first
    found = re.search(r"验证码(\d{6})", message.inner_text())
    assert found
    return found[1]


def type_code(page: Page, code: str) -> None:
    field = page.get_by_label("Code from the message")
    field.fill(code)
    field.press("Enter")


def test_a_person_signs_up(page: Page) -> None:
    code = ask_for_a_code(page)
    type_code(page, wrong(code))
    expect(page.get_by_role("alert")).to_have_text("That code is not right. Attempts left: 4.")
    expect(page.get_by_label("Code from the message")).to_have_attribute("aria-invalid", "true")
    type_code(page, code)
    expect(page.get_by_role("status")).to_contain_text("+86 138 0013 8000")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_role("status")).to_contain_text("Account created")
    expect(page.get_by_role("status")).to_contain_text("Welcome, Ada!")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("Welcome, Ada!")


def test_a_code_that_is_typed_too_late_and_then_a_new_one(page: Page, served: Site) -> None:
    late = ask_for_a_code(page)
    served.clock.advance(301)
    type_code(page, late)
    expect(page.get_by_role("alert")).to_have_text("This code is no longer valid. Please request a new one.")
    page.get_by_role("button", name="Send it again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    type_code(page, served.code("13800138000"))
    expect(page.get_by_label("Your name")).to_be_focused()


def test_going_back_and_sending_a_form_again_changes_nothing(page: Page, served: Site) -> None:
    type_code(page, ask_for_a_code(page))
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Create the account").click()
    expect(page.get_by_role("status")).to_contain_text("Welcome, Ada!")
    page.go_back()
    page.go_back()
    if page.get_by_label("Code from the message").count():
        type_code(page, served.code("13800138000"))
    expect(page.get_by_role("status")).to_contain_text("Welcome, Ada!")
    assert len(served.sandbox.messages()) == 1


def test_a_double_click_sends_one_message(page: Page, served: Site) -> None:
    page.get_by_label("Mobile number").fill("13800138000")
    page.get_by_role("button", name="Send me a code").dblclick(no_wait_after=True)
    expect(page.get_by_label("Code from the message")).to_be_focused()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert sends(served.sandbox) == 1


def test_the_page_can_be_used_by_keyboard_alone(page: Page, served: Site) -> None:
    expect(page.get_by_label("Mobile number")).to_be_focused()
    page.keyboard.type("13800138000\n")
    expect(page.get_by_label("Code from the message")).to_be_focused()
    page.keyboard.type(f"{served.code('13800138000')}\n")
    expect(page.get_by_label("Your name")).to_be_focused()
    page.keyboard.type("Ada\n")
    expect(page.get_by_role("status")).to_contain_text("Welcome, Ada!")


def test_nothing_sticks_out_on_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    ask_for_a_code(page)
    box = page.get_by_role("main").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320


def sends(sandbox: Sandbox) -> object:
    return sandbox.stats()["sendSms"]["total"]
