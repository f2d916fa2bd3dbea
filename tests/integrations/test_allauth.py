"""allauth's sign-up and login by code through otpkit: a served project, and the local gateway on a socket."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
from support.secrets import SECRET

from otpkit.sandbox import Sandbox, running

HERE = Path(__file__).parent
_numbers = count(13800000000)
_silent = iter([13900100041, 13900100051])  # The gateway sends the message, and drops the connection.
# With these, allauth makes and compares the codes, and otpkit sends them.
OWN_CODES: dict[str, Any] = {"ACCOUNT_FORMS": {}}
OPEN: dict[str, Any] = {"ACCOUNT_PREVENT_ENUMERATION": False}
MODES = {"otpkit's codes": {}, "allauth's codes": OWN_CODES}
CODE_SENT = "A verification code has been sent to"
WAIT = "You can try again in"
SIGN_UP, VERIFY = "/accounts/signup/", "/accounts/phone/verify/"
CHANGE, REAUTHENTICATE = "/accounts/phone/change/", "/accounts/reauthenticate/code/"
LOG_IN, CONFIRM = "/accounts/login/code/", "/accounts/login/code/confirm/"


@dataclass
class Project:
    url: str
    sandbox: Sandbox

    def codes(self, phone: str) -> list[str]:
        return [str(each.code) for each in self.sandbox.messages(phone)]


@dataclass
class Visitor:
    """A browser without scripts, and the settings that the project has for its requests."""

    project: Project
    settings: dict[str, Any] = field(default_factory=dict)
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str) -> requests.Response:
        headers = {"Settings": json.dumps(self.settings), "Accept": "text/html"}
        return self.session.get(f"{self.project.url}{path}", headers=headers, timeout=20)

    def post(self, path: str, **fields: str) -> requests.Response:
        """Open a page, send its form, and follow to the next page."""
        page = self.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text
        headers = {"Settings": json.dumps(self.settings), "Accept": "text/html"}
        form = {"csrfmiddlewaretoken": token[1], **fields}
        answer = self.session.post(page.url, form, headers=headers, allow_redirects=False, timeout=20)
        assert answer.status_code < 400, answer.text
        return self.get(answer.headers["Location"]) if answer.status_code == 302 else answer

    def me(self) -> Any:
        return self.get("/").json()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    sandbox = Sandbox(receipt_after=0)
    with running(sandbox) as local:
        env = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "OTPKIT_REDIS_URL": "memory://",
            "OTPKIT_SECRET": SECRET,
            "OTPKIT_GATEWAY": "alidayu",
            "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
            "OTPKIT_ALIDAYU_APP_SECRET": "sandbox-secret",
            "OTPKIT_ALIDAYU_BASE_URL": local.gateway_url,
            "OTPKIT_TEMPLATE_CODE": "SMS_585014",
            "OTPKIT_TEMPLATE_SIGN_NAME": "otpkit",
        }
        folder = tmp_path_factory.mktemp("allauth")
        command = [sys.executable, "-m", "allauth_project", str(folder)]
        server = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            assert url.startswith("http"), "the project does not start"
            yield Project(url, sandbox)
        finally:
            server.kill()
            server.communicate(timeout=20)


@pytest.fixture
def phone() -> str:
    return f"+86{next(_numbers)}"


def other_than(code: str) -> str:
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


def later(project: Project) -> None:
    """Let the limits of the phones pass."""
    requests.post(f"{project.url}/later/", timeout=20).raise_for_status()


def signed_up(project: Project, phone: str, **settings: Any) -> Visitor:
    visitor = Visitor(project, settings)
    assert visitor.post(SIGN_UP, phone=phone).url.endswith(VERIFY)
    visitor.post(VERIFY, code=project.codes(phone)[0])
    assert visitor.me() == {"phone": phone, "verified": True}
    return visitor


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_sign_up_and_log_in_by_code(project: Project, phone: str, settings: dict[str, Any]) -> None:
    """A wrong code is refused, and the number is stored as verified."""
    visitor = Visitor(project, settings)
    assert visitor.post(SIGN_UP, phone=f"{phone[3:6]} {phone[6:10]} {phone[10:]}").url.endswith(VERIFY)
    code = project.codes(phone)[0]
    assert "Incorrect code" in visitor.post(VERIFY, code=other_than(code)).text
    assert visitor.me() == {}
    visitor.post(VERIFY, code=f" {code[:3]}-{code[3:]}")
    assert visitor.me() == {"phone": phone, "verified": True}
    later(project)
    again = Visitor(project, settings)
    page = again.post(LOG_IN, phone=phone)
    assert (page.url.endswith(CONFIRM), WAIT in page.text) == (True, False)
    newest = project.codes(phone)[0]
    assert "Incorrect code" in again.post(CONFIRM, code=other_than(newest)).text
    again.post(CONFIRM, code=newest)
    assert again.me() == {"phone": phone, "verified": True}


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_limited_resend_keeps_the_code(project: Project, phone: str, settings: dict[str, Any]) -> None:
    """The page shows the wait, no message is sent, and the code that was sent still works."""
    visitor = Visitor(project, settings)
    visitor.post(SIGN_UP, phone=phone)
    again = visitor.post(VERIFY, action="resend")
    assert (again.url.endswith(VERIFY), WAIT in again.text) == (True, True)
    assert CODE_SENT not in again.text
    assert len(project.codes(phone)) == 1
    visitor.post(VERIFY, code=project.codes(phone)[0])
    assert visitor.me() == {"phone": phone, "verified": True}


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_limited_log_in_shows_the_wait(project: Project, phone: str, settings: dict[str, Any]) -> None:
    """The visitor stays on the form for the number, if the project reveals who has an account."""
    signed_up(project, phone, **settings)
    page = Visitor(project, settings | OPEN).post(LOG_IN, phone=phone)
    assert (page.url.endswith(LOG_IN), WAIT in page.text) == (True, True)
    assert len(project.codes(phone)) == 1


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_log_in_is_alike_for_any_number(project: Project, phone: str, settings: dict[str, Any]) -> None:
    """Neither a limit nor a wrong code reveals who has an account."""
    signed_up(project, phone, **settings)
    seen = []
    for number in (phone, f"+86{next(_numbers)}"):
        visitor = Visitor(project, settings)
        pages = [visitor.post(LOG_IN, phone=number), visitor.post(CONFIRM, code="123456")]
        pages.append(visitor.post(CONFIRM, code="12"))
        seen.append([re.sub(r'value="\w{64}"', "", each.text.replace(number, "phone")) for each in pages])
    assert seen[0] == seen[1]


def test_resend_does_not_reveal_an_account(project: Project, phone: str) -> None:
    """Neither the resend of a discreet sign-up does, nor a request for a login that says it is one."""
    signed_up(project, phone)
    unknown = f"+86{next(_numbers)}"
    settings = {"ACCOUNT_ADAPTER": "allauth_project.urls.DiscreetAdapter"}
    settings |= {"ACCOUNT_PHONE_VERIFICATION_SUPPORTS_CHANGE": False}  # allauth's page offers it to new numbers alone.
    seen: list[list[str]] = []
    for number in (phone, unknown):
        visitor = Visitor(project, settings)
        pages = [Visitor(project).post(LOG_IN, phone=number, action="resend") for _ in range(2)]
        pages += [visitor.post(SIGN_UP, phone=number), visitor.post(VERIFY, action="resend")]
        seen.append([re.sub(r'value="\w{64}"', "", each.text.replace(number, "phone")) for each in pages])
        assert all(WAIT not in each for each in seen[-1])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_rejected_number_can_be_changed(project: Project, phone: str, settings: dict[str, Any]) -> None:
    """The page of the code explains the rejection."""
    later(project)  # Each mode uses the number.
    visitor = Visitor(project, settings)
    rejected = "13900050009"  # The gateway rejects 139000CCCCC with the code CCCCC.
    page = visitor.post(SIGN_UP, phone=rejected)
    assert page.url.endswith(VERIFY)
    assert "The message could not be sent to this number. Please check it." in page.text
    assert CODE_SENT not in page.text
    page = visitor.post(VERIFY, action="change", phone=phone)
    assert "could not be sent" not in page.text
    visitor.post(VERIFY, code=project.codes(phone)[0])
    assert visitor.me() == {"phone": phone, "verified": True}


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_silent_gateway_counts_as_sent(project: Project, settings: dict[str, Any]) -> None:
    """The message may have arrived: the visitor can enter its code."""
    visitor = Visitor(project, settings)
    silent = f"+86{next(_silent)}"
    assert visitor.post(SIGN_UP, phone=silent).url.endswith(VERIFY)
    visitor.post(VERIFY, code=project.codes(silent)[0])
    assert visitor.me() == {"phone": silent, "verified": True}


def test_not_a_number_is_an_error_of_the_form(project: Project) -> None:
    """It is in the visitor's language."""
    visitor = Visitor(project)
    visitor.session.headers["Accept-Language"] = "zh-Hans"
    page = visitor.post(SIGN_UP, phone="12")
    assert page.url.endswith(SIGN_UP)
    assert "请输入正确的手机号码。" in page.text


