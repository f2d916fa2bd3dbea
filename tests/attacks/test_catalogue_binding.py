"""The attack catalogue, rows 17–25 and 30–32: leaks, the binding of codes and proofs, and the reach of limits."""

from __future__ import annotations

import logging
import pickle
import random
from collections import Counter
from typing import Any

import pytest
import redis
from support.rig import OTHER_PHONE, PHONE, SECRET, Rig, names, outcome, together, wrong

from otpkit import (
    ConfigurationError,
    ExpiredCodeError,
    GatewayRejectedError,
    InvalidTokenError,
    Policy,
    RateLimitError,
    StoreUnavailableError,
)
from otpkit.core import tokens


def test_row_17_an_issue_reveals_no_code(rig: Rig) -> None:
    """Row 17: neither the result of `issue`, nor its pickle, nor an error's evidence contains the code."""
    otp = rig.heard(policy=Policy(code_length=10))
    challenge = otp.issue(PHONE)
    refused = outcome(otp.issue, PHONE)
    code = rig.outbox[-1].code
    for value in (challenge, refused, refused.challenge, otp.status(PHONE)):
        assert code not in f"{value!r} {value}"
        assert code.encode() not in pickle.dumps(value)


def test_row_18_a_failing_gateway_gets_the_code_into_no_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Row 18: a provider's exception contains the code and the phone, but the log and the events do not."""
    caplog.set_level(logging.DEBUG)
    sent: list[Any] = []

    def gateway(message: Any) -> None:
        sent.append(message)
        raise OSError(f"GET https://provider/?to={message.phone}&text={message.code}")

    otp = rig.heard(gateway=gateway, policy=Policy(code_length=10))
    assert otp.issue(PHONE).delivery == "uncertain"
    texts = caplog.text + repr(rig.events)
    assert "gateway_failed" in texts
    assert not [needle for needle in (sent[0].code, PHONE[1:], PHONE[3:], SECRET) if needle in texts]


def test_row_19_codes_come_from_no_seed(memory_rig: Rig) -> None:
    """Row 19, predictable randomness: with the same seed twice, one phone gets different codes."""
    otp = memory_rig.heard(policy=Policy(code_length=10))
    for _ in range(4):
        random.seed(0)
        otp.issue(PHONE)
        otp.erase(PHONE)
    assert len({message.code for message in memory_rig.outbox}) == 4
    assert len({message.send_id for message in memory_rig.outbox}) == 4


def test_row_19_the_same_nonce_makes_another_code_for_another_phone(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 19: a repeated nonce reveals nothing about the code of another phone, purpose or bind."""
    monkeypatch.setattr("otpkit.core.issue.new_ids", lambda: (b"\0" * 16, b"\0" * 16))
    otp = memory_rig.heard(policy=Policy(code_length=10, sends="32/day"))
    for phone, purpose, bind in ((PHONE, "a", ""), (OTHER_PHONE, "a", ""), (PHONE, "b", ""), (PHONE, "a", "b")):
        otp.issue(phone, purpose, bind=bind)
        otp.erase(phone)
    assert len({message.code for message in memory_rig.outbox}) == 4


def test_row_20_a_code_of_one_purpose_is_worth_nothing_in_another(rig: Rig) -> None:
    """Row 20, purpose confusion: a signup's code can't reset a password, with or without a live code for the reset."""
    otp = rig.heard(policy=Policy(sends="32/day"))
    otp.issue(PHONE, "signup")
    code = rig.outbox[-1].code
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code, "reset")
    otp.issue(PHONE, "reset")
    if rig.outbox[-1].code != code:
        assert outcome(otp.verify, PHONE, code, "reset").attempts_left == 4
    proof = otp.verify(PHONE, code, "signup")
    for call in (otp.check, otp.redeem):
        with pytest.raises(InvalidTokenError):
            call(proof.token, "reset")


def test_row_20_a_code_of_one_session_is_worth_nothing_in_another(rig: Rig) -> None:
    """Row 20: neither the code nor the proof of one bind is valid for another bind or for none."""
    otp = rig.heard(policy=Policy(sends="32/day"))
    otp.issue(PHONE, bind="transfer:42:100.00")
    code = rig.outbox[-1].code
    for bind in ("transfer:42:999.00", ""):
        with pytest.raises(ExpiredCodeError):
            otp.verify(PHONE, code, bind=bind)
    token = otp.verify(PHONE, code, bind="transfer:42:100.00").token
    for bind in ("transfer:42:999.00", ""):
        for call in (otp.check, otp.redeem):
            with pytest.raises(InvalidTokenError):
                call(token, bind=bind)


def test_row_21_a_proof_is_of_one_phone(rig: Rig) -> None:
    """Row 21, phone swap: an attacker's proof of their own phone can't be redeemed for the victim's phone."""
    otp = rig.heard()
    otp.issue(PHONE)
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    for swapped in (OTHER_PHONE, "nonsense", ""):
        with pytest.raises(InvalidTokenError):
            otp.redeem(proof.token, phone=swapped)
    assert otp.redeem(proof.token, phone="138-0013-8000").phone == PHONE
    otp.issue(OTHER_PHONE)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code)


