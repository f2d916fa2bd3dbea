"""The captcha: its answer is checked first, used once, and not used up when another limit refuses."""

from __future__ import annotations

import asyncio
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from guard_rig import FREE, FakeCaptcha, Guarded
from support.rig import SECRET, TEMPLATE, outcome, together

from otpkit import (
    OTP,
    AsyncOTP,
    CaptchaRejectedError,
    CaptchaRequiredError,
    CaptchaUnavailableError,
    ConfigurationError,
    Decision,
    Figures,
    Guard,
    Policy,
    RefusedError,
    RiskContext,
)
from otpkit.captcha.base import MAX_ANSWER
from otpkit.guard.rule import Rule
from otpkit.testing import Outbox


def test_answer_is_used_once(guarded: Guarded) -> None:
    otp = guarded.guarded(ask="always")
    assert guarded.send(otp, guarded.phone(), captcha="ok") == "sent"
    again = outcome(otp.issue, guarded.phone(), captcha="ok")
    assert isinstance(again, CaptchaRejectedError)
    assert again.parameters == {"provider": "fake", "purpose": "signup"}
    assert "used before" in again.problem


def test_answer_is_used_once_where_none_was_needed(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=Rule(range_floor=1))
    assert guarded.send(otp, guarded.phone(1), captcha="ok") == "sent"
    assert isinstance(outcome(otp.issue, guarded.phone(1), captcha="ok"), CaptchaRejectedError)


def test_answer_that_is_not_needed_need_not_be_right(guarded: Guarded) -> None:
    """Nor its provider be there."""
    otp = guarded.guarded(rule=Rule(range_floor=100))
    assert guarded.send(otp, guarded.phone(), captcha="no") == "sent"
    guarded.captcha.is_silent = True
    assert guarded.send(otp, guarded.phone(), captcha="ok") == "sent"


def test_wrong_answer_is_rejected(guarded: Guarded) -> None:
    otp = guarded.guarded(ask="always")
    rejected = outcome(otp.issue, guarded.phone(), captcha="no")
    assert isinstance(rejected, CaptchaRejectedError)
    assert (rejected.code, rejected.status, rejected.reasons) == ("captcha_rejected", 403, ("always",))
    assert len(guarded.outbox) == 0


@pytest.mark.parametrize("single_use", [False, True])
def test_answer_is_not_used_up_by_another_limit(guarded: Guarded, single_use: bool) -> None:
    """Where the provider accepts an answer once, its verdict is kept."""
    guarded.captcha = FakeCaptcha(single_use=single_use)
    otp = guarded.guarded(Policy(ip_sends=None), ask="always")
    phone = guarded.phone(1)
    assert guarded.send(otp, phone, captcha="ok1") == "sent"
    assert guarded.send(otp, phone, captcha="ok2") == "phone"
    assert guarded.send(otp, guarded.phone(2), captcha="ok2") == "sent"
    assert guarded.captcha.asked.count("ok2") == (1 if single_use else 2)
    assert isinstance(outcome(otp.issue, guarded.phone(3), captcha="ok2"), CaptchaRejectedError)


def test_kept_verdict_is_worth_nothing_for_another_purpose(guarded: Guarded) -> None:
    """The provider is asked again, and it accepts an answer once."""
    guarded.captcha = FakeCaptcha(single_use=True)
    otp = guarded.guarded(Policy(ip_sends=None), ask="always")
    phone = guarded.phone(1)
    assert guarded.send(otp, phone, captcha="ok1") == "sent"
    assert guarded.send(otp, phone, captcha="ok2") == "phone"
    assert isinstance(outcome(otp.issue, guarded.phone(2), "login", captcha="ok2"), CaptchaRejectedError)
    assert guarded.send(otp, guarded.phone(3), captcha="ok2") == "sent"


def test_answer_is_used_once_for_all_purposes(guarded: Guarded) -> None:
    """Also where its provider would accept it again."""
    otp = guarded.guarded(ask="always")
    assert guarded.send(otp, guarded.phone(), captcha="ok") == "sent"
    assert isinstance(outcome(otp.issue, guarded.phone(), "login", captcha="ok"), CaptchaRejectedError)


# One captcha for each purpose


def test_purpose_has_its_own_captcha(guarded: Guarded) -> None:
    """It alone is asked about an answer. Another purpose has that of "*"."""
    own, rest = FakeCaptcha(), FakeCaptcha()
    otp = guarded.guarded(ask="always", captcha={"signup": own, "*": rest})
    assert guarded.send(otp, guarded.phone(), captcha="ok1") == "sent"
    assert (own.asked, rest.asked) == (["ok1"], [])
    outcome(otp.issue, guarded.phone(), "login", captcha="ok2")
    outcome(otp.issue, guarded.phone(), "payment", captcha="no")
    assert (own.asked, rest.asked) == (["ok1"], ["ok2", "no"])


def test_purpose_without_a_captcha_has_the_proof_of_work(guarded: Guarded) -> None:
    otp = guarded.guarded(ask="always", captcha={"signup": guarded.captcha})
    asked = [outcome(otp.issue, guarded.phone(), purpose) for purpose in ("signup", "login")]
    assert [error.provider for error in asked] == ["fake", "proof-of-work"]
    assert [error.provider for error in (outcome(otp.issue, guarded.phone(), captcha="x" * 10**6),)] == ["fake"]