def test_code_in_the_session_is_worth_nothing(project: Project, phone: str) -> None:
    """With otpkit's forms, the session holds no code that verifies."""
    visitor = Visitor(project)
    visitor.post(SIGN_UP, phone=phone)
    kept = visitor.get("/kept/").text
    code = project.codes(phone)[0]
    assert f'"{code}"' not in kept
    (allauths,) = kept_codes(visitor)
    assert "Incorrect code" in visitor.post(VERIFY, code=allauths).text
    assert visitor.me() == {}


def kept_codes(visitor: Visitor) -> list[str]:
    """Return the codes that allauth keeps in the session. Visitors can read them if sessions are signed cookies."""
    return re.findall(r'"code": "([^"]+)"', visitor.get("/kept/").text)


def test_each_step_of_a_session_has_its_own_code(project: Project, phone: str) -> None:
    """A step whose code otpkit sent accepts this code alone, also after another step has begun."""
    visitor = signed_up(project, phone)
    later(project)
    new = f"+86{next(_numbers)}"
    assert visitor.post(CHANGE, phone=new).url.endswith(VERIFY)
    (kept,) = kept_codes(visitor)
    assert visitor.post(REAUTHENTICATE, recipient=phone).url.endswith("/reauthenticate/code/confirm/")
    visitor.post(VERIFY, code=kept)
    assert visitor.me() == {"phone": phone, "verified": True}
    visitor.post(VERIFY, code=project.codes(new)[0])
    assert visitor.me() == {"phone": new, "verified": True}


