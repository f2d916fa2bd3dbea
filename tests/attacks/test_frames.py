"""No frame of otpkit in an error contains a code or a number: each call, each error, at each effect."""

from __future__ import annotations

import asyncio
import inspect
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from support.frame_search import held
from support.secrets import SECRET

from otpkit import (
    OTP,
    AsyncOTP,
    ConfigurationError,
    FixedCode,
    GatewayRejectedError,
    OTPError,
    Policy,
    StoreUnavailableError,
    Template,
)
from otpkit.cli import commands
from otpkit.frames import without_locals
from otpkit.gateways import Alidayu, verify_webhook
from otpkit.testing import Outbox
from otpkit.web import Asked, PhoneForms, drive, drive_async

NUMBER = "13800138000"
PHONE = f"+86{NUMBER}"
POLICY = Policy(code_length=10)  # Ten digits do not occur elsewhere by chance.
TEMPLATE = Template("SMS_1", "otpkit")
ERRORS = [
    ConfigurationError("Redis refused the script."),
    StoreUnavailableError("Redis did not answer."),
    GatewayRejectedError("It refused.", gateway="g"),
    RuntimeError("a fault of ours"),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
]
CALLS = ("issue", "status", "delivery", "verify", "redeem", "standing", "revoke", "unblock", "erase")


class Failing:
    """A shell whose n-th effect raises an error."""

    def __init__(self, shell: Any, **options: Any) -> None:
        self.outbox = Outbox()
        self.otp = shell("memory://", self.outbox, TEMPLATE, SECRET, policy=POLICY, **options)
        self.left: int | None = None
        self.error: BaseException = ERRORS[0]
        run, send = self.otp._store.run, self.outbox.send

        def run_or_fail(effect: Any, patience: Any) -> Any:
            self.count()
            return run(effect, patience)

        def send_or_fail(message: Any) -> Any:
            self.count()
            return send(message)

        self.otp._store.run, self.outbox.send = run_or_fail, send_or_fail  # type: ignore[method-assign]

    def count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise type(self.error)(*self.error.args)

    def make(self, name: str, loop: asyncio.Runner) -> Any:
        """Make a call. The caller's own frames must not hold its arguments."""
        found = getattr(self.otp, name)(*self.given(name))
        return loop.run(_awaited(found)) if inspect.iscoroutine(found) else found

    def given(self, name: str) -> tuple[Any, ...]:
        if name == "redeem":
            return (self.token, "signup")
        return (PHONE, self.outbox[-1].code) if name == "verify" else (PHONE,)


def called(otp: Any, name: str, *given: Any) -> Any:
    """Make a call, and await it if necessary."""
    found = getattr(otp, name)(*given)
    return asyncio.run(_awaited(found)) if inspect.iscoroutine(found) else found


def caught_from(call: Any) -> BaseException | None:
    """Return the error that a call raises."""
    try:
        call()
    except BaseException as error:
        return error
    return None


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shell", [OTP, AsyncOTP])
def test_call_leaves_nothing_in_frames(shell: Any, name: str, error: BaseException) -> None:
    failing, raised = Failing(shell), 0
    with asyncio.Runner() as loop:
        failing.make("issue", loop)
        if name == "redeem":
            failing.token = failing.make("verify", loop).token
        for nth in range(9):
            failing.left, failing.error = nth, error
            caught = caught_from(lambda: failing.make(name, loop))
            if caught is not None:
                raised += 1
                assert held(caught, NUMBER, *(message.code for message in failing.outbox)) == []
            if failing.left and failing.left > 0:
                break
            failing.left = None
            if name == "issue":
                failing.make("erase", loop)
    assert raised > 0


@pytest.mark.parametrize("name", [name for name in CALLS if name != "redeem"])
@pytest.mark.parametrize("shell", [OTP, AsyncOTP])
def test_bad_input_leaves_nothing_in_frames(shell: Any, name: str) -> None:
    """The inputs are an invalid number, one of another region, an invalid code, and an invalid purpose."""
    code = ("2468013579",) if name == "verify" else ()
    otp = shell("memory://", Outbox(), TEMPLATE, SECRET, policy=POLICY)
    bad = [("+8520138000138", *code), (f"{PHONE}7", *code)]
    if name not in ("standing", "unblock", "erase"):
        bad.append((PHONE, *code, "p" * 129))
    if code:
        bad.append((PHONE, "24680135790"))
    for given in bad:
        with pytest.raises(OTPError) as caught:
            called(otp, name, *given)
        assert held(caught.value, NUMBER, "0138000138", "2468013579") == []