@pytest.mark.parametrize(
    ("captcha", "said"),
    [
        ({}, "Guard.captcha is not a captcha"),
        ("turnstile", "Guard.captcha is not a captcha"),
        ([FakeCaptcha()], "Guard.captcha is not a captcha"),
        ({"signup": None}, "no captcha for 'signup'"),
        ({"signup": "turnstile", "*": 5}, "no captcha for 'signup'.*no captcha for '[*]'"),
        ({"": FakeCaptcha()}, "purpose must be a text"),
        ({7: FakeCaptcha()}, "purpose must be a text"),
    ],
)
def test_what_is_no_captcha_is_refused(captcha: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){said}"):
        Guard(captcha=captcha)


def test_captcha_of_a_purpose_without_template_is_refused() -> None:
    """It is a typing error: that purpose would get another captcha than the one meant."""
    captchas = {"signup": FakeCaptcha(), "singup": FakeCaptcha(), "*": FakeCaptcha()}
    with pytest.raises(ConfigurationError, match=r"Guard.captcha is for the purpose 'singup'.*did you mean signup"):
        OTP("memory://", Outbox(), {"signup": TEMPLATE}, SECRET, guard=Guard(captcha=captchas))
    OTP("memory://", Outbox(), TEMPLATE, SECRET, guard=Guard(captcha=captchas)).close()


def test_guard_with_captchas_is_a_value() -> None:
    """It has a hash, and what changes in the mapping later changes no guard."""
    captcha = FakeCaptcha()
    captchas = {"signup": captcha}
    guard = Guard(captcha=captchas)
    captchas.clear()
    assert guard == Guard(captcha={"signup": captcha})
    assert hash(guard) == hash(Guard(captcha={"signup": captcha}))


@pytest.mark.parametrize("answer", ["x" * 1_000_000, "x" * (MAX_ANSWER + 1), 5, b"bytes"])
def test_answer_that_can_be_none_is_refused_before_anything(guarded: Guarded, answer: Any) -> None:
    otp = guarded.guarded(rule=Rule(range_floor=100))
    assert isinstance(outcome(otp.issue, guarded.phone(), captcha=answer), CaptchaRejectedError)
    assert (guarded.captcha.asked, guarded.stored()) == ([], [])


def test_silent_provider_falls_back(guarded: Guarded) -> None:
    guarded.captcha.is_silent = True
    phone = guarded.phone()
    refusing = outcome(guarded.guarded(ask="always").issue, phone, captcha="ok")
    assert isinstance(refusing, CaptchaUnavailableError)
    assert refusing.status == 503
    asked = outcome(guarded.guarded(ask="always", fallback=None).issue, phone, captcha="ok")
    assert (type(asked), asked.provider) == (CaptchaRequiredError, "proof-of-work")
    assert guarded.send(guarded.guarded(ask="always", fallback="allow"), phone, captcha="ok") == "sent"
    assert [event.outcome for event in guarded.told("captcha")] == ["unavailable"] * 3


def test_fallback_is_worth_nothing_unless_it_was_asked_for(guarded: Guarded) -> None:
    """A proof of work of the captcha's own key is none of the fallback's."""
    from otpkit.captcha import ProofOfWork

    plain = guarded.guarded(ask="always", captcha=None)
    parameters = outcome(plain.issue, guarded.phone()).parameters
    own = plain._config.protection.captcha_for("signup")
    assert isinstance(own, ProofOfWork)
    assert parameters["provider"] == own.name
    falling = guarded.guarded(ask="always", fallback=None)._config.protection
    assert falling.fallback is not own


def test_captcha_events_name_scope_and_reasons(guarded: Guarded) -> None:
    otp = guarded.guarded(ask="always")
    phone = guarded.phone()
    for answer in (None, "no", "ok"):
        outcome(otp.issue, phone, captcha=answer)
    told = [(event.name, event.outcome, event.detail) for event in guarded.events if event.name in {"guard", "captcha"}]
    assert told == [
        *(("guard", "captcha", "always"), ("captcha", "required", "always")),
        *(("guard", "captcha", "always"), ("captcha", "rejected", "always")),
        ("captcha", "passed", "always"),
    ]


def test_captcha_that_raises_is_silent(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, answer: str, check: Any) -> Any:
        raise RuntimeError(answer)
        yield

    monkeypatch.setattr(FakeCaptcha, "verify", broken)
    failed = outcome(guarded.guarded(ask="always").issue, guarded.phone(), captcha="secret answer")
    assert isinstance(failed, CaptchaUnavailableError)
    assert "secret" not in str(failed)
    assert failed.__cause__ is None


# Eight processes


def _replay(url: str, namespace: str, number: int) -> str:
    guard = Guard("enforce", FakeCaptcha(), fallback="refuse", ask="always")
    with OTP(url, Outbox(), TEMPLATE, SECRET, policy=FREE, namespace=namespace, guard=guard) as otp:
        return type(outcome(otp.issue, f"+8613900{number:02d}{number:04d}", captcha="ok")).__name__


