"""Take the pictures of the documentation with a browser: `python tests/take_pictures.py`. A script, not a test."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from support.console import OPERATOR_KEY, Seen, Standing, figures_of, guarded, nothing, serving_console, spent
from support.demo import DemoStage, demo_stage
from support.servers import Server, find_redis, running

from otpkit import StoreUnavailableError

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
        with running(find_redis() or "redis-server") as server:
            for name, page in console_pages(browser, server):
                page.screenshot(path=PICTURES / f"console-{name}.png", full_page=not name.endswith("phone"))
                page.context.close()
        browser.close()


def console_pages(browser: Browser, server: Server) -> Iterator[tuple[str, Page]]:
    """Yield the pages of the console with the names of their pictures."""
    at = datetime(2026, 3, 2, 14, 20, tzinfo=UTC)
    usual = Seen(stats=figures_of(), spending=(spent(),), guard_report=guarded(attacked=False))
    with console(server, usual) as opened:
        yield "overview", opened(browser)
        yield "dark", opened(browser, color_scheme="dark")
        yield "chinese", opened(browser, locale="zh-CN")
        yield "phone", opened(browser, viewport={"width": 375, "height": 740})
        yield "sign-in", opened(browser, "/sign-in")
        page = opened(browser, "/number")
        page.get_by_label("Phone number").fill(NUMBER)
        page.get_by_role("button", name="Look up").click()
        act(page, "Unblock", "Called from the shop in Hangzhou, knows the last order")
        page.locator("summary", has_text="Erase").click()
        yield "number", page
        page = opened(browser, "/number", color_scheme="dark", viewport={"width": 375, "height": 740})
        page.get_by_label("Phone number").fill(NUMBER)
        page.get_by_role("button", name="Look up").click()
        yield "number-phone", page
        yield "audit", opened(browser, "/audit")
    until = at + timedelta(minutes=9)
    remedy = "the developer must pass a region that the account may send to"
    resting = Standing(name="twilio", state="open", failures=3, open_until=until, last_error="21408", last_error_at=at)
    attack = Seen(
        stats=figures_of(verified=140, rejected=30),
        spending=(spent("338.75", "60.00", refused=41),),
        guard_report=guarded(attacked=True),
        gateways=(Standing(name="alidayu"), replace(resting, remedy=remedy)),
    )
    with console(server, attack) as opened:
        yield "attack", opened(browser)
        yield "attack-phone", opened(browser, viewport={"width": 375, "height": 1000}, color_scheme="dark")
        yield "guard", opened(browser, "/guard")
        yield "guard-phone", opened(browser, "/guard", viewport={"width": 375, "height": 1000}, locale="zh-CN")
        yield "gateways", opened(browser, "/gateways")
    with console(server, Seen(stats=nothing(), gateways=(Standing(name="alidayu"),)), budgets=[], guard=None) as opened:
        yield "empty", opened(browser)
    with console(server, Seen(stats=StoreUnavailableError("down"))) as opened:
        server.stop()
        yield "redis-down", opened(browser)


@contextmanager
def console(server: Server, seen: Seen, **options: Any) -> Iterator[Any]:
    """Serve the console, and yield a function that opens a page of it as an operator."""
    with serving_console(server.url, "pictures", seen, **options) as served:

        def opened(browser: Browser, path: str = "", **how: Any) -> Page:
            how = {"locale": "en-US", "timezone_id": "UTC", "viewport": {"width": 1280, "height": 800}} | how
            page = browser.new_context(**how).new_page()
            page.goto(f"{served.url}/sign-in")
            if path != "/sign-in":
                page.locator("#key").fill(OPERATOR_KEY)
                page.locator("#key").press("Enter")
                page.locator("[aria-current=page]").wait_for()
                page.goto(f"{served.url}{path}")
            return page

        yield opened


def act(page: Page, name: str, reason: str) -> None:
    """Carry out an action on a number."""
    details = page.locator("details", has=page.locator("summary", has_text=name))
    details.locator("summary").click()
    details.get_by_label("Reason").fill(reason)
    details.get_by_role("button", name=name).click()


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
