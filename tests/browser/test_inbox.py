"""The inbox in a real browser: new messages, the copy button, the forms, and accessibility."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests
from playwright.sync_api import Page, expect
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from otpkit.sandbox import Address, Fault, Sandbox, running
from otpkit.sandbox.messages import Sms

CODE = "730452"
PHONE = "13800138000"
SCHEMES = ["light", "dark"]
ANNOUNCED = "New message from 阿里大鱼, code 7 3 0 4 5 2"

Open = Callable[..., Page]


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Inbox:
    """A sandbox on a socket, and its clock."""

    sandbox: Sandbox
    address: Address
    clock: Clock

    def send(self, phone: str = PHONE, text: str = f"验证码{CODE}", code: str = CODE, api: str = "sendSms") -> None:
        sign = "4001112222" if api == "SingleCallByTts" else "阿里大鱼"
        sms = Sms((phone,), "SMS_585014", sign, {"code": code}, text, "order-7", api)  # type: ignore[arg-type]
        self.sandbox.record(sms, self.sandbox.new_biz_id())

    def send_over_the_wire(self) -> None:
        params = {
            "sms_type": "normal",
            "sms_free_sign_name": "阿里大鱼",
            "sms_template_code": "SMS_585014",
            "sms_param": json.dumps({"code": CODE}),
            "rec_num": PHONE,
        }
        headers = {"X-Ca-Key": "sandbox", "X-Ca-Secret": "sandbox-secret"}
        requests.get(f"{self.address.gateway_url}/sendSms", params, headers=headers, timeout=10)


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    clock = Clock()
    sandbox = Sandbox(clock=clock)
    with running(sandbox) as address:
        yield Inbox(sandbox, address, clock)


@pytest.fixture
def page(inbox: Inbox, open_page: Open) -> Page:
    """Return the page with its stream open."""
    page = open_page(inbox.address.base_url)
    watched(page)
    return page


def watched(page: Page) -> None:
    """Wait until the stream is open."""
    while not page.evaluate("stream !== null && stream.readyState === EventSource.OPEN && !looking"):
        page.wait_for_timeout(20)  # Playwright's own wait function needs eval, which the page's policy forbids.


def messages(page: Page):  # type: ignore[no-untyped-def]
    return page.locator("#messages > li")


def test_a_message_appears_by_itself_and_is_read_out_once(inbox: Inbox, page: Page) -> None:
    expect(page.get_by_text("No messages yet.")).to_be_visible()
    inbox.send()
    expect(messages(page)).to_have_count(1)
    expect(page.get_by_role("status")).to_have_text(ANNOUNCED)
    expect(page.get_by_text("No messages yet.")).to_have_count(0)
    expect(page.get_by_text("Messages: 1", exact=True)).to_be_visible()


def test_a_receipt_that_comes_in_changes_its_message_and_nothing_else(inbox: Inbox, page: Page) -> None:
    inbox.send()
    inbox.send("13900100071")
    expect(messages(page)).to_have_count(2)
    first = messages(page).first
    first.locator("summary").click()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('pre, dl'))")
    selected = page.evaluate("getSelection().toString()")
    expect(first.locator("[data-part=status]")).to_have_text("waiting")
    expect(first.locator("[data-part=receipt]")).to_have_text("none yet")
    inbox.clock.now += 1
    expect(first.locator("[data-part=status]")).to_have_text("failed")
    expect(first.locator("[data-part=receipt]")).to_contain_text("failed, UNDELIV")
    expect(messages(page).nth(1).locator("[data-part=status]")).to_have_text("delivered")
    expect(first.locator("details")).to_have_attribute("open", "")
    expect(first.locator("summary")).to_be_focused()
    expect(page.get_by_role("status")).to_have_text(ANNOUNCED)
    assert selected[:20] in page.evaluate("getSelection().toString()")


def test_the_details_show_the_request_without_its_secret(inbox: Inbox, page: Page) -> None:
    inbox.send_over_the_wire()
    page.locator("summary", has_text="Details of the message").click()
    expect(page.locator("pre")).to_contain_text("GET /gw/alidayu/sendSms?")
    expect(page.locator("pre")).to_contain_text("x-ca-secret: ***")


def test_the_code_is_copied_and_the_page_says_so(inbox: Inbox, open_page: Open) -> None:
    page = open_page(inbox.address.base_url, permissions=["clipboard-read", "clipboard-write"])
    watched(page)
    inbox.send()
    page.get_by_role("button", name=f"Copy the code {CODE}").click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == CODE
    expect(page.locator(".copy")).to_have_text("Copied")
    expect(page.locator(".copy")).to_have_text("Copy")


def test_the_code_is_copied_where_there_is_no_clipboard_interface(inbox: Inbox, open_page: Open) -> None:
    page = open_page(inbox.address.base_url)
    watched(page)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.evaluate("document.addEventListener('copy', () => { window.copied = getSelection().toString(); })")
    inbox.send()
    page.locator(".copy").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("copied") == CODE


def test_clearing_empties_every_open_page_at_once(inbox: Inbox, page: Page, open_page: Open) -> None:
    inbox.send()
    other = open_page(inbox.address.base_url)
    expect(messages(other)).to_have_count(1)
    watched(other)
    page.get_by_role("button", name="Clear all messages").click()
    expect(messages(page)).to_have_count(0)
    expect(messages(other)).to_have_count(0)
    expect(page.get_by_text("No messages yet.")).to_be_visible()
    assert inbox.sandbox.messages() == []


def test_a_fault_is_switched_on_shown_played_and_gone(inbox: Inbox, page: Page, open_page: Open) -> None:
    other = open_page(inbox.address.base_url)
    watched(other)
    page.get_by_label("What happens").select_option("http_500")
    page.get_by_label("For which call").select_option("sendSms")
    page.get_by_label("Only for this number").fill("138 0013 8000")
    page.get_by_role("button", name="Add").click()
    for each in (page, other):
        expect(each.locator(".queue li")).to_have_text(re.compile(r"HTTP 500; not sent\s*1 × sendSms · 13800138000"))
    expect(page.get_by_label("Only for this number")).to_have_value("")
    inbox.send_over_the_wire()
    expect(page.locator(".queue li")).to_have_count(0)
    assert inbox.sandbox.messages() == []


def test_what_is_wrong_with_a_fault_is_said_and_what_was_typed_stays(inbox: Inbox, page: Page) -> None:
    page.get_by_label("Only for this number").fill("12")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_have_text("'12' is not a phone number. Use 11 digits, or +86 and 11 digits.")
    expect(page.get_by_label("Only for this number")).to_have_value("12")
    page.get_by_label("Only for this number").fill(PHONE)
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".queue li")).to_have_count(1)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_keyboard_alone_clears_the_faults_and_keeps_its_place(inbox: Inbox, page: Page) -> None:
    inbox.sandbox.add_fault(Fault("drop"))
    page.get_by_role("button", name="Clear the queued faults").press("Enter")
    expect(page.locator(".queue li")).to_have_count(0)
    expect(page.get_by_label("What happens")).to_be_focused()


def test_the_page_of_one_phone_shows_its_messages_alone_as_they_come(inbox: Inbox, open_page: Open) -> None:
    page = open_page(f"{inbox.address.base_url}/?phone=%2B8613800138000")
    watched(page)
    inbox.send("13700137000", text="another's")
    inbox.send()
    expect(page.get_by_role("status")).to_have_text(ANNOUNCED)
    expect(messages(page)).to_have_count(1)
    page.get_by_role("searchbox").fill("another's")
    page.get_by_role("searchbox").press("Enter")
    expect(messages(page)).to_have_text(re.compile("To 13700137000"))
    page.get_by_role("link", name="Show all messages").click()
    expect(messages(page)).to_have_count(2)


def test_a_hostile_message_runs_nothing_and_turns_nothing_around(inbox: Inbox, page: Page) -> None:
    evil = "</p><script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">\u202eevil"
    for api in ("sendSms", "SingleCallByTts"):
        inbox.sandbox.record(Sms((PHONE,), evil, evil, {evil: evil, "code": "\u202e12"}, evil, evil, api), evil)  # type: ignore[arg-type]
    inbox.send(text="长" * 20_000)
    expect(messages(page)).to_have_count(3)
    for summary in page.locator("#messages summary").all():
        summary.click()
    expect(messages(page).nth(1).locator(".text")).to_have_text(evil)
    assert page.title() == "Inbox · otpkit sandbox"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_finds_the_sandbox_again_after_it_was_away(open_page: Open) -> None:
    before = Sandbox()
    with running(before) as address:
        before.record(Sms((PHONE,), "T", "old", {}, "old", ""), "1")
        page = open_page(address.base_url)
        watched(page)
    expect(page.get_by_text("The sandbox does not respond.")).to_be_visible()
    after = Sandbox()
    with running(after, address.port):
        after.record(Sms((PHONE,), "T", "new", {}, "new", ""), "1")
        expect(messages(page).locator(".text")).to_have_text(["new"])
        expect(page.get_by_text("The sandbox does not respond.")).to_be_hidden()


def test_a_page_that_is_not_seen_takes_no_connection(inbox: Inbox, page: Page) -> None:
    hide = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }});"
    hide += "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide.format("true"))
    assert page.evaluate("stream") is None
    inbox.send()
    page.evaluate(hide.format("false"))
    expect(messages(page)).to_have_count(1)


def test_many_messages_at_once_all_appear_newest_first(inbox: Inbox, page: Page) -> None:
    for n in range(120):
        inbox.send(f"1370000{n:04d}")
    expect(page.get_by_text("The newest 100 of 120 messages")).to_be_visible()
    expect(messages(page)).to_have_count(100)
    phones = re.findall(r"To (1\d+)", page.locator("#messages").inner_text())
    assert phones == sorted(phones, reverse=True)


def test_without_scripts_the_forms_do_the_same(inbox: Inbox, open_page: Open) -> None:
    inbox.send()
    page = open_page(f"{inbox.address.base_url}/?q=138", java_script_enabled=False)
    expect(messages(page)).to_have_count(1)
    expect(page.locator(".copy")).to_be_hidden()
    page.get_by_label("What happens").select_option("drop")
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".queue li")).to_have_count(1)
    assert page.url == f"{inbox.address.base_url}/?q=138"
    page.get_by_role("button", name="Clear the queued faults").click()
    expect(page.locator(".queue li")).to_have_count(0)
    page.get_by_label("Only for this number").fill("12")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_contain_text("'12' is not a phone number")
    page.get_by_role("button", name="Clear all messages").click()
    expect(messages(page)).to_have_count(0)
    inbox.send()
    page.get_by_role("link", name="Refresh").click()
    expect(messages(page)).to_have_count(1)


def fill(inbox: Inbox) -> None:
    inbox.send_over_the_wire()
    inbox.send("13900100071")
    inbox.send("13700137000", api="SingleCallByTts")
    inbox.clock.now += 1
    inbox.send(text="长" * 500)
    inbox.sandbox.add_fault(Fault("drop", api="sendSms", phone=PHONE))
    inbox.sandbox.add_fault(Fault("reject", times=3))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("is_full", [False, True], ids=["empty", "full"])
def test_the_inbox_is_accessible(
    inbox: Inbox, open_page: Open, shut_out: Callable[[Page], list[str]], scheme: str, is_full: bool
) -> None:
    page = open_page(inbox.address.base_url, color_scheme=scheme)
    watched(page)
    if is_full:
        fill(inbox)
        expect(messages(page)).to_have_count(4)
    for summary in page.locator("summary").all():
        summary.click()
    assert shut_out(page) == []
    page.goto(f"{inbox.address.base_url}/?phone=12")
    assert shut_out(page) == []


@pytest.mark.parametrize("width", [320, 480, 740, 1280])
def test_nothing_is_cut_off_at_any_width(inbox: Inbox, open_page: Open, width: int) -> None:
    fill(inbox)
    page = open_page(inbox.address.base_url, viewport={"width": width, "height": 700})
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_whatever_is_clicked_is_large_enough(inbox: Inbox, open_page: Open) -> None:
    fill(inbox)
    page = open_page(f"{inbox.address.base_url}/?q=13", viewport={"width": 375, "height": 700})
    for each in page.locator("button:visible, summary, input, select, main a").all():
        box = each.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 24, each.inner_text()  # WCAG 2.2 §2.5.8


def test_a_page_of_the_same_site_can_show_the_inbox_of_one_phone_in_a_frame(open_page: Open) -> None:
    async def beside(_: Request) -> HTMLResponse:
        return HTMLResponse(f'<iframe title="Inbox" src="/?phone={PHONE}" width="480" height="600"></iframe>')

    sandbox = Sandbox()
    with running(sandbox, extra_routes=[Route("/beside", beside)]) as address:
        page = open_page(f"{address.base_url}/beside")
        frame = page.frame_locator("iframe")
        expect(frame.get_by_text("No message matches.")).to_be_visible()
        sandbox.record(Sms((PHONE,), "T", "阿里大鱼", {"code": CODE}, "text", ""), "1")
        expect(frame.locator(".code bdi")).to_have_text(CODE)
        frame.locator(".copy").click()
        expect(frame.get_by_role("status")).to_have_text("Copied")