def test_row_22_a_token_is_redeemed_once(rig: Rig) -> None:
    """Row 22: one of several parallel redemptions succeeds, and no other spelling of the token allows a second."""
    otp = rig.heard()
    otp.issue(PHONE)
    token = otp.verify(PHONE, rig.outbox[-1].code).token
    assert names(together(16, lambda _: otp.redeem(token))) == {"Proof": 1, "UsedTokenError": 15}
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
        assert type(outcome(otp.redeem, token[:-1] + last)).__name__ in {"UsedTokenError", "InvalidTokenError"}


def test_row_23_many_addresses_are_one_phone(rig: Rig) -> None:
    """Row 23, limits by address only: calls from many addresses get one message and five comparisons for a phone."""
    otp = rig.heard()
    addresses = [f"1.{number // 250}.{number % 250}.7" for number in range(200)]
    assert names(outcome(otp.issue, PHONE, ip=ip) for ip in addresses) == {"Challenge": 1, "RateLimitError": 199}
    guess = wrong(rig.outbox[-1].code)
    guesses = names(outcome(otp.verify, PHONE, guess, ip=ip) for ip in addresses)
    assert guesses == {"WrongCodeError": 5, "ExpiredCodeError": 195}


@pytest.mark.parametrize("ip", ["1.2.3.4, 9.9.9.9", "unknown", "1.2.3.4:443", "1.2.3.4\n", "01.2.3.4", "1.2.3", ""])
def test_row_24_a_forwarded_list_is_no_address(memory_rig: Rig, ip: str) -> None:
    """Row 24, header spoofing: a text that a visitor can choose is an error, never an address with its own count."""
    otp = memory_rig.heard()
    for call in (lambda: otp.issue(PHONE, ip=ip), lambda: otp.verify(PHONE, "123456", ip=ip)):
        with pytest.raises(ConfigurationError):
            call()
    assert memory_rig.stored() == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["1.2.3.4", "::ffff:1.2.3.4", "::FFFF:0102:0304", "0:0:0:0:0:ffff:102:304"],
        ["2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:DB8::2", "2001:db8::1%eth0"],
    ],
)
def test_row_25_spellings_of_an_address_share_a_bucket(memory_rig: Rig, addresses: list[str]) -> None:
    """Row 25: an IPv4-mapped address equals the IPv4 address, and an IPv6 /64 is one visitor."""
    otp = memory_rig.heard(policy=Policy(ip_sends=f"{(len(addresses) - 1) * (5 if ':' in addresses[0] else 1)}/hour"))
    for number, ip in enumerate(addresses[1:]):
        otp.issue(f"+861380013{number:04d}", ip=ip)
    with pytest.raises(RateLimitError) as caught:
        otp.issue(PHONE, ip=addresses[0])
    assert caught.value.scope == "ip"
    assert otp.issue(PHONE, ip="2001:db8:0:1::1")