def test_fixed_code_leaves_nothing_in_frames() -> None:
    """The secret of an `OTP` that fails to build is not in the frames either."""
    until = datetime.now(UTC) + timedelta(days=9)
    with pytest.raises(ConfigurationError) as caught:
        FixedCode(PHONE, "2468013579", until.replace(tzinfo=None), {"signup"})
    assert held(caught.value, NUMBER, "2468013579") == []
    for shell in (OTP, AsyncOTP):
        for phone, code in ((PHONE, "24680135790"), ("1", "2468013579")):
            fixed = FixedCode(phone, code, until, {"signup"})
            with pytest.raises(ConfigurationError) as caught:
                shell("memory://", Outbox(), TEMPLATE, SECRET, policy=POLICY, fixed_codes=[fixed])
            assert held(caught.value, NUMBER, "2468013579", SECRET) == []


def test_gateway_that_is_used_directly_leaves_nothing_in_frames() -> None:
    """This covers its own calls, and the check of a webhook's signature."""
    gateway = Alidayu("key", "the-app-secret", base_url="http://127.0.0.1:1")
    code = {"code": "2468013579"}
    for ask in (
        lambda: gateway.query_sms_detail(NUMBER, "20260101"),
        lambda: next(gateway.iter_sms_details(NUMBER, "20260101")),
        lambda: gateway.send_sms(NUMBER, template_code="SMS_1", sign_name="otpkit", params=code),
    ):
        with pytest.raises(OTPError) as caught:
            ask()
        assert held(caught.value, NUMBER, "2468013579", "the-app-secret") == []
    with pytest.raises(ConfigurationError) as caught:
        Alidayu("key", "the-app-secret", base_url="ftp://x")
    assert held(caught.value, "the-app-secret") == []
    with pytest.raises(OTPError) as caught:
        verify_webhook(NUMBER.encode(), {}, SECRET, now=0)
    assert held(caught.value, NUMBER, SECRET) == []


@pytest.mark.parametrize("name", ["send", "verify"])
@pytest.mark.parametrize("shell", [OTP, AsyncOTP])
def test_form_leaves_nothing_in_frames(shell: Any, name: str) -> None:
    """The form is that of `otpkit.web`, driven by the application."""
    failing = Failing(shell)
    forms, state = PhoneForms("signup", POLICY, lambda view: ""), {"id": "id", "csrf": "csrf"}
    kept = SimpleNamespace(form={"csrf": "csrf", "action": "send", "phone": NUMBER})

    async def awaited() -> Any:
        return await drive_async(forms.submit(state, kept.form, Asked(url="/")), failing.otp)

    def submit() -> Any:
        if shell is AsyncOTP:
            return asyncio.run(awaited())
        return drive(forms.submit(state, kept.form, Asked(url="/")), failing.otp)

    if name == "verify":
        submit()
        kept.form = {"csrf": "csrf", "action": "verify", "code": failing.outbox[-1].code}
    failing.left = 0
    with pytest.raises(ConfigurationError) as caught:
        submit()
    assert held(caught.value, NUMBER, *(message.code for message in failing.outbox)) == []


def test_command_leaves_nothing_in_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is not otpkit's and ends the process."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(commands, "configured", lambda _: nullcontext(SimpleNamespace(verify=fail, issue=fail)))
    for args in (["issue", PHONE], ["verify", PHONE, "2468013579"]):
        monkeypatch.setattr(sys, "argv", ["otpkit", *args])
        with pytest.raises(RuntimeError) as caught:
            commands.run()
        assert held(caught.value, NUMBER, "2468013579", modules=("otpkit",)) == []


def test_frames_of_the_caller_are_the_callers() -> None:
    """Variables stay in the application's frames, in its gateway function, and in an error that was being handled."""

    def gateway(message: Any) -> None:
        mine = "in the gateway"
        raise ConfigurationError(f"not {len(mine)}")

    def handled() -> None:
        mine = "handled"
        raise ValueError(len(mine))

    otp = OTP("memory://", gateway, TEMPLATE, SECRET)

    def issue() -> None:
        try:
            handled()
        except ValueError:
            otp.issue(PHONE)

    with pytest.raises(ConfigurationError) as caught:
        issue()
    assert held(caught.value, "in the gateway", modules=(__name__,)) != []
    assert held(caught.value, "'handled'", modules=(__name__,)) != []
    assert held(caught.value, NUMBER) == []


def test_wrapped_call_is_what_it_was() -> None:
    """Its name and signature are unchanged, and it still is or is not a coroutine function."""
    for shell in (OTP, AsyncOTP):
        assert list(inspect.signature(shell.verify).parameters)[:3] == ["self", "phone", "code"]
        assert shell.verify.__name__ == "verify"
        assert shell.verify.__doc__
    assert inspect.iscoroutinefunction(AsyncOTP.verify)
    assert not inspect.iscoroutinefunction(OTP.verify)
    assert without_locals(len)("abc") == 3