def test_code_of_an_email_is_allauths(project: Project, phone: str) -> None:
    """otpkit's form for a login leaves it to allauth."""
    settings = {"ACCOUNT_LOGIN_METHODS": ["phone", "email"], "ACCOUNT_SIGNUP_FIELDS": ["email*", "phone*"]}
    visitor = Visitor(project, settings)
    visitor.post(SIGN_UP, phone=phone, email="ada@example.com")
    visitor.post(VERIFY, code=project.codes(phone)[0])
    again = Visitor(project, settings)
    again.post(LOG_IN, email="ada@example.com")
    (code,) = kept_codes(again)
    assert "Incorrect code" in again.post(CONFIRM, code=other_than(f"{code}0")).text
    again.post(CONFIRM, code=code)
    assert again.me() == {"phone": phone, "verified": True}


def test_refused_resend_makes_no_code_valid(project: Project) -> None:
    """allauth makes another code before the message is refused, and the session may keep it."""
    later(project)
    visitor = Visitor(project, {"SESSION_SAVE_EVERY_REQUEST": True})
    visitor.post(SIGN_UP, phone="13900050009")
    assert WAIT in visitor.post(VERIFY, action="resend").text
    (kept,) = kept_codes(visitor)
    visitor.post(VERIFY, code=kept)
    assert visitor.me() == {}


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_changed_number_is_stored_once_verified(project: Project, phone: str, settings: dict[str, Any]) -> None:
    """A user who is logged in keeps the old number until then, and sees a refusal on the form."""
    visitor = signed_up(project, phone, **settings)
    later(project)
    page = visitor.post(CHANGE, phone="13900050009")
    assert (page.url.endswith(CHANGE), "Please check it." in page.text) == (True, True)
    new = f"+86{next(_numbers)}"
    assert visitor.post(CHANGE, phone=new).url.endswith(VERIFY)
    assert visitor.me() == {"phone": phone, "verified": True}
    visitor.post(VERIFY, code=project.codes(new)[0])
    assert visitor.me() == {"phone": new, "verified": True}


