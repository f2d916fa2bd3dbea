"""The actions of a person on the pages."""

from __future__ import annotations

from page_site import PageSite
from playwright.sync_api import Locator, Page, expect

PHONE = "138 0013 8000"


def ask_for_code(page: Page, phone: str = PHONE) -> None:
    """Type a number, and wait for the form for the code."""
    page.get_by_label("Mobile number").fill(phone)
    page.get_by_role("button", name="Send code").click()
    expect(code_field(page)).to_be_focused()


def code_field(page: Page) -> Locator:
    """Return the field for the code."""
    return page.get_by_label("-digit code")


def type_code(page: Page, code: str) -> None:
    """Type a code key by key. The last digit sends it."""
    code_field(page).press_sequentially(code)


def is_welcomed(page: Page) -> None:
    """Expect the application's own page."""
    expect(page.get_by_role("heading")).to_have_text("Welcome")


def problem(page: Page) -> Locator:
    """Return the problem that the page shows."""
    return page.get_by_role("alert")


def come_back_after(site: PageSite, page: Page, seconds: float) -> None:
    """Open the page again, some time later."""
    site.clock.advance(seconds)
    page.goto(site.url)
