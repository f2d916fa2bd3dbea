"""A real browser for the pages: Debian's Chromium, by Playwright, and axe-core for accessibility."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from support.servers import unavailable

if "CI" not in os.environ:  # In CI, a skipped test would count as a tested page.
    pytest.importorskip("playwright.sync_api")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ARGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
)
TIMEOUT_MS = 20_000


@pytest.fixture(scope="module")  # While it is open an event loop runs in this thread, so no async test could run.
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
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a URL as a new visitor, with options of `new_context`.

    Afterwards no page may have had a script error, or a violation of its Content-Security-Policy.
    """
    contexts: list[BrowserContext] = []
    failures: list[str] = []

    def open_page(url: str, **options: object) -> Page:
        context = browser.new_context(**{"locale": "en-US", **options})  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda line: failures.append(line.text) if "Content Security Policy" in line.text else None)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert failures == []


@pytest.fixture(scope="session")
def shut_out() -> Callable[[Page], list[str]]:
    """Return a function that checks a page with axe-core, and returns the violations."""
    axe = Axe()

    def shut_out(page: Page) -> list[str]:
        found = axe.run(page).response["violations"]
        return [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]

    return shut_out
