"""Purposes, binds, keys, addresses and variables: every text is a distinct name, and other types are refused."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, Rig, Untouchable, outcome, wrong

from otpkit import OTP, ConfigurationError, ExpiredCodeError, InvalidTokenError, Policy, RateLimitError

TEXTS = ["\U0001f600", "\ud800", "\udfff\ud800", "a:b", "\0", "a\0b", "é", " ", "\n", "验证", "x" * 128]


@pytest.mark.parametrize(
    "purpose", [None, 1, b"signup", "", "x" * 129, "\ud800", "a\udfff", "\ud83d\ude00", ["signup"], object()]
)
def test_what_is_no_purpose_is_the_developers_error(untouched: OTP, purpose: Any) -> None:
    """Every call with a purpose refuses it before it calls Redis."""
    for call in (
        lambda: untouched.issue(PHONE, purpose),
        lambda: untouched.verify(PHONE, "123456", purpose),
        lambda: untouched.status(PHONE, purpose),
        lambda: untouched.delivery(PHONE, purpose),
        lambda: untouched.revoke(PHONE, purpose),
        lambda: untouched.check("x.y", purpose),
        lambda: untouched.redeem("x.y", purpose),
    ):
        with pytest.raises(ConfigurationError, match="purpose"):
            call()


@pytest.mark.parametrize("bind", [None, 1, b"session", ["session"], object()])
def test_what_is_no_bind_is_the_developers_error(untouched: OTP, bind: Any) -> None:
    """A session that is None must not count as the empty bind."""
    for call in (
        lambda: untouched.issue(PHONE, bind=bind),
        lambda: untouched.verify(PHONE, "123456", bind=bind),
        lambda: untouched.status(PHONE, bind=bind),
        lambda: untouched.delivery(PHONE, bind=bind),
        lambda: untouched.revoke(PHONE, bind=bind),
        lambda: untouched.check("x.y", bind=bind),
        lambda: untouched.redeem("x.y", bind=bind),
    ):
        with pytest.raises(ConfigurationError, match="bind"):
            call()


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_any_text_is_a_purpose_a_bind_or_a_key(memory_rig: Rig, text: str) -> None:
    """Emoji, separators and NUL are ordinary texts. Binds and keys may also contain lone surrogates."""
    otp = memory_rig.heard()
    purpose = "signup" if "\ud800" in text else text
    otp.issue(PHONE, purpose, bind=text, idempotency_key=text)
    assert otp.issue(PHONE, purpose, bind=text, idempotency_key=text).replayed
    code = memory_rig.outbox[-1].code
    proof = otp.verify(PHONE, code, purpose, bind=text, idempotency_key=text)
    assert otp.verify(PHONE, code, purpose, bind=text, idempotency_key=text) == proof
    assert otp.redeem(proof.token, purpose, bind=text, idempotency_key=text) == proof
    with pytest.raises(InvalidTokenError):
        otp.check(proof.token, purpose, bind=text + "\0")


def test_no_two_names_meet(memory_rig: Rig) -> None:
    """Purpose, bind and key stay distinct for any separators in them: each triple has its own challenge."""
    otp = memory_rig.heard(policy=Policy(sends="32/day"))
    names = [("a", "b:c"), ("a:b", "c"), ("a\0b", "c"), ("a", "b\0c"), ("a", "\0b\0c"), ("1:a1:b", "c"), ("a1:b", "c")]
    names += [("x", "\ud83d\ude00"), ("x", "\U0001f600"), ("\U0001f600", ""), ("é", ""), ("e\u0301", "")]
    names += [("signup", " "), ("signup ", "")]
    for purpose, bind in names:
        assert not otp.issue(PHONE, purpose, bind=bind, idempotency_key="key").replayed
    assert not otp.issue(PHONE, "a", bind="b", idempotency_key=":ckey").replayed
    assert memory_rig.kinds()["c"] == len(names) + 1
    tokens = {}
    for (purpose, bind), message in zip(names, list(memory_rig.outbox)[:-1], strict=True):
        tokens[purpose, bind] = otp.verify(PHONE, message.code, purpose, bind=bind).token
    for name, token in tokens.items():
        for other in names:
            answer = outcome(otp.check, token, other[0], bind=other[1])
            assert isinstance(answer, InvalidTokenError) is (name != other)


@pytest.mark.parametrize("key", ["", 1, b"key", True, ["key"], object()])
def test_what_is_no_idempotency_key_is_the_developers_error(memory_rig: Rig, key: Any) -> None:
    """With an empty key, all requests would count as one."""
    otp = memory_rig.heard()
    otp.issue(PHONE)
    token = otp.verify(PHONE, memory_rig.outbox[-1].code).token
    blind = memory_rig.heard(redis=Untouchable())
    for call in (
        lambda: blind.issue(PHONE, idempotency_key=key),
        lambda: blind.verify(PHONE, "123456", idempotency_key=key),
        lambda: blind.redeem(token, idempotency_key=key),
    ):
        with pytest.raises(ConfigurationError, match="idempotency_key"):
            call()


def test_a_key_gives_no_proof_to_another_code(memory_rig: Rig) -> None:
    """A guess with the key of a form never gets the form's proof. A repeated guess is counted once."""
    otp = memory_rig.heard()
    otp.issue(PHONE)
    code = memory_rig.outbox[-1].code
    for _ in range(3):
        assert outcome(otp.verify, PHONE, wrong(code), idempotency_key="form").attempts_left == 4
    assert otp.verify(PHONE, code, idempotency_key="form")
    assert isinstance(outcome(otp.verify, PHONE, wrong(code, 2), idempotency_key="form"), ExpiredCodeError)
    assert isinstance(outcome(otp.verify, OTHER_PHONE, code, idempotency_key="form"), ExpiredCodeError)


@pytest.mark.parametrize(
    "ip",
    [1, True, 16909060, b"1.2.3.4", b"\1\2\3\4", ["1.2.3.4"], "1.2.3.4/24", "::g", " 1.2.3.4", "localhost", "\ud800"],
)
def test_what_is_no_address_is_the_developers_error(untouched: OTP, ip: Any) -> None:
    """Such a value is neither counted as an address nor ignored."""
    for call in (lambda: untouched.issue(PHONE, ip=ip), lambda: untouched.verify(PHONE, "123456", ip=ip)):
        with pytest.raises(ConfigurationError, match="ip"):
            call()


@pytest.mark.parametrize("ip", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fe80::1", "::ffff:10.0.0.1", "fd00::1"])
def test_a_proxys_address_is_not_counted_and_an_event_says_so(memory_rig: Rig, ip: str) -> None:
    """A count for the proxy would block the whole site."""
    otp = memory_rig.heard(policy=Policy(ip_sends="1/day"))
    for number in range(3):
        otp.issue(f"+861380013{number:04d}", ip=ip)
        assert otp.issue(f"+861390013{number:04d}", ip=None)
    assert [event.name for event in memory_rig.events].count("ip_not_counted") == 3
    otp.issue(PHONE, ip=ipaddress.ip_address("1.2.3.4"))
    assert isinstance(outcome(otp.issue, OTHER_PHONE, ip="1.2.3.4"), RateLimitError)


@pytest.mark.parametrize(
    "params", [[], "x", 1, {"product": 1}, {"product": None}, {1: "x"}, {"": "x"}, {"a b": "x"}, {"product": b"x"}]
)
def test_what_is_no_variable_is_refused_before_anything_is_reserved(untouched: OTP, params: Any) -> None:
    """A bad variable uses up no limit."""
    with pytest.raises(ConfigurationError, match="params"):
        untouched.issue(PHONE, params=params)