def test_code_of_an_earlier_number_verifies_that_number(project: Project, phone: str) -> None:
    """If the change is refused, the user gets no number that was not proven."""
    visitor = Visitor(project)
    visitor.post(SIGN_UP, phone=phone)
    earlier = project.codes(phone)[0]
    later(project)
    visitor.post(VERIFY, action="change", phone="13900050009")
    assert "Incorrect code" in visitor.post(VERIFY, code=earlier).text
    assert visitor.me() == {}


def test_unverified_number_is_nobodys(project: Project, phone: str) -> None:
    """A stranger who signs up with a number can't keep its owner out, nor share the account."""
    stranger = Visitor(project)
    stranger.post(SIGN_UP, phone=phone)
    later(project)
    assert Visitor(project, OPEN).post(LOG_IN, phone=phone).url.endswith(LOG_IN)
    signed_up(project, phone)
    stranger.post(VERIFY, code=project.codes(phone)[-1])
    assert stranger.me() == {}
    later(project)
    owner = Visitor(project)
    owner.post(LOG_IN, phone=phone)
    owner.post(CONFIRM, code=project.codes(phone)[0])
    assert owner.me() == {"phone": phone, "verified": True}


def test_code_sent_twice_is_one_code(project: Project, phone: str) -> None:
    """A visitor who starts again while the code is live goes on with it, and sees when another can be sent."""
    signed_up(project, phone)
    later(project)
    visitor = Visitor(project)
    visitor.post(LOG_IN, phone=phone)
    code = project.codes(phone)[0]
    visitor.get(SIGN_UP)  # It ends the pending login.
    assert visitor.post(LOG_IN, phone=phone).url.endswith(CONFIRM)
    visitor.post(CONFIRM, code=code)
    assert visitor.me() == {"phone": phone, "verified": True}


def test_headless_api_sends_allauths_code(project: Project, phone: str) -> None:
    """A refusal is an error in allauth's form."""
    session, token = requests.Session(), ""

    def post(path: str, **body: str) -> requests.Response:
        nonlocal token
        headers = {"X-Session-Token": token} if token else {}
        url = f"{project.url}/_allauth/app/v1/auth/{path}"
        answer = session.post(url, json=body, headers=headers, timeout=20)
        token = answer.json().get("meta", {}).get("session_token", token)
        return answer

    assert post("signup", phone=phone).status_code == 401
    again = post("phone/verify/resend")
    assert again.status_code == 429
    assert again.json()["errors"][0]["code"] == "rate_limit"
    assert WAIT in again.json()["errors"][0]["message"]
    right = post("phone/verify", code=project.codes(phone)[0])
    assert right.json()["meta"]["is_authenticated"], right.text


def test_checks_name_what_is_missing(project: Project) -> None:
    """allauth's own limit, and fields that can't hold a number's state."""

    def found(**settings: Any) -> list[str]:
        return list(Visitor(project, settings).get("/checks/").json()["ids"])

    assert found() == []
    assert found(ACCOUNT_RATE_LIMITS={}) == ["otpkit.W007"]
    assert found(OTPKIT={"USER_PHONE_FIELD": "username"}) == ["otpkit.E007"]
    assert found(OTPKIT={"USER_PHONE_FIELD": "mobile"}) == ["otpkit.E004"]