def test_row_30_what_pumping_may_cost_is_bounded(rig: Rig) -> None:
    """Row 30, SMS pumping: sequential numbers stop at the region's limit and at the total, foreign numbers at once."""
    phones = [f"+861380013{number:04d}" for number in range(30)]
    regional = rig.heard(policy=Policy(region_sends={"CN": "7/day"}, total_sends="9/day"))
    scopes = Counter(getattr(outcome(regional.issue, phone), "scope", "sent") for phone in phones)
    assert scopes == {"sent": 7, "region": 23}
    assert names([outcome(regional.issue, "+447400123456")]) == {"RegionError": 1}
    total = rig.heard(policy=Policy(total_sends="9/day"))
    assert Counter(getattr(outcome(total.issue, phone), "scope", "sent") for phone in phones[7:]) == {
        "sent": 2,
        "total": 21,
    }
    assert len(rig.outbox) == 9


def test_row_30_fifty_issues_at_once_send_one_message(rig: Rig) -> None:
    """Row 30: parallel calls for one phone send one message."""
    otp = rig.heard()
    assert names(together(50, lambda _: otp.issue(PHONE))) == {"Challenge": 1, "RateLimitError": 49}
    assert len(rig.outbox) == 1


@pytest.mark.parametrize("failure", [redis.TimeoutError, redis.ConnectionError, redis.ResponseError, OSError])
def test_row_31_without_the_store_nothing_is_sent_or_granted(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    """Row 31, failing open: without Redis no call succeeds, and the gateway is not called."""
    rig = memory_rig
    otp = rig.heard()
    otp.issue(OTHER_PHONE)
    code = rig.outbox[-1].code
    token = otp.verify(OTHER_PHONE, code).token

    def down(*command: Any, **options: Any) -> None:
        raise failure("down")

    monkeypatch.setattr(rig.shared, "execute_command", down)
    calls = (
        lambda: otp.issue(PHONE, ip="1.2.3.4"),
        lambda: otp.verify(OTHER_PHONE, code, ip="1.2.3.4"),
        lambda: otp.redeem(token),
        lambda: otp.status(PHONE),
        lambda: otp.standing(PHONE),
        lambda: otp.delivery(PHONE),
        lambda: otp.revoke(PHONE),
        lambda: otp.unblock(PHONE),
        lambda: otp.erase(PHONE),
    )
    assert names(outcome(call) for call in calls) == {"StoreUnavailableError": len(calls)}
    assert len(rig.outbox) == 1
    assert isinstance(outcome(calls[0]), StoreUnavailableError)


def test_row_32_a_miss_costs_what_a_hit_costs(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 32, timing: with and without a live code, `verify` computes the same MACs and sends Redis the same amount."""
    rig = memory_rig
    otp = rig.heard()
    otp.issue(PHONE)
    outcome(otp.verify, OTHER_PHONE, "123456")  # Now the server knows the script.
    asked: list[list[int]] = []
    execute = rig.shared.execute_command

    def listening(*command: Any, **options: Any) -> Any:
        asked.append([len(part) if isinstance(part, (bytes, str)) else 0 for part in command])
        return execute(*command, **options)

    monkeypatch.setattr(rig.shared, "execute_command", listening)
    guess = wrong(rig.outbox[-1].code)
    assert names([outcome(otp.verify, PHONE, guess)]) == {"WrongCodeError": 1}
    assert names([outcome(otp.verify, OTHER_PHONE, guess)]) == {"ExpiredCodeError": 1}
    hit, *miss = asked
    assert miss == [hit]


def test_row_32_digests_are_compared_in_constant_time(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 32: `compare_digest` compares a token's bind as bytes. Redis compares only a keyed hash."""
    rig = memory_rig
    otp = rig.heard()
    otp.issue(PHONE, bind="é")
    token = otp.verify(PHONE, rig.outbox[-1].code, bind="é").token
    compared: list[tuple[Any, Any]] = []

    def spy(left: Any, right: Any) -> bool:
        compared.append((type(left), type(right)))
        return bool(left == right)

    monkeypatch.setattr(tokens, "compare_digest", spy)
    assert otp.check(token, bind="é")
    assert compared == [(bytes, bytes)]


def test_a_rejection_reaches_the_caller(memory_rig: Rig) -> None:
    """A relative of row 31, the swallowed send error: a message that was not sent never counts as sent."""
    memory_rig.outbox.reject_next()
    with pytest.raises(GatewayRejectedError):
        memory_rig.heard().issue(PHONE)
