"""The console in a real browser: who may use it, what it shows, what its forms do, and for everyone to read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from support.console import (
    OPERATOR_KEY,
    VIEWER_KEY,
    Seen,
    ServedConsole,
    Standing,
    figures_of,
    guarded,
    nothing,
    serving_console,
)
from support.secrets import SECRET
from support.servers import find_redis, running, unavailable
from support.service import TEMPLATE

from otpkit import OTP, Guard
from otpkit.testing import Outbox

PHONE = "+8613800138000"
SPELT = "138 0013 8000"
PATHS = ["", "/number", "/guard", "/gateways", "/audit"]

Open = Callable[..., Page]


@pytest.fixture
def seen() -> Seen:
    return Seen(stats=figures_of())


@pytest.fixture
def console(redis_url: str, namespace: str, seen: Seen) -> Iterator[ServedConsole]:
    with serving_console(redis_url, namespace, seen) as served:
        yield served


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def beside(redis_url: str, namespace: str, outbox: Outbox) -> Iterator[OTP]:
    """Return an OTP with the store of the console."""
    with OTP(redis_url, outbox, TEMPLATE, SECRET, namespace=namespace, guard=Guard("enforce")) as otp:
        yield otp


def sign_in(
    console: ServedConsole, open_page: Open, key: str = OPERATOR_KEY, path: str = "", **options: object
) -> Page:
    page = open_page(console.url, **options)
    page.locator("#key").fill(key)
    page.locator("#key").press("Enter")
    expect(page.locator("nav [aria-current=page]")).to_have_count(1)
    if path:
        page.goto(f"{console.url}{path}")
    return page


def look_up(page: Page, phone: str = SPELT) -> None:
    page.get_by_label("Phone number").fill(phone)
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("heading", name="+*********8000")).to_be_visible()


def act(page: Page, name: str, reason: str = "The user called support") -> None:
    details = page.locator("details", has=page.locator("summary", has_text=name))
    details.locator("summary").click()
    if reason:
        details.get_by_label("Reason").fill(reason)
    details.get_by_role("button", name=name).click()


class TestSignIn:
    def test_opens_the_page_that_was_asked_for(self, console: ServedConsole, open_page: Open) -> None:
        page = open_page(f"{console.url}/guard")
        expect(page).to_have_url(re.compile("/sign-in"))
        page.get_by_label("Your key").fill(OPERATOR_KEY)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{console.url}/guard")
        expect(page.get_by_text("ann, may act")).to_be_visible()

    def test_refuses_wrong_keys_and_waits_after_five(
        self, console: ServedConsole, open_page: Open, beside: OTP
    ) -> None:
        page = open_page(console.url)
        for _ in range(5):
            page.get_by_label("Your key").fill("a-wrong-key")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_have_text("This key is not known.")
        page.get_by_label("Your key").fill(OPERATOR_KEY)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Too many wrong keys")
        assert "key_rejected" in {entry.action for entry in beside.audit().entries}

    def test_keeps_the_key_out_of_the_page_and_the_cookies(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page)
        cookies = {each["name"]: each for each in page.context.cookies()}
        session = cookies["otpkit_console"]
        assert (session["httpOnly"], session["sameSite"], session["path"]) == (True, "Strict", "/console")
        assert OPERATOR_KEY not in page.content() + str(cookies)

    def test_ends_with_sign_out(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("status")).to_have_text("You are signed out.")
        page.goto(console.url)
        expect(page).to_have_url(re.compile("/sign-in"))


class TestOverview:
    def test_answers_three_questions_in_words(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page)
        tiles = page.locator(".tile")
        expect(tiles).to_have_count(3)
        expect(tiles.nth(0)).to_contain_text("Are codes arriving?")
        expect(tiles.nth(0).locator(".verdict")).to_contain_text("Yes")
        expect(tiles.nth(1).locator(".verdict")).to_contain_text("Within budget")
        expect(tiles.nth(2).locator(".verdict")).to_contain_text("No")

    def test_draws_each_hour(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page)
        expect(page.locator("svg.chart g")).to_have_count(24)
        page.locator("summary", has_text="The same as a table").click()
        expect(page.locator("[data-part=chart-table] tbody tr")).to_have_count(24)
        expect(page.get_by_role("cell", name="China")).to_have_count(0)
        expect(page.get_by_role("rowheader", name="China")).to_be_visible()

    def test_changes_by_itself_when_messages_flow(self, console: ServedConsole, seen: Seen, open_page: Open) -> None:
        page = sign_in(console, open_page)
        page.locator("summary", has_text="The same as a table").click()
        expect(page.locator(".verdict").first).to_contain_text("Yes")
        seen.stats = figures_of(sent=2000, conversion=0.2, rejected=3000)
        expect(page.locator(".verdict").first).to_contain_text("Some are not sent", timeout=15_000)
        expect(page.locator("[data-news]")).to_contain_text("Are codes arriving? Act now: Some are not sent")
        expect(page.locator("details").first).to_have_attribute("open", "")

    def test_pauses_by_its_button_and_while_hidden(self, console: ServedConsole, seen: Seen, open_page: Open) -> None:
        page = sign_in(console, open_page)
        page.get_by_role("button", name="Pause").click()
        before = len(seen.calls)
        page.wait_for_timeout(6000)
        assert len(seen.calls) == before
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.wait_for_timeout(500)
        assert len(seen.calls) > before
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
        page.wait_for_timeout(500)
        before = len(seen.calls)
        page.wait_for_timeout(6000)
        assert len(seen.calls) == before

    def test_shows_an_empty_store(self, console: ServedConsole, seen: Seen, open_page: Open) -> None:
        seen.stats = nothing()
        page = sign_in(console, open_page)
        expect(page.locator(".verdict").first).to_contain_text("Nothing was sent")
        expect(page.get_by_text("They appear here as they are sent.")).to_be_visible()
        seen.stats = figures_of()
        expect(page.locator("svg.chart g")).to_have_count(24, timeout=15_000)

    def test_shows_what_is_missing_when_a_call_fails(self, console: ServedConsole, seen: Seen, open_page: Open) -> None:
        seen.stats = RuntimeError("a bug")
        page = sign_in(console, open_page)
        expect(page.get_by_text("it could not be read.")).to_have_count(4)
        expect(page.locator(".verdict").nth(2)).to_contain_text("No")
        assert "a bug" not in page.content()

    def test_shows_gateways_that_rest(self, console: ServedConsole, seen: Seen, open_page: Open) -> None:
        open_until = figures_of().until + timedelta(minutes=10)
        resting = Standing(name="twilio", state="open", failures=3, open_until=open_until, last_error="30003")
        seen.gateways = (seen.gateways[0], replace(resting, remedy="the user must switch the phone on"))
        page = sign_in(console, open_page)
        expect(page.locator(".verdict").first).to_contain_text("By other gateways")
        expect(page.locator(".resting")).to_contain_text("The user must switch the phone on")

    def test_needs_no_script(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page, java_script_enabled=False)
        expect(page.locator("svg.chart g")).to_have_count(24)
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        expect(page.locator("[data-part=updated]")).to_contain_text("UTC")
        page.get_by_role("link", name="7 days").click()
        expect(page).to_have_url(f"{console.url}?hours=168")


class TestRedisDown:
    @pytest.fixture
    def down(self, namespace: str, seen: Seen) -> Iterator[tuple[ServedConsole, Callable[[], None]]]:
        binary = find_redis() or shutil.which("valkey-server")
        if binary is None:
            unavailable("no redis-server")
        with running(binary) as server, serving_console(server.url, namespace, seen) as served:
            yield served, server.stop

    def test_each_page_opens_and_says_so(
        self, down: tuple[ServedConsole, Callable[[], None]], seen: Seen, open_page: Open
    ) -> None:
        console, stop = down
        stop()
        page = sign_in(console, open_page)
        expect(page.locator("[data-part=banner]")).to_contain_text("Redis does not answer.")
        expect(page.locator(".verdict").nth(2)).to_contain_text("Not known")
        for path in PATHS[1:]:
            assert page.goto(f"{console.url}{path}").status == 200  # type: ignore[union-attr]
        expect(page.get_by_text("Missing: Redis does not answer.")).to_be_visible()
        page.goto(f"{console.url}/number")
        look_up(page)
        act(page, "Unblock")
        expect(page.get_by_role("alert")).to_have_text("Nothing was done. Redis does not answer.")

    def test_wrong_keys_are_still_counted(
        self, down: tuple[ServedConsole, Callable[[], None]], open_page: Open
    ) -> None:
        console, stop = down
        stop()
        page = open_page(console.url)
        for _ in range(6):
            page.get_by_label("Your key").fill("a-wrong-key")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("Too many wrong keys")


class TestNumber:
    def test_is_never_in_an_address(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/number")
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        look_up(page)
        act(page, "Unblock")
        expect(page.get_by_role("status")).to_have_text("The number is unblocked.")
        assert not [each for each in addresses if "138" in each and "8000" in each]
        assert PHONE not in page.content()

    def test_unblock_lifts_the_block_and_writes_the_reason(
        self, console: ServedConsole, beside: OTP, open_page: Open
    ) -> None:
        page = sign_in(console, open_page, path="/number")
        look_up(page)
        expect(page.locator(".tag").first).to_have_text("Free")
        act(page, "Unblock", "Called from the shop in Hangzhou")
        expect(page.get_by_role("status")).to_have_text("The number is unblocked.")
        row = page.locator(".audit tbody tr").first
        expect(row).to_contain_text("Number unblocked")
        expect(row).to_contain_text("Called from the shop in Hangzhou")
        entry = beside.audit(PHONE).entries[0]
        assert (entry.action, entry.actor, entry.outcome) == ("unblocked", "ann", "done")

    def test_revoke_ends_a_live_code(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        beside.issue(PHONE, "login")
        page = sign_in(console, open_page, path="/number")
        look_up(page)
        expect(page.get_by_role("rowheader", name="login")).to_be_visible()
        details = page.locator("details", has=page.locator("summary", has_text="Revoke a code"))
        details.locator("summary").click()
        details.get_by_label("Purpose").select_option("login")
        details.get_by_label("Reason").fill("Sent to the wrong person")
        details.get_by_role("button", name="Revoke a code").click()
        expect(page.get_by_text("No code is live.")).to_be_visible()
        assert beside.status(PHONE, "login") is None

    def test_forget_devices_ends_device_tokens(
        self, console: ServedConsole, beside: OTP, outbox: Outbox, open_page: Open
    ) -> None:
        beside.issue(PHONE)
        token = beside.verify(PHONE, outbox[-1].code).device
        assert beside.check_device(token, PHONE) is not None
        page = sign_in(console, open_page, path="/number")
        look_up(page)
        act(page, "Forget devices")
        expect(page.get_by_role("status")).to_have_text("The devices are forgotten.")
        assert beside.check_device(token, PHONE) is None
        assert beside.audit(PHONE).entries[0].action == "devices_forgotten"

    def test_erase_asks_for_confirmation(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        beside.issue(PHONE)
        page = sign_in(console, open_page, path="/number")
        look_up(page)
        act(page, "Erase")
        expect(page.get_by_role("status")).to_have_count(0)
        assert beside.status(PHONE) is not None
        page.get_by_label("Yes, delete everything").check()
        page.get_by_role("button", name="Erase").click()
        expect(page.get_by_role("status")).to_have_text("Everything about the number is deleted.")
        assert beside.status(PHONE) is None

    def test_an_action_needs_a_reason(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/number")
        look_up(page)
        page.evaluate("document.querySelectorAll('[name=reason]').forEach((each) => each.removeAttribute('required'))")
        act(page, "Unblock", "")
        expect(page.get_by_role("alert")).to_contain_text("Nothing was done.")
        assert beside.audit(PHONE).entries == ()

    def test_each_tab_acts_on_its_own_number(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/number")
        look_up(page)
        other = page.context.new_page()
        other.goto(f"{console.url}/number")
        other.get_by_label("Phone number").fill("13900139000")
        other.get_by_role("button", name="Look up").click()
        expect(other.get_by_role("heading", name="+*********9000")).to_be_visible()
        act(page, "Unblock")
        expect(page.get_by_role("heading", name="+*********8000")).to_be_visible()
        assert len(beside.audit(PHONE).entries) == 1
        assert beside.audit("13900139000").entries == ()

    def test_what_is_no_number_is_refused(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/number")
        page.get_by_label("Phone number").fill("12")
        page.get_by_role("button", name="Look up").click()
        expect(page.get_by_role("alert")).to_have_text("This is not a mobile number that is served here.")


class TestGuardAndGateways:
    def test_override_blocks_and_clears_a_region(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/guard")
        for action, text in (("block", "The scope is blocked."), ("clear", "The override has ended.")):
            page.get_by_label("What").select_option(action)
            page.get_by_label("Counted by").select_option("region")
            page.get_by_label("Number, address or region").fill("CN")
            page.get_by_label("Reason").fill("Attack of this morning")
            page.get_by_role("button", name="Override").click()
            expect(page.get_by_role("status")).to_have_text(text)
            expect(page.locator("tbody .tag")).to_have_count(1 if action == "block" else 0)
        assert [each.action for each in beside.audit().entries] == ["guard_cleared", "guard_blocked"]

    def test_override_says_what_is_wrong_and_keeps_what_was_typed(
        self, console: ServedConsole, open_page: Open
    ) -> None:
        page = sign_in(console, open_page, path="/guard")
        page.get_by_label("Counted by").select_option("region")
        page.get_by_label("Number, address or region").fill("XX")
        page.get_by_label("Reason").fill("A try")
        page.get_by_role("button", name="Override").click()
        expect(page.get_by_role("alert")).to_contain_text("is not among Policy.regions")
        expect(page.get_by_label("Number, address or region")).to_have_value("XX")

    def test_a_gateway_is_opened_and_closed_by_hand(self, console: ServedConsole, seen: Seen, open_page: Open) -> None:
        seen.gateways = (seen.gateways[0], Standing(name="twilio", state="open", by_hand=True))
        page = sign_in(console, open_page, path="/gateways")
        act(page, "Let it rest", "Its provider works on the line")
        expect(page.get_by_role("status")).to_have_text("The gateway rests.")
        act(page, "Use it again", "The line is back")
        expect(page.get_by_role("status")).to_have_text("The gateway is used again.")
        calls = [(name, args, given) for name, args, given in seen.calls if "circuit" in name]
        reasons = ("Its provider works on the line", "The line is back")
        assert calls == [
            ("open_circuit", ("alidayu",), {"seconds": 3600, "actor": "ann", "reason": reasons[0]}),
            ("close_circuit", ("twilio",), {"actor": "ann", "reason": reasons[1]}),
        ]

    def test_audit_lists_who_did_what_and_why(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        beside.unblock(PHONE, actor="bob", reason="Ticket by mail")
        page = sign_in(console, open_page, path="/audit")
        row = page.locator(".audit tbody tr").first
        for text in ("Number unblocked", "bob", "Ticket by mail"):
            expect(row).to_contain_text(text)


class TestViewer:
    def test_sees_everything_and_no_button(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page, VIEWER_KEY, "/number")
        look_up(page)
        for path in ("/number", "/guard", "/gateways"):
            page.goto(f"{console.url}{path}")
            names = [each.inner_text() for each in page.locator("button:visible").all()]
            assert names == (["Sign out", "Look up"] if path == "/number" else ["Sign out"])

    def test_is_refused(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        page = sign_in(console, open_page, VIEWER_KEY, "/guard")
        token = page.locator("[name=token]").first.get_attribute("value")
        assert token
        for path, form in (
            ("/guard", {"action": "block", "scope": "total", "reason": "A try"}),
            ("/number/erase", {"phone": "x", "reason": "A try", "sure": "yes"}),
            ("/gateways/open", {"gateway": "alidayu", "reason": "A try"}),
        ):
            answer = page.request.post(f"{console.url}{path}", form={"token": token, **form})
            assert answer.status == 403
            assert "Your role may look at everything" in answer.text()
        assert beside.audit().entries == ()


class TestForgedForms:
    def test_without_token_nothing_is_done(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/guard")
        for token in ("", "forged"):
            form = {"action": "block", "scope": "total", "reason": "A try", "token": token}
            assert page.request.post(f"{console.url}/guard", form=form).status == 403
        assert beside.audit().entries == ()

    def test_a_token_of_another_session_is_refused(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        other = sign_in(console, open_page, path="/guard")
        token = other.locator("[name=token]").first.get_attribute("value")
        assert token
        page = sign_in(console, open_page, path="/guard")
        form = {"action": "block", "scope": "total", "reason": "A try", "token": token}
        assert page.request.post(f"{console.url}/guard", form=form).status == 403
        assert beside.audit().entries == ()

    def test_a_page_of_another_site_is_refused(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/guard")
        token = page.locator("[name=token]").first.get_attribute("value")
        assert token
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            form = {"action": "block", "scope": "total", "reason": "A try", "token": token}
            assert page.request.post(f"{console.url}/guard", form=form, headers=headers).status == 403


class TestForEveryone:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("path", PATHS)
    def test_is_accessible(
        self,
        console: ServedConsole,
        seen: Seen,
        open_page: Open,
        shut_out: Callable[[Page], list[str]],
        scheme: str,
        path: str,
    ) -> None:
        error = Standing(name="twilio", state="open", last_error="30003", remedy="call them", by_hand=True)
        seen.gateways = (seen.gateways[0], error)
        seen.stats, seen.guard_report = figures_of(rejected=3000), guarded(attacked=True)
        page = sign_in(console, open_page, path=path, color_scheme=scheme)
        if path == "/number":
            look_up(page)
        for summary in page.locator("summary").all():
            summary.click()
        page.wait_for_timeout(500)
        assert shut_out(page) == []

    def test_the_sign_in_is_accessible(
        self, console: ServedConsole, open_page: Open, shut_out: Callable[[Page], list[str]]
    ) -> None:
        assert shut_out(open_page(console.url)) == []

    @pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
    @pytest.mark.parametrize("path", PATHS)
    def test_fits_a_phone(
        self, console: ServedConsole, seen: Seen, beside: OTP, open_page: Open, path: str, locale: str
    ) -> None:
        error = Standing(name="a-gateway-with-a-long-name", state="open", last_error="isv.BUSINESS_LIMIT_CONTROL")
        seen.gateways, seen.guard_report = (seen.gateways[0], error), guarded(attacked=True)
        beside.unblock(PHONE, actor="somebody-with-a-long-name", reason="w" * 200)
        page = sign_in(console, open_page, path=path, locale=locale, viewport={"width": 375, "height": 740})
        if path == "/number":
            page.locator("#phone").fill(SPELT)
            page.locator("#phone").press("Enter")
            page.locator(".facts").wait_for()
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375

    def test_is_chinese_by_browser_and_by_choice(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page, locale="zh-CN")
        expect(page.locator("h1")).to_have_text("概览")
        page.get_by_role("link", name="English").click()
        expect(page.locator("h1")).to_have_text("Overview")
        page.get_by_role("link", name="Guard").click()
        expect(page.locator("html")).to_have_attribute("lang", "en")
        page.get_by_role("link", name="中文").click()
        expect(page).to_have_url(f"{console.url}/guard")
        expect(page.locator("h1")).to_have_text("防护")

    def test_the_keyboard_reaches_an_action(self, console: ServedConsole, beside: OTP, open_page: Open) -> None:
        page = sign_in(console, open_page, path="/number")
        look_up(page)
        page.locator("summary", has_text="Unblock").focus()
        for key in ("Enter", "Tab"):
            page.keyboard.press(key)
        page.keyboard.type("By keyboard")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("The number is unblocked.")
        assert beside.audit(PHONE).entries[0].reason == "By keyboard"

    def test_nothing_moves_for_those_who_want_that(self, console: ServedConsole, open_page: Open) -> None:
        page = sign_in(console, open_page, reduced_motion="reduce")
        moving = page.evaluate("getComputedStyle(document.querySelector('.chart .sent')).transitionDuration")
        assert moving == "0s"