def test_replay_from_eight_processes_passes_once(redis_url: str, namespace: str) -> None:
    with ProcessPoolExecutor(8, get_context("spawn")) as pool:
        found = sorted(pool.map(_replay, [redis_url] * 8, [namespace] * 8, range(8)))
    assert found == ["CaptchaRejectedError"] * 7 + ["Challenge"]


def test_allowance_is_exact_under_load(redis_url: str, namespace: str) -> None:
    with Guarded(redis_url, namespace) as rig:
        otp = rig.guarded(rule=Rule(range_floor=6, short_floor=1000, day_floor=1000))
        phones = [rig.phone(1) for _ in range(40)]
        found = together(40, lambda number: otp.issue(phones[number]))
        assert len(rig.outbox) == 6
        assert sum(isinstance(each, CaptchaRequiredError) for each in found) == 34
        together(6, lambda number: rig.verify(otp, rig.outbox[number].phone))
        assert rig.count(otp, "range", phones[0]) == (0, 6)
        assert rig.count(otp, "region", "CN") == (0, 6)


# The application's own judgement


def judge(context: RiskContext) -> Any:
    judged.append(context)
    return {"login": "captcha", "payment": Decision("refuse", ("sim_swap",)), "reset": 1 / 0 if False else "no"}.get(
        context.purpose, "allow"
    )


judged: list[RiskContext] = []


def test_risk_decides_before_anything_is_reserved(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=Rule(), risk=judge)
    assert guarded.send(otp, guarded.phone()) == "sent"
    asked = outcome(otp.issue, guarded.phone(), "login")
    assert (type(asked), asked.reasons) == (CaptchaRequiredError, ("risk",))
    refused = outcome(otp.issue, guarded.phone(), "payment", ip="198.51.100.7", known=True)
    assert isinstance(refused, RefusedError)
    assert (refused.status, refused.reasons) == (403, ("risk", "sim_swap"))
    assert (judged[-1].ip, judged[-1].known, judged[-1].region) == ("198.51.100.7", True, "CN")
    assert "138" not in repr(judged[-1])
    assert len(guarded.outbox) == 1
    assert otp.stats().total == Figures(sent=1, guard={"captcha": 1, "refused": 1})


@pytest.mark.parametrize(
    ("on_error", "code"), [("captcha", "captcha_required"), ("refuse", "refused"), ("allow", "sent")]
)
def test_risk_that_fails_counts_as_configured(guarded: Guarded, on_error: Any, code: str) -> None:
    otp = guarded.guarded(risk=judge, on_risk_error=on_error)
    assert guarded.send(otp, guarded.phone(), purpose="reset") == code


def test_risk_refuses_nothing_in_observe(guarded: Guarded) -> None:
    otp = guarded.guarded(mode="observe", risk=judge)
    assert guarded.send(otp, guarded.phone(), purpose="payment") == "sent"
    assert guarded.told("guard")[0].reasons == ("risk", "sim_swap", "refused")


def test_async_risk_needs_the_async_library(namespace: str) -> None:
    async def risk(context: RiskContext) -> Decision:
        await asyncio.sleep(0)
        return Decision("captcha", ("async",))

    guard = Guard("enforce", FakeCaptcha(), risk=risk)
    with pytest.raises(ConfigurationError):
        OTP("memory://", Outbox(), TEMPLATE, SECRET, guard=guard)

    async def issue() -> Any:
        async with AsyncOTP("memory://", Outbox(), TEMPLATE, SECRET, guard=guard, namespace=namespace) as otp:
            with pytest.raises(CaptchaRequiredError) as caught:
                await otp.issue("13800138000")
            return caught.value.reasons

    assert asyncio.run(issue()) == ("async",)


# Wrong arguments


def test_guard_names_every_wrong_field() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Guard(
            "on",  # type: ignore[arg-type]
            "turnstile",  # type: ignore[arg-type]
            ask="often",  # type: ignore[arg-type]
            fallback="maybe",  # type: ignore[arg-type]
            risk=5,  # type: ignore[arg-type]
            on_risk_error="no",  # type: ignore[arg-type]
            safe_phones="138",
            safe_networks=["everywhere"],
            rule={},  # type: ignore[arg-type]
        )
    assert {problem.field for problem in caught.value.problems} == {
        *("mode", "captcha", "ask", "fallback", "risk", "on_risk_error", "safe_phones", "safe_networks", "rule"),
    }


def test_wrong_safe_phone_is_named_when_the_otp_is_built() -> None:
    guard = Guard(captcha=FakeCaptcha(), safe_phones=["12345"])
    with pytest.raises(ConfigurationError) as caught:
        OTP("memory://", Outbox(), TEMPLATE, SECRET, guard=guard)
    assert "safe_phones" in str(caught.value)


def test_wrong_numbers_of_a_rule_are_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rule(range_floor=-1, range_refusal=0.5, day_share="much")  # type: ignore[arg-type]
    assert {problem.field for problem in caught.value.problems} == {"range_floor", "range_refusal", "day_share"}
