"""The demonstration's site over HTTP: the requests of a browser without scripts, and forged ones."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import requests
from support.demo import DemoStage, demo_stage

from otpkit.cli.attack import Attack

PHONE = "+8613800138000"


class Visitor:
    """A browser without scripts. `page` is the current page."""

    def __init__(self, stage: DemoStage, language: str = "en") -> None:
        self.stage = stage
        self.session = requests.Session()
        self.session.headers["Accept-Language"] = language
        self.page = self.session.get(f"{stage.base_url}/signup/account", timeout=10)

    def post(self, action: str, **typed: str) -> requests.Response:
        """Fill in one of the page's forms, and send it."""
        return self.send(self.page.url, self.fields() | {"action": action} | typed)

    def send(self, url: str, form: dict[str, str]) -> requests.Response:
        """Send a form, and follow the redirect."""
        self.page = self.session.post(url, form, timeout=10)
        return self.page

    def fields(self) -> dict[str, str]:
        """Return the hidden fields of the page's forms."""
        return dict(re.findall(r'name="(csrf|key)" value="([^"]*)"', self.page.text))

    def verify(self, phone: str = PHONE) -> None:
        """Go as far as the form for the name."""
        self.post("send", phone=phone)
        self.post("verify", code=self.stage.code(phone))
        assert 'name="name"' in self.page.text

    def sign_up(self, name: str = "Ada", phone: str = PHONE) -> None:
        """Go through the whole sign-up."""
        self.verify(phone)
        self.post("create", name=name)
        assert "Account created" in self.page.text


@pytest.fixture
def stage() -> Iterator[DemoStage]:
    with demo_stage() as stage:
        yield stage


@pytest.fixture
def visitor(stage: DemoStage) -> Iterator[Visitor]:
    visitor = Visitor(stage)
    with visitor.session:
        yield visitor


def test_a_person_signs_up(visitor: Visitor) -> None:
    assert visitor.page.url == f"{visitor.stage.base_url}/signup/phone"
    visitor.sign_up()
    assert visitor.page.url == f"{visitor.stage.base_url}/signup/account"
    assert 'Welcome, <b class="number">Ada</b>' in visitor.page.text
    assert "+86 138 0013 8000" in visitor.page.text
    again = visitor.session.get(visitor.page.url, timeout=10)
    assert "Account created" in again.text


def test_the_page_shows_the_sign_up_and_the_inbox_side_by_side(visitor: Visitor) -> None:
    answer = visitor.session.get(f"{visitor.stage.base_url}/signup", timeout=10)
    assert re.findall(r'<iframe[^>]* src="([^"]+)"', answer.text) == ["/signup/account", "/?lang=en"]
    for path in ("/signup/account", "/signup/phone", "/"):
        framed = visitor.session.get(visitor.stage.base_url + path, timeout=10)
        assert "frame-ancestors 'self'" in framed.headers["content-security-policy"]


def test_an_account_is_made_once_for_a_phone(visitor: Visitor) -> None:
    visitor.sign_up("Ada")
    visitor.post("restart")
    visitor.stage.clock.advance(61)
    visitor.verify()
    visitor.post("create", name="Eve")
    assert 'Welcome, <b class="number">Ada</b>' in visitor.page.text


