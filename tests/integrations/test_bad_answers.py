"""Bad captcha answers and bad providers on every surface: nothing is sent, and each says plainly what is wrong.

The provider is the sandbox's Turnstile. The command line has the same in tests/cli/test_bad_answers_command.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import requests
from django_site import Browser, hidden, site
from served_apps import SECRET, TEMPLATE, serving
from support.form_visitor import FormVisitor
from support.service import serving as serving_http

from otpkit import OTP, AsyncOTP, Challenge, Guard, OTPError, Policy
from otpkit.captcha import Turnstile
from otpkit.sandbox import Fault, Sandbox, SolvedCaptcha, running
from otpkit.testing import Outbox

API: Any = "turnstile.siteverify"
POLICY = Policy(sends="32/day", ip_sends=None)
_numbers = count(13100000000)


@dataclass
class Told:
    """What a surface answers: the status of the error, its word if the surface has one, and all its text."""

    status: int
    code: str
    provider: str
    text: str = field(repr=False)


@dataclass
class Surface:
    """One way to ask for a code: `ask(phone, answer)` returns what is told."""

    ask: Callable[[str, str | None], Told]
    outbox: Any
    sandbox: Sandbox
    is_json: bool = False

    def phone(self) -> str:
        return f"+86{next(_numbers)}"


def told_by_error(result: Any) -> Told:
    if isinstance(result, Challenge):
        return Told(200, "", "", "")
    assert isinstance(result, OTPError)
    return Told(result.status, result.code, getattr(result, "provider", ""), f"{result} {result.message('en')}")


def told_by_json(answer: requests.Response) -> Told:
    body = answer.json()
    status = 200 if answer.status_code < 300 else answer.status_code
    return Told(status, body.get("code", ""), body.get("provider", ""), answer.text)


def told_by_page(status: int, text: str) -> Told:
    """Return what a page tells: its alert, and the captcha that it shows."""
    alert = re.search(r'role="alert">([^<]*)<', text)
    codes = {"was not passed": "captcha_rejected", "does not work": "captcha_unavailable", "is too long": "too_long"}
    found = next((code for said, code in codes.items() if alert and said in alert[1]), "")
    shown = re.search(r'data-captcha="(work|widget)"|data-kind="(work|widget)"', text)
    return Told(200 if status == 303 else status, found, "" if shown is None else str(shown[1] or shown[2]), text)


def on_otp(stack: ExitStack, guard: Guard) -> tuple[Any, Any, bool]:
    outbox = Outbox()
    otp = stack.enter_context(OTP("memory://", outbox, TEMPLATE, SECRET, guard=guard, policy=POLICY))

    def ask(phone: str, answer: str | None) -> Told:
        try:
            return told_by_error(otp.issue(phone, captcha=answer))
        except OTPError as error:
            return told_by_error(error)

    return ask, outbox, False


def on_async_otp(stack: ExitStack, guard: Guard) -> tuple[Any, Any, bool]:
    outbox = Outbox()

    def ask(phone: str, answer: str | None) -> Told:
        async def call() -> Told:
            try:
                return told_by_error(await otp.issue(phone, captcha=answer))
            except OTPError as error:
                return told_by_error(error)

        return loop.run(call())

    loop = stack.enter_context(asyncio.Runner())
    otp = AsyncOTP("memory://", outbox, TEMPLATE, SECRET, guard=guard, policy=POLICY)
    stack.callback(lambda: loop.run(otp.close()))
    return ask, outbox, False


def on_page(framework: Any) -> Callable[[ExitStack, Guard], tuple[Any, Any, bool]]:
    def made(stack: ExitStack, guard: Guard) -> tuple[Any, Any, bool]:
        served = stack.enter_context(serving(framework, guard=guard, policy=POLICY))

        def ask(phone: str, answer: str | None) -> Told:
            visitor = FormVisitor(f"{served.url}/signup")
            visitor.look()
            typed = {"phone": phone} if answer is None else {"phone": phone, "cf-turnstile-response": answer}
            page = visitor.send(visitor.form("send") | typed, follow=False)
            return told_by_page(page.status_code, page.text)

        return ask, served.outbox, False

    return made


def on_django(stack: ExitStack, guard: Guard) -> tuple[Any, Any, bool]:
    shop = stack.enter_context(site(GUARD=guard, POLICY=POLICY))

    def ask(phone: str, answer: str | None) -> Told:
        browser = Browser()
        typed = {"phone": phone} if answer is None else {"phone": phone, "cf-turnstile-response": answer}
        page = browser.post("/signup/", hidden(browser.get("/signup/")) | typed)
        return told_by_page(page.status_code, page.content.decode())

    return ask, shop.outbox, False


def on_json_router(stack: ExitStack, guard: Guard) -> tuple[Any, Any, bool]:
    served = stack.enter_context(serving("fastapi", guard=guard, policy=POLICY))

    def ask(phone: str, answer: str | None) -> Told:
        body = {"phone": phone} if answer is None else {"phone": phone, "captcha": answer}
        return told_by_json(requests.post(f"{served.url}/api/signup/challenges", json=body, timeout=20))

    return ask, served.outbox, True


def on_service(stack: ExitStack, guard: Guard) -> tuple[Any, Any, bool]:
    served = stack.enter_context(serving_http("memory://", otp_options={"guard": guard, "policy": POLICY}))

    def ask(phone: str, answer: str | None) -> Told:
        body = {"phone": phone} if answer is None else {"phone": phone, "captcha": answer}
        return told_by_json(served.post("/v1/challenges", body))

    return ask, served.outbox, True


SURFACES: dict[str, Any] = {
    "OTP": on_otp,
    "AsyncOTP": on_async_otp,
    "fastapi": on_page("fastapi"),
    "flask": on_page("flask"),
    "django": on_django,
    "json": on_json_router,
    "service": on_service,
}


def turnstile(base_url: str) -> Turnstile:
    return Turnstile("sandbox", "sandbox-secret", hostnames=["localhost"], base_url=base_url, timeout=(3, 3))


@pytest.fixture(scope="module", params=SURFACES)
def surface(request: pytest.FixtureRequest) -> Iterator[Surface]:
    with ExitStack() as stack:
        sandbox = Sandbox()
        address = stack.enter_context(running(sandbox))
        guard = Guard("enforce", turnstile(address.base_url), ask="always", fallback="refuse")
        ask, outbox, is_json = SURFACES[request.param](stack, guard)
        yield Surface(ask, outbox, sandbox, is_json)


def solved(surface: Surface, **changes: Any) -> str:
    return surface.sandbox.solve_captcha(SolvedCaptcha("turnstile", **{"action": "signup", **changes}))


def test_right_answer_passes(surface: Surface) -> None:
    sent = len(surface.outbox)
    assert surface.ask(surface.phone(), None).status == 403
    assert surface.ask(surface.phone(), solved(surface)).status == 200
    assert len(surface.outbox) == sent + 1


@pytest.mark.parametrize(
    "changes",
    [{"hostname": "evil.example"}, {"action": "login"}, {"action": ""}, {"age": 301.0}],
    ids=["another site", "another purpose", "no purpose", "expired"],
)
def test_foreign_or_old_answer_is_rejected(surface: Surface, changes: dict[str, Any]) -> None:
    sent, answer = len(surface.outbox), solved(surface, **changes)
    told = surface.ask(surface.phone(), answer)
    assert (told.status, told.code) == (403, "captcha_rejected")
    assert answer not in told.text
    assert len(surface.outbox) == sent


def test_replayed_answer_is_rejected(surface: Surface) -> None:
    answer = solved(surface)
    assert surface.ask(surface.phone(), answer).status == 200
    for _ in range(2):
        told = surface.ask(surface.phone(), answer)
        assert (told.status, told.code) == (403, "captcha_rejected")


@pytest.mark.parametrize("answer", ["made up", "0" * 9_000, "答案", "a\u0000b", "{}", "' OR 1=1 --", "<script>"])
def test_what_is_no_answer_is_rejected(surface: Surface, answer: str) -> None:
    """A JSON surface names the field that can't be one."""
    sent = len(surface.outbox)
    told = surface.ask(surface.phone(), answer)
    if surface.is_json and not (answer.isascii() and answer.isprintable() and len(answer) <= 6_000):
        assert (told.status, told.code) in {(422, "invalid_request"), (422, "malformed_request")}
        assert "captcha" in told.text
    else:
        assert (told.status, told.code) == (403, "captcha_rejected")
    assert answer not in told.text or answer == "{}"
    assert len(surface.outbox) == sent


