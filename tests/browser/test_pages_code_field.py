"""The field for the code in a real browser: pasting, autofill, WebOTP, and automatic sending, only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from page_site import PageSite, page_site
from page_visitor import PHONE, ask_for_code, code_field, is_welcomed, problem, type_code
from playwright.sync_api import Page, expect

from otpkit import Policy

Open = Callable[..., Page]
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")

FAKE_WEB_OTP = """
window.OTPCredential = class {};
CredentialsContainer.prototype.get = (options) => new Promise((resolve, reject) => {
  window.asked = JSON.stringify(options.otp);
  window.receive = (code) => resolve(code && { code });
  options.signal.addEventListener("abort", () => { sessionStorage.aborted = "yes"; reject(new Error("aborted")); });
});
"""


@pytest.fixture
def site() -> Iterator[PageSite]:
    with page_site() as site:
        yield site


def verifies(page: Page) -> list[str]:
    """Return a list that grows with every code that the page sends."""
    sent: list[str] = []
    page.on(
        "request", lambda request: sent.append(request.url) if "action=verify" in (request.post_data or "") else None
    )
    return sent


@pytest.mark.parametrize(
    "spelling",
    [
        "{0} {1}",
        "{0}-{1}",
        " {0}{1}\n",
        "【otpkit】Your code is {0}{1}, valid for 5 minutes.",
        pytest.param("full width", id="full-width"),
    ],
)
def test_a_code_is_pasted_as_it_was_copied(site: PageSite, open_page: Open, spelling: str) -> None:
    page = open_page(site.url, permissions=["clipboard-read", "clipboard-write"])
    ask_for_code(page)
    text = (
        site.code.translate(FULL_WIDTH) if spelling == "full width" else spelling.format(site.code[:3], site.code[3:])
    )
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.keyboard.press("Control+V")
    is_welcomed(page)


def paste(page: Page, text: str) -> None:
    """Insert a text into the field at once, as pasting does."""
    code_field(page).evaluate(
        "(field, text) => { field.value = text; field.dispatchEvent(new Event('input', { bubbles: true })); }", text
    )


PASTED = [
    "【otpkit】订单 202611 的验证码 {code}，5分钟内有效",
    "Order 123456: your code is {code}.",
    "{code} is your code for order 123456.",
    "订单 123456 的验证码 {spaced}",
    "尾号 654321 的卡，动态密码：{code}",
    "登录码{code}，订单 123456",
    "安全码: {code} 订单 123456",
    "Call 13800138000. Your code: {code}",
    "+86 138 0013 8000, {spaced}",
    "\u202d{spaced}\u202c",
    "{hyphened}",
    "arabic",
    "persian",
]
SCRIPTS = {
    "arabic": str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"),
    "persian": str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹"),
}


@pytest.mark.parametrize("message", PASTED, ids=ascii)
def test_the_code_of_a_message_is_taken_and_no_other_number(site: PageSite, open_page: Open, message: str) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    code = site.code
    text = (
        code.translate(SCRIPTS[message])
        if message in SCRIPTS
        else message.format(code=code, spaced=f"{code[:3]}\u00a0{code[3:]}", hyphened=f"{code[:3]}\u2011{code[3:]}")
    )
    paste(page, text)
    is_welcomed(page)


@pytest.mark.parametrize(
    "message",
    ["123456 {code}", "Numbers 123456 and {code}", "code 123456, or code {code}", "12345678", "Tel 13800138000"],
)
def test_a_message_that_leaves_a_choice_sends_nothing(site: PageSite, open_page: Open, message: str) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    sent = verifies(page)
    paste(page, message.format(code=site.code))
    page.wait_for_timeout(100)
    assert sent == []
    code_field(page).fill("")
    type_code(page, site.code)
    is_welcomed(page)


def test_the_browsers_filling_in_sends_the_code(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    expect(code_field(page)).to_have_attribute("autocomplete", "one-time-code")
    expect(code_field(page)).to_have_attribute("inputmode", "numeric")
    assert code_field(page).get_attribute("maxlength") is None
    code_field(page).evaluate(
        "(field, code) => { field.value = code; field.dispatchEvent(new Event('input', { bubbles: true })); }",
        site.code,
    )
    is_welcomed(page)


def test_a_message_that_the_browser_reads_sends_the_code(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.add_init_script(FAKE_WEB_OTP)
    ask_for_code(page)
    assert page.evaluate("asked") == '{"transport":["sms"]}'
    page.evaluate("code => receive(code)", site.code)
    is_welcomed(page)


def test_a_code_that_was_typed_ends_the_waiting_for_the_message(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.add_init_script(FAKE_WEB_OTP)
    ask_for_code(page)
    type_code(page, site.code)
    is_welcomed(page)
    assert page.evaluate("sessionStorage.aborted") == "yes"


def test_a_browser_that_has_no_message_to_give_breaks_nothing(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.add_init_script(FAKE_WEB_OTP)
    ask_for_code(page)
    page.evaluate("receive(null)")
    type_code(page, site.code)
    is_welcomed(page)


def test_letters_are_left_out_and_surplus_digits_too(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    type_code(page, "1a2 b３٤x")
    expect(code_field(page)).to_have_value("1234")


def test_a_missing_digit_can_be_inserted(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    type_code(page, site.code[1:])
    page.keyboard.press("Home")
    page.keyboard.type(f" {site.code[0]}")
    is_welcomed(page)


def test_a_whole_code_is_sent_once(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    sent = verifies(page)
    page.route(site.url, lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    code_field(page).evaluate(
        """(field, code) => { for (const text of [code, code, code + "1", code]) {
          field.value = text; field.dispatchEvent(new Event("input", { bubbles: true })); } }""",
        site.code,
    )
    page.wait_for_timeout(100)
    assert len(sent) == 1


def test_a_double_click_sends_one_message(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.get_by_label("Mobile number").fill(PHONE)
    page.get_by_role("button", name="Send code").dblclick(no_wait_after=True)
    expect(code_field(page)).to_be_focused()
    expect(problem(page)).to_have_count(0)
    assert len(site.outbox) == 1


def test_a_double_click_without_scripts_sends_one_message(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url, java_script_enabled=False)
    page.get_by_label("Mobile number").fill(PHONE)
    page.get_by_role("button", name="Send code").dblclick(no_wait_after=True)
    expect(code_field(page)).to_be_focused()
    expect(problem(page)).to_have_count(0)
    assert len(site.outbox) == 1


def test_a_button_serves_again_when_no_answer_came(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    page.clock.install()
    page.reload()
    page.get_by_label("Mobile number").fill(PHONE)
    button = page.get_by_role("button", name="Send code")
    page.evaluate("document.forms[0].addEventListener('submit', (event) => event.preventDefault())")
    button.click()
    page.clock.run_for(1_000)
    expect(button).to_be_disabled()
    page.clock.run_for(20_000)
    expect(button).to_be_enabled()


def test_reloading_and_going_back_do_no_harm(site: PageSite, open_page: Open) -> None:
    page = open_page(site.url)
    ask_for_code(page)
    page.reload()
    expect(code_field(page)).to_be_focused()
    type_code(page, site.wrong_code)
    expect(problem(page)).to_have_text("That code is not right. Attempts left: 4.")
    page.reload()  # This sends the form again.
    expect(problem(page)).to_have_text("That code is not right. Attempts left: 4.")
    page.go_back()
    expect(code_field(page)).to_have_count(1)
    code_field(page).fill(site.code)
    is_welcomed(page)
    page.go_back()
    page.goto(site.url)
    is_welcomed(page)
    assert len(site.outbox) == 1


BOXES = """field => {
  const digit = document.createElement("canvas").getContext("2d");
  digit.font = getComputedStyle(field).font;
  const style = getComputedStyle(field), left = field.getBoundingClientRect().left;
  const width = digit.measureText("0").width;
  return [...document.querySelectorAll(".code i")].map((box, place) => {
    const { left: from, right: to } = box.getBoundingClientRect();
    const start = left + parseFloat(style.textIndent) + place * (width + parseFloat(style.letterSpacing));
    return [from, start, start + width, to];
  });
}"""


@pytest.mark.parametrize("length", [6, 8, 10])
@pytest.mark.parametrize("width", [320, 390, 500, 1280])
def test_each_digit_stands_in_the_middle_of_its_box(open_page: Open, length: int, width: int) -> None:
    with page_site(policy=Policy(code_length=length)) as site:
        page = open_page(site.url, viewport={"width": width, "height": 700})
        ask_for_code(page)
        boxes = code_field(page).evaluate(BOXES)
        assert len(boxes) == length
        for box, digit, digit_end, box_end in boxes:
            assert digit > box + 2
            assert abs((digit - box) - (box_end - digit_end)) < 1.5
        code_field(page).press_sequentially(site.code[:-1])
        assert code_field(page).evaluate("field => field.scrollLeft") == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