def test_a_double_click_creates_one_account(visitor: Visitor) -> None:
    visitor.verify()
    url, form, cookies = visitor.page.url, visitor.fields() | {"action": "create"}, visitor.session.cookies.get_dict()
    statuses: list[int] = []

    def click(name: str) -> None:
        answer = requests.post(url, form | {"name": name}, cookies=cookies, allow_redirects=False, timeout=10)
        statuses.append(answer.status_code)

    clicks = [threading.Thread(target=click, args=(f"name {n}",)) for n in range(8)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert statuses == [303] * 8


def test_a_proof_is_used_up_by_one_account(visitor: Visitor) -> None:
    visitor.verify()
    url, cookies = visitor.page.url, visitor.session.cookies.get_dict()
    visitor.post("create", name="Ada")
    copy = requests.get(url, cookies=cookies, timeout=10)  # The request has the cookie from before.
    form = dict(re.findall(r'name="(csrf|key)" value="([^"]*)"', copy.text)) | {"action": "create", "name": "Eve"}
    answer = requests.post(url, form, cookies=cookies, timeout=10)
    assert answer.status_code == 401
    assert "Please verify your phone number again." in answer.text
    assert "/signup/phone" in answer.text


def test_a_proof_that_has_expired_leads_back_to_the_number(visitor: Visitor) -> None:
    visitor.verify()
    visitor.stage.clock.advance(301)
    assert visitor.post("create", name="Ada").status_code == 401
    assert "Please verify your phone number again." in visitor.page.text
    visitor.page = visitor.session.get(f"{visitor.stage.base_url}/signup/phone", timeout=10)
    visitor.sign_up()


def test_an_account_needs_a_name(visitor: Visitor) -> None:
    visitor.verify()
    for name in ("", "  "):
        assert visitor.post("create", name=name).status_code == 422
        assert "Please enter a name." in visitor.page.text
    visitor.post("create", name="x" * 100)
    assert f">{'x' * 40}<" in visitor.page.text


def test_a_name_is_text(visitor: Visitor) -> None:
    visitor.verify()
    visitor.post("create", name="<script>alert(1)</script>")
    assert "&lt;script&gt;" in visitor.page.text
    assert "<script>alert" not in visitor.page.text


def test_a_form_of_another_site_creates_nothing(visitor: Visitor) -> None:
    visitor.verify()
    url = visitor.page.url
    for csrf in ({}, {"csrf": ""}, {"csrf": "é"}):
        visitor.send(url, {"action": "create", "name": "Eve", **csrf})
        assert 'name="name"' in visitor.page.text
    visitor.post("create", name="Ada")
    assert "Ada" in visitor.page.text


def test_without_a_verified_number_there_is_no_account(visitor: Visitor) -> None:
    answer = visitor.send(f"{visitor.stage.base_url}/signup/account", visitor.fields() | {"name": "Eve"})
    assert answer.status_code == 401
    assert "Please verify your phone number again." in answer.text
    empty = requests.post(f"{visitor.stage.base_url}/signup/account", {"name": "Eve"}, timeout=10)
    assert empty.url == f"{visitor.stage.base_url}/signup/phone"


def test_all_of_it_speaks_chinese(stage: DemoStage) -> None:
    visitor = Visitor(stage, "zh-CN,zh;q=0.9")
    with visitor.session:
        assert "otpkit 演示" in visitor.session.get(f"{stage.base_url}/signup", timeout=10).text
        assert "注册" in visitor.page.text
        visitor.verify()
        assert "创建账号" in visitor.page.text
        visitor.post("create", name="小明")
        assert "账号已创建" in visitor.page.text


def test_the_language_that_was_chosen_is_that_of_the_other_pages(visitor: Visitor) -> None:
    visitor.session.get(f"{visitor.stage.base_url}/signup/phone?lang=zh", timeout=10)
    assert "otpkit 演示" in visitor.session.get(f"{visitor.stage.base_url}/signup", timeout=10).text


def test_the_gateway_and_the_inbox_are_where_they_are_alone(visitor: Visitor) -> None:
    visitor.verify()
    assert visitor.stage.code(PHONE) in visitor.session.get(f"{visitor.stage.base_url}/", timeout=10).text
    assert visitor.session.get(f"{visitor.stage.base_url}/nowhere", timeout=10).status_code == 404


@pytest.mark.parametrize(("phone", "status"), [("13900050001", 502), ("13900100040", 200)])
def test_numbers_that_misbehave_do_so_here(visitor: Visitor, phone: str, status: int) -> None:
    assert visitor.post("send", phone=phone).status_code == status
    assert ("We don't know if it was sent" in visitor.page.text) == (status == 200)


def test_without_intl_the_demo_takes_numbers_of_china(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otpkit.cli.demo.find_spec", lambda name: None)
    with demo_stage() as stage:
        page = requests.get(f"{stage.base_url}/signup/phone", timeout=10).text
    assert "<select" not in page
    assert "For example: <b>138 0013 8000</b>" in page


@pytest.mark.parametrize(("language", "text"), [("en", "Your otpkit code is "), ("zh", "【阿里大鱼】验证码")])
def test_message_is_in_the_visitors_language(stage: DemoStage, language: str, text: str) -> None:
    Visitor(stage, language).post("send", phone=PHONE)
    assert text in stage.sandbox.messages(PHONE)[0].text


def test_code_is_valid_after_the_language_is_switched(visitor: Visitor) -> None:
    visitor.post("send", phone=PHONE)
    visitor.page = visitor.session.get(f"{visitor.page.url}?lang=zh", timeout=10)
    visitor.post("verify", code=visitor.stage.code(PHONE))
    assert 'lang="zh-CN"' in visitor.page.text
    assert 'name="name"' in visitor.page.text


def control(stage: DemoStage, **form: str) -> requests.Response:
    """Send the form that starts and stops the attack."""
    return requests.post(f"{stage.base_url}/signup/attack", form, allow_redirects=False, timeout=10)


def finish(stage: DemoStage) -> None:
    """Wait until the attack has ended."""
    latest = time.monotonic() + 30
    while stage.attack.is_running:
        assert time.monotonic() < latest, "the attack did not end"
        time.sleep(0.02)


def progress(stage: DemoStage, language: str = "en") -> dict[str, object]:
    """Return the attack's progress, as the page reads it."""
    found: dict[str, object] = requests.get(f"{stage.base_url}/signup/attack", {"lang": language}, timeout=10).json()
    return found


@pytest.mark.parametrize("form", [{}, {"token": ""}, {"token": "x"}, {"token": "é"}], ids=repr)
def test_attack_needs_the_pages_token(stage: DemoStage, form: dict[str, str]) -> None:
    assert control(stage, do="start", **form).status_code == 403
    assert not stage.attack.is_running
    assert requests.get(f"{stage.base_url}/signup/attack", {"do": "start"} | form, timeout=10).ok
    assert progress(stage)["counts"] == {"requests": 0, "messages": 0, "captchas": 0}


def test_attack_is_stopped_by_the_guard() -> None:
    """The script's posts get messages up to the allowance of the region, and captchas from then on."""
    with demo_stage(Attack(requests=40, pace=0)) as stage:
        visitor = Visitor(stage)
        page = visitor.session.get(f"{stage.base_url}/signup", timeout=10).text
        token = re.findall(r'name="token" value="([^"]+)"', page)[0]
        assert control(stage, do="start", token=token).status_code == 303
        finish(stage)
        counts = stage.attack.counts
        assert counts.requests == 40 == counts.messages + counts.captchas
        assert counts.messages == len(stage.sandbox.messages()) == 15
        visitor.post("send", phone=PHONE)  # A visitor gets a captcha too, and is not counted.
        visitor.session.close()
        assert "data-captcha" in visitor.page.text
        assert progress(stage)["counts"] == {"requests": 40, "messages": 15, "captchas": 25}
        assert str(progress(stage, "zh")["text"]).startswith("脚本已停止")
        assert control(stage, do="start", token=token).status_code == 303  # It can be started again.
        finish(stage)
        assert stage.attack.counts.messages == 0


def test_attack_runs_once_at_a_time() -> None:
    with demo_stage(Attack(requests=100_000, pace=0.01)) as stage:
        clicks = [
            threading.Thread(target=control, args=(stage,), kwargs={"do": "start", "token": stage.attack.token})
            for _ in range(8)
        ]
        for click in clicks:
            click.start()
        for click in clicks:
            click.join()
        assert [thread.name for thread in threading.enumerate()].count("otpkit-attack") == 1
        control(stage, do="stop", token=stage.attack.token)
        finish(stage)


def test_attack_ends_with_the_site() -> None:
    with demo_stage(Attack(requests=100_000, pace=0)) as stage:
        control(stage, do="start", token=stage.attack.token)
    finish(stage)


class RecordedAttack(Attack):
    """An attack that keeps the addresses of all requests, as the site sees them."""

    def __init__(self, requests: int, pace: float) -> None:
        super().__init__(requests, pace)
        self.addresses: set[str] = set()

    def mark(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        marked = super().mark(scope)
        self.addresses.add(marked["client"][0])
        return marked


def test_each_number_comes_from_another_address() -> None:
    attack = RecordedAttack(requests=10, pace=0)
    with demo_stage(attack) as stage:
        control(stage, do="start", token=attack.token)
        finish(stage)
        requests.get(f"{stage.base_url}/signup", timeout=10)
    assert "127.0.0.1" in attack.addresses
    assert len(attack.addresses) == 11


def test_address_is_believed_from_the_script_alone(stage: DemoStage) -> None:
    """Requests with another secret keep the address of their connection."""
    for header in ("", "x 61.135.20.7", " 61.135.20.7", "é 61.135.20.7"):
        scope = {"headers": [(b"x-otpkit-demo-attack", header.encode())], "client": ("127.0.0.1", 5)}
        assert stage.attack.mark(scope) == scope
    assert "x-otpkit-demo-attack" not in Visitor(stage).page.text
