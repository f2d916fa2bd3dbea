"""Captchas over the HTTP service: the problem document, the answer, and which keys may say that a number is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.service import KEY, PHONE, TRUSTED_KEY, Served, serving

from otpkit import Guard, RiskContext
from otpkit.testing import FailingCaptcha, PassingCaptcha


def judge(context: RiskContext) -> str:
    """Ask for a captcha for every number that is not known."""
    return "allow" if context.known else "captcha"


@pytest.fixture
def guarded() -> Iterator[Served]:
    with serving("memory://", otp_options={"guard": Guard("enforce", PassingCaptcha(), risk=judge)}) as served:
        yield served


def test_answer_is_taken(guarded: Served) -> None:
    asked = guarded.post("/v1/challenges", {"phone": PHONE})
    assert (asked.status_code, asked.headers["content-type"]) == (403, "application/problem+json")
    found = asked.json()
    assert (found["code"], found["provider"], found["reasons"]) == ("captcha_required", "passing", ["risk"])
    assert found["parameters"] == {"provider": "passing", "field": "captcha"}
    assert guarded.post("/v1/challenges", {"phone": PHONE, "captcha": "an answer"}).status_code == 201
    assert len(guarded.outbox) == 1


def test_wrong_answer_is_rejected() -> None:
    guard = Guard("enforce", FailingCaptcha(), ask="always")
    with serving("memory://", otp_options={"guard": guard}) as served:
        rejected = served.post("/v1/challenges", {"phone": PHONE, "captcha": "an answer"})
    assert (rejected.status_code, rejected.json()["code"]) == (403, "captcha_rejected")
    assert rejected.json()["provider"] == "failing"


def test_only_trusted_keys_may_say_known(guarded: Served) -> None:
    body = {"phone": PHONE, "known": True}
    refused = guarded.post("/v1/challenges", body, key=KEY)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert len(guarded.outbox) == 0
    assert guarded.post("/v1/challenges", body, key=TRUSTED_KEY).status_code == 201
    assert guarded.post("/v1/challenges", {"phone": "+8613800138001"}, key=TRUSTED_KEY).status_code == 403


def test_discreet_number_asks_as_any_other() -> None:
    """Its own limit comes last."""
    options = {"guard": Guard("enforce", PassingCaptcha(), ask="always")}
    with serving("memory://", otp_options=options) as served:
        body: dict[str, Any] = {"phone": PHONE}
        assert served.post("/v1/challenges", {**body, "captcha": "first"}).status_code == 201
        assert served.post("/v1/challenges", body).json()["scope"] == "phone"
        body["discreet"] = True
        assert served.post("/v1/challenges", body).json()["code"] == "captcha_required"
        assert served.post("/v1/challenges", {**body, "captcha": "first"}).json()["code"] == "captcha_rejected"
        assert served.post("/v1/challenges", {**body, "captcha": "second"}).json()["scope"] == "phone"
        assert served.post("/v1/challenges", {**body, "captcha": "second"}).json()["code"] == "captcha_rejected"
        assert len(served.outbox) == 1
