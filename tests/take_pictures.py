"""Take the pictures of the documentation with a browser: `python tests/take_pictures.py`. A script, not a test."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from support.demo import DemoStage, demo_stage

PICTURES = Path(__file__).parents[1] / "examples" / "pictures"
NUMBER = "138 0013 8000"


def main() -> None:
    """Sign up as two people, and take the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for take in (demo, phone, inbox):
            with demo_stage() as stage:
                take(browser, stage).screenshot(path=PICTURES / f"{take.__name__}.png")
        browser.close()


def demo(browser: Browser, stage: DemoStage) -> Page:
    """Take the form for the code, partly filled in, with the message next to it."""
    page = browser.new_page(locale="en-US", viewport={"width": 1080, "height": 640})
    page.goto(f"{stage.base_url}/signup")
    form = page.frame_locator("iframe").first
    form.get_by_label("Mobile number").fill(NUMBER)
    form.get_by_role("button", name="Send").first.click()
    code = form.locator("input[name=code]")
    code.wait_for()
    code.press_sequentially(stage.code(NUMBER)[:4])
    page.wait_for_timeout(1500)  # The message arrives next to it, and then its receipt.
    return page


def phone(browser: Browser, stage: DemoStage) -> Page:
    """Take the Chinese page on a phone after a wrong code."""
    page = browser.new_page(locale="zh-CN", viewport={"width": 375, "height": 700}, color_scheme="dark")
    page.goto(f"{stage.base_url}/signup/phone")
    page.locator("input[name=phone]").fill(NUMBER)
    page.locator("input[name=phone]").press("Enter")
    page.locator("input[name=code]").wait_for()
    right = stage.code(NUMBER)
    page.locator("input[name=code]").fill(f"{right[:-1]}{(int(right[-1]) + 1) % 10}")
    page.get_by_role("alert").wait_for()
    return page


def inbox(browser: Browser, stage: DemoStage) -> Page:
    """Take a message with its details."""
    phone(browser, stage).close()
    page = browser.new_page(locale="en-US", viewport={"width": 375, "height": 700})
    page.goto(stage.base_url)
    page.get_by_text(re.compile("^验证码|【")).first.wait_for()
    page.locator("summary").filter(has_text=re.compile("detail|request", re.IGNORECASE)).first.click()
    return page


if __name__ == "__main__":
    main()
