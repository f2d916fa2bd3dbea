"""The admin page: it shows the standing of a number, and an unblocking is logged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings
from django.utils import translation
from django_site import PHONE, Browser, LogEntry, Permission, Site, User, hidden, site

from otpkit import BlockedError, Policy, WrongCodeError
from otpkit.integrations import django as integration
from otpkit.integrations.django import get_otp

URL = "/admin/otpkit/phone/"
BLOCKED = '<th scope="row">Blocked</th><td>yes</td>'
UNBLOCK = 'name="unblock"'


@pytest.fixture
def live() -> Iterator[Site]:
    with site(POLICY=Policy(sends="32/day", max_consecutive_failures=1)) as live:
        yield live


def staff(*permissions: str) -> Browser:
    """Return the browser of a staff member with some permissions for numbers."""
    user = User.objects.create(username="staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"{each}_phone" for each in permissions]))
    browser = Browser()
    browser.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return browser


def post(browser: Browser, **fields: str) -> str:
    answer = browser.post(URL, {"csrfmiddlewaretoken": token_of(browser)} | fields)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return str(answer.content.decode())


def token_of(browser: Browser) -> str:
    return hidden(browser.get("/custom/"))["csrfmiddlewaretoken"]


def block(live: Site) -> None:
    get_otp().issue(PHONE)
    with pytest.raises(WrongCodeError):
        get_otp().verify(PHONE, f"{(int(live.code) + 1) % 10**6:06}")


def is_blocked(live: Site) -> bool:
    try:
        get_otp().issue(PHONE)
    except BlockedError:
        return True
    return False


def test_it_stands_in_the_index(live: Site) -> None:
    assert URL in staff("view").get("/admin/").content.decode()


def test_it_unblocks_a_number_and_the_log_remembers(live: Site) -> None:
    block(live)
    browser = staff("view", "change")
    shown = post(browser, phone="139 0013 9000")
    assert BLOCKED in shown
    assert live.code not in shown
    done = post(browser, phone=PHONE, unblock="1")
    assert "The number is unblocked." in done
    assert BLOCKED not in done
    assert not is_blocked(live)
    audited = next(each for each in get_otp().audit(PHONE).entries if each.action == "unblocked")
    assert (audited.actor, audited.outcome) == (f"django user {User.objects.get(username='staff').pk}", "done")
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_repr, entry.object_id) == ("staff", "+*********9000", None)
    assert entry.get_admin_url() is None
    assert "+*********9000" in browser.get("/admin/").content.decode()


def test_a_viewer_can_not_unblock(live: Site) -> None:
    block(live)
    browser = staff("view")
    shown = post(browser, phone=PHONE)
    assert BLOCKED in shown
    assert UNBLOCK not in shown
    form = {"csrfmiddlewaretoken": token_of(browser), "phone": PHONE, "unblock": "1"}
    assert browser.post(URL, form).status_code == 403
    assert is_blocked(live)
    assert not LogEntry.objects.exists()


def test_a_user_without_permissions_sees_nothing(live: Site) -> None:
    browser = staff()
    assert browser.get(URL).status_code == 403
    assert browser.post(URL, {"csrfmiddlewaretoken": token_of(browser), "phone": PHONE}).status_code == 403
    assert URL not in browser.get("/admin/").content.decode()
    assert Browser().get(URL).status_code == 302


def test_another_sites_form_unblocks_nothing(live: Site) -> None:
    block(live)
    assert staff("view", "change").post(URL, {"phone": PHONE, "unblock": "1"}).status_code == 403
    assert is_blocked(live)


def test_a_number_in_the_url_is_not_looked_at(live: Site) -> None:
    assert "Wrong codes in a row" not in staff("view").get(URL, {"phone": PHONE}).content.decode()


def test_an_unblocking_that_redis_did_not_take_is_not_in_the_log(live: Site) -> None:
    browser = staff("view", "change")
    with override_settings(OTPKIT=live.options(REDIS="redis://127.0.0.1:1/0")):
        said = post(browser, phone=PHONE, unblock="1")
    assert "Please try again later." in said
    assert "The number is unblocked." not in said
    assert not LogEntry.objects.exists()


def test_the_catalogue_is_compiled() -> None:
    texts = Path(integration.__file__).parent.joinpath("locale/zh_Hans/LC_MESSAGES/django.po").read_text("utf-8")
    pairs = re.findall(r'msgid "(.+)"\nmsgstr "(.+)"', texts)
    assert pairs
    with translation.override("zh-hans"):
        assert [translation.gettext(english) for english, _ in pairs] == [chinese for _, chinese in pairs]


def test_it_speaks_chinese(live: Site) -> None:
    browser = staff("view", "change")
    browser.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-CN"
    said = post(browser, phone=PHONE, unblock="1")
    page = said[said.index("<h1>") :] + said[said.index("messagelist") :]
    for text in ("手机号码", "查询", "解除锁定", "该号码已解除锁定。", "已锁定", "连续输错次数", "剩余短信数"):
        assert text in page
    for text in ("Look up", "Unblock", "locked", "codes", "Messages", "Limited"):
        assert text not in page


@pytest.mark.parametrize("phone", ["", "12", "x" * 100_000, "<script>", "139\n0013"])
def test_what_is_no_number_is_refused(live: Site, phone: str) -> None:
    said = post(staff("view", "change"), phone=phone, unblock="1")
    assert "errorlist" in said
    assert "Wrong codes in a row" not in said
    assert not LogEntry.objects.exists()


def test_figures_of_the_last_day_are_shown(live: Site) -> None:
    """A row for each region, with messages, verified codes and their share; without any it says so."""
    browser = staff("view")
    assert "No messages yet." in browser.get(URL).content.decode()
    get_otp().issue(PHONE)
    get_otp().verify(PHONE, live.code)
    page = browser.get(URL).content.decode()
    assert '<th scope="row">CN</th><td>1</td><td>1</td><td>100 %</td><td>0</td>' in page
    browser.defaults["HTTP_ACCEPT_LANGUAGE"] = "zh-CN"
    with translation.override(None):  # A request leaves its language to the thread.
        assert "最近 24 小时" in browser.get(URL).content.decode()