def test_megabyte_is_refused_at_once(surface: Surface) -> None:
    """The provider is not asked."""
    sent, asked = len(surface.outbox), surface.sandbox.stats().get(API, 0)
    told = surface.ask(surface.phone(), "x" * 1_000_000)
    is_call = told.code == "captcha_rejected"  # A call has no form around the answer.
    assert told.status == (403 if is_call else 413)
    assert told.code in {"captcha_rejected", "too_long", "body_too_long"}
    assert "xxxx" not in told.text
    assert len(surface.outbox) == sent
    assert surface.sandbox.stats().get(API, 0) == asked


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"fault": "http_500"},
    "HTML": {"fault": "not_json"},
    "nothing": {"fault": "drop"},
    "half": {"fault": "half"},
    "slowly": {"fault": "late", "delay": 6},
    "too many calls": {"fault": "throttled"},
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_provider_is_told(surface: Surface, name: str) -> None:
    """It says nothing about the visitor, so the answer is not said to be wrong."""
    sent = len(surface.outbox)
    surface.sandbox.clear_faults()
    surface.sandbox.add_fault(Fault(api=API, **FAULTS[name]))
    told = surface.ask(surface.phone(), solved(surface))
    assert (told.status, told.code) == (503, "captcha_unavailable")
    assert "urnstile" not in told.text.replace("cf-turnstile-response", "") or told.code == "captcha_unavailable"
    assert len(surface.outbox) == sent
    surface.sandbox.clear_faults()
    assert surface.ask(surface.phone(), solved(surface)).status == 200


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("fallback", [None, "allow"])
def test_fallback_serves_the_visitor(name: str, fallback: Any) -> None:
    """By default a proof of work is asked for in its place."""
    with ExitStack() as stack:
        sandbox = Sandbox()
        address = stack.enter_context(running(sandbox))
        guard = Guard("enforce", turnstile(address.base_url), ask="always", fallback=fallback)
        ask, outbox, is_json = SURFACES[name](stack, guard)
        surface = Surface(ask, outbox, sandbox, is_json)
        sandbox.add_fault(Fault("http_500", api=API))
        told = surface.ask(surface.phone(), solved(surface))
        if fallback == "allow":
            assert (told.status, len(outbox)) == (200, 1)
        else:
            assert (told.status, len(outbox)) == (403, 0)
            assert told.code in {"captcha_required", ""}
            assert "proof-of-work" in told.text + told.provider
