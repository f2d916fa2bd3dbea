"""The widgets of all providers in a real browser: a small script in place of each provider's, under the real policy.

Each script has the documented functions, and calls back with an answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from page_site import page_site
from page_visitor import PHONE, code_field
from playwright.sync_api import Page, Route, expect

from otpkit import Guard
from otpkit.captcha import AliyunCaptcha, Captcha, Geetest, HCaptcha, ReCaptcha, TencentCaptcha, Turnstile
from otpkit.testing import FailingCaptcha, PassingCaptcha

Open = Callable[..., Page]
NOWHERE = "http://127.0.0.1:1"  # The answers are looked at on their way, and not verified.
KEYS = {"base_url": NOWHERE}
RENDER = "render(place, options) { place.textContent = 'widget'; window.given = options; options.callback('right'); }"
EXECUTE = "ready(go) { go(); }, execute(key, options) { window.given = options; return Promise.resolve('right'); }"
TENCENT = """window.TencentCaptcha = class {
  constructor(...given) { window.given = given; this.callback = given.find((each) => typeof each === "function"); }
  show() { this.callback({ ret: 2 }); this.callback({ ret: 0, ticket: "t", randstr: "@r" }); }
};"""
ALIYUN = """window.initAliyunCaptcha = (options) => {
  window.given = { ...options, ...AliyunCaptchaConfig };
  if (!document.querySelector(options.element) || !document.querySelector(options.button)) throw new Error("no place");
  options.success("right");
};"""
GEETEST = """window.initGeetest4 = (options, ready) => {
  window.given = options;
  let told;
  ready({
    appendTo: (place) => { place.textContent = "widget"; setTimeout(() => told(), 0); },
    onSuccess: (tell) => { told = tell; }, onError: () => {}, getValidate: () => ({ lot_number: "1" }),
  });
};"""
CASES: dict[str, tuple[Captcha, str, str, dict[str, Any]]] = {
    "turnstile": (
        Turnstile("site", "secret", base_url="https://proxy.example"),
        f"window.turnstile = {{ {RENDER} }};",
        "right",
        {"sitekey": "site", "action": "signup", "size": "normal"},
    ),
    "hcaptcha": (
        HCaptcha("site", "secret", **KEYS),
        f"window.hcaptcha = {{ {RENDER} }};",
        "right",
        {"sitekey": "site"},
    ),
    "recaptcha v2": (
        ReCaptcha("site", "secret", **KEYS),
        f"window.grecaptcha = {{ ready(go) {{ go(); }}, {RENDER} }};",
        "right",
        {"sitekey": "site"},
    ),
    "recaptcha v3": (
        ReCaptcha("site", "secret", version="v3", domain="www.recaptcha.net", **KEYS),
        f"window.grecaptcha = {{ {EXECUTE} }};",
        "right",
        {"action": "signup"},
    ),
    "recaptcha enterprise": (
        ReCaptcha("site", api_key="key", project="project-1", version="enterprise", **KEYS),
        f"window.grecaptcha = {{ enterprise: {{ {EXECUTE} }} }};",
        "right",
        {"action": "signup"},
    ),
    "tencent": (
        TencentCaptcha("id", "key", app_id=7, app_secret_key="secret", **KEYS),
        TENCENT,
        json.dumps({"ticket": "t", "randstr": "@r"}, separators=(",", ":")),
        {"0": "7", "2": {"userLanguage": "en"}},
    ),
    "tencent international": (
        TencentCaptcha("id", "key", app_id=7, app_secret_key="secret", international=True, **KEYS),
        TENCENT,
        json.dumps({"ticket": "t", "randstr": "@r"}, separators=(",", ":")),
        {"1": "7"},
    ),
    "aliyun": (
        AliyunCaptcha("id", "key", scene_id="scene", prefix="pre", **KEYS),
        ALIYUN,
        "right",
        {"SceneId": "scene", "prefix": "pre", "region": "cn", "language": "en"},
    ),
    "geetest": (Geetest("id", "key", **KEYS), GEETEST, '{"lot_number":"1"}', {"captchaId": "id", "language": "eng"}),
}


@pytest.mark.parametrize("name", CASES)
def test_widget_writes_its_answer(open_page: Open, name: str) -> None:
    captcha, script, answer, given = CASES[name]
    source = str(captcha.parameters("signup")["script"]).partition("?")[0]
    asked: list[str] = []

    def provide(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(body=script, content_type="text/javascript")

    with page_site(guard=Guard("enforce", captcha, ask="always", fallback="refuse")) as site:
        page = open_page("about:blank")
        page.route(f"{source}*", provide)
        page.goto(site.url)
        page.get_by_label("Mobile number").fill(PHONE)
        page.wait_for_function("window.given !== undefined || window.grecaptcha !== undefined")
        page.evaluate("document.addEventListener('submit', () => { window.name = JSON.stringify(window.given); })")
        with page.expect_navigation(), page.expect_request(lambda request: request.method == "POST") as sent:
            page.get_by_role("button", name="Send code").click()
        seen = json.loads(page.evaluate("window.name"))
    if isinstance(seen, list):
        seen = {str(place): each for place, each in enumerate(seen)}
    assert seen == seen | given
    assert parse_qs(sent.value.post_data or "")["captcha"] == [answer]
    assert asked[0].startswith(source)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_other_captcha_is_a_field(open_page: Open, shut_out: Callable[[Page], list[str]], scripts: bool) -> None:
    """So the captchas of `otpkit.testing` work on pages, and an application's own question does."""

    class Question(PassingCaptcha):
        def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
            return {"provider": self.name, "question": "What is 2 + 3?"}

    with page_site(guard=Guard("enforce", Question(), ask="always")) as site:
        page = open_page(site.url, java_script_enabled=scripts)
        page.get_by_label("Mobile number").fill(PHONE)
        page.get_by_label("What is 2 + 3?").fill("5")
        if scripts:
            assert shut_out(page) == []
        page.get_by_role("button", name="Send code").click()
        expect(code_field(page)).to_be_focused()


def test_failing_captcha_is_told_each_time(open_page: Open) -> None:
    with page_site(guard=Guard("enforce", FailingCaptcha(), ask="always")) as site:
        page = open_page(site.url)
        for _ in range(3):
            page.get_by_label("Mobile number").fill(PHONE)
            page.get_by_label("Your answer").fill("no")
            page.get_by_role("button", name="Send code").click()
            expect(page.get_by_role("alert")).to_contain_text("That check was not passed")
        assert len(site.outbox) == 0
