"""Defects of other libraries, rows 16–19 and 21–27. Row 27 with real connections is in `test_lost_replies`."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import redis
from support.rig import DAY, HOUR, MINUTE, OTHER_PHONE, PHONE, SECRET, Rig, names, outcome, together, whole, wrong

from otpkit import (
    ConfigurationError,
    ExpiredCodeError,
    InvalidTokenError,
    MalformedCodeError,
    Policy,
    Rate,
    RateLimitError,
)
from otpkit.effects import HttpResponse
from otpkit.gateways import Alidayu
from otpkit.gateways.alidayu.responses import read_receipt


def test_defect_16_the_code_is_stored_before_it_is_sent(rig: Rig) -> None:
    """Another library sent the message first. Here the gateway finds the challenge live and pending."""
    seen: list[Any] = []
    otp = rig.heard(gateway=lambda message: seen.append((otp.status(PHONE), otp.verify(PHONE, message.code))))
    assert otp.issue(PHONE).delivery == "accepted"
    assert seen[0][0].delivery == "pending"
    assert seen[0][1].phone == PHONE


def test_defect_16_what_is_not_stored_is_not_sent(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store fails, no message is sent."""

    def down(*command: Any, **options: Any) -> None:
        raise redis.ConnectionError("down")

    otp = memory_rig.heard()
    monkeypatch.setattr(memory_rig.shared, "execute_command", down)
    assert names([outcome(otp.issue, PHONE)]) == {"StoreUnavailableError": 1}
    assert not memory_rig.outbox


def test_defect_17_the_store_can_not_be_searched_offline(rig: Rig) -> None:
    """An attacker can search an unkeyed hash of six digits. Here another secret changes all stored bytes."""
    records = []
    for secret in (SECRET, SECRET[::-1]):
        otp = rig.heard(secret=secret)
        otp.issue(PHONE)
        phones = [key for key in rig.stored() if key.endswith(":p")]
        records.append({(key, *rig.shared.hgetall(key).items()) for key in phones})
        code = rig.outbox[-1].code
        stored = b"".join(part for key in phones for pair in rig.shared.hgetall(key).items() for part in pair)
        for name in ("md5", "sha1", "sha224", "sha256"):
            assert hashlib.new(name, code.encode()).digest()[:8] not in stored
        otp.erase(PHONE)
    assert not records[0] & records[1]
    assert {record[0] for record in records[0]}.isdisjoint(record[0] for record in records[1])


def test_defect_18_parallel_sends_stay_under_the_cap(rig: Rig) -> None:
    """In another library, parallel sends passed the limit, which was recorded later.

    Here forty phones share three sends.
    """
    otp = rig.heard(policy=Policy(total_sends="3/day"))
    outcomes = together(40, lambda number: otp.issue(f"+861380013{number:04d}"))
    assert names(outcomes) == {"Challenge": 3, "RateLimitError": 37}
    assert len(rig.outbox) == 3


def test_defect_19_purposes_and_namespaces_are_looked_up(rig: Rig) -> None:
    """Another library ignored tenant and purpose. Here a code is not valid in another namespace or purpose."""
    otp, tenant = rig.heard(), rig.heard(namespace=f"{rig.namespace}.tenant")
    otp.issue(PHONE, "login")
    for verify, purpose in ((otp.verify, "signup"), (otp.verify, "LOGIN"), (tenant.verify, "login")):
        with pytest.raises(ExpiredCodeError):
            verify(PHONE, rig.outbox[-1].code, purpose)
    assert otp.verify(PHONE, rig.outbox[-1].code, "login")


@pytest.mark.parametrize("typed", ["１２３４５６", "1_23456", "12345６", "0x1e240", "1e5000", "123456.", "²³⁴⁵⁶⁷"])
def test_defect_21_only_ascii_digits_are_digits(memory_rig: Rig, typed: str) -> None:
    """`int` accepts other scripts, underscores and signs. Here they are malformed."""
    with pytest.raises(MalformedCodeError):
        memory_rig.heard().verify(PHONE, typed)


def test_defect_22_odd_input_is_an_answer_and_no_crash(rig: Rig) -> None:
    """`compare_digest` raises TypeError for text beyond ASCII. Here odd input works or raises an error of otpkit."""
    otp = rig.heard(policy=Policy(sends="32/day"))
    for odd in ("é", "验证", "\ud800", "\U0001f600", "\0", "a" * 100_000):
        assert names([outcome(otp.verify, PHONE, odd)]) == {"MalformedCodeError": 1}
        assert names([outcome(otp.check, odd), outcome(otp.redeem, odd)]) == {"InvalidTokenError": 2}
        otp.issue(PHONE, bind=odd)
        token = otp.verify(PHONE, rig.outbox[-1].code, bind=odd).token
        with pytest.raises(InvalidTokenError):
            otp.check(token, bind=odd + "x")
        assert otp.redeem(token, bind=odd)


def test_defect_23_windows_roll_and_are_not_renewed(rig: Rig) -> None:
    """In another library, each send renewed the window and blocked a phone forever. Here a send counts for an hour."""
    otp = rig.heard(policy=whole(sends="1/minute, 5/hour"))
    for _ in range(5):
        otp.issue(PHONE)
        rig.clock.advance(10 * MINUTE)
    with pytest.raises(RateLimitError) as caught:
        otp.issue(PHONE)
    assert caught.value.retry_after == HOUR - 50 * MINUTE
    rig.clock.advance(10 * MINUTE)
    assert otp.issue(PHONE)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)


def test_defect_23_a_day_rolls_over_midnight(rig: Rig) -> None:
    """Sends at 23:59 and 00:01 share a window."""
    otp = rig.heard(policy=Policy(sends="1/day"))
    rig.clock.advance(DAY - MINUTE)
    otp.issue(PHONE)
    rig.clock.advance(2 * MINUTE)
    assert outcome(otp.issue, PHONE).retry_after == DAY - 2 * MINUTE


def test_defect_23_quota_of_a_failed_send_is_given_back(rig: Rig) -> None:
    """Another library charged a send that had failed. Here the phone, its address and the total are refunded."""
    otp = rig.heard(policy=Policy(sends="1/day", ip_sends="1/day", total_sends="1/day"))
    for _ in range(3):
        rig.outbox.reject_next()
        assert names([outcome(otp.issue, PHONE, ip="1.2.3.4")]) == {"GatewayRejectedError": 1}
        assert otp.status(PHONE) is None
    assert otp.issue(PHONE, ip="1.2.3.4").sends_left == 0


@pytest.mark.parametrize("body", ["{}", '{"code": "0"}', '{"success": "true"}', '{"success": 1}', "[true]", "", "OK"])
def test_defect_24_only_an_explicit_ok_is_acceptance(body: str) -> None:
    """In another library, a missing code counted as success. Here only `"success": true` does."""
    assert read_receipt(HttpResponse(200, {}, body)).outcome == "uncertain"
    assert read_receipt(HttpResponse(200, {}, '{"success": true}')).outcome == "accepted"


def test_defect_24_secrets_travel_encrypted_and_ids_are_random(memory_rig: Rig) -> None:
    """Plain HTTP is refused except to this host. An id of a send reveals nothing about other ids."""
    for url in ("http://ca.aliyuncs.com/gw", "http://localhost.evil.example", "http://127.0.0.1@evil.example", "http:"):
        with pytest.raises(ConfigurationError):
            Alidayu("key", "secret", base_url=url)
    otp = memory_rig.heard()
    for number in range(20):
        otp.issue(f"+861380013{number:04d}")
    ids = {message.send_id for message in memory_rig.outbox}
    assert len({send_id[:8] for send_id in ids}) == 20
    assert {len(send_id) for send_id in ids} == {22}


def test_defect_25_no_life_rounds_to_nothing(rig: Rig) -> None:
    """In another library, an expiry that rounded to 0 deleted the limit. Here it counts until its last millisecond."""
    otp = rig.heard(policy=Policy(sends=Rate(1, 1), total_sends=Rate(1, 1), ip_failures=Rate(1, 1)))
    rig.clock.now += 0.999
    otp.issue(PHONE)
    outcome(otp.verify, OTHER_PHONE, "123456", ip="1.2.3.4")
    assert min(rig.lives().values()) > 500
    refusals = [outcome(otp.issue, OTHER_PHONE), outcome(otp.issue, PHONE)]
    refusals.append(outcome(otp.verify, OTHER_PHONE, "123456", ip="1.2.3.4"))
    assert [(each.scope, each.retry_after) for each in refusals] == [("total", 1), ("phone", 1), ("ip", 1)]


def test_defect_26_count_and_life_are_one_step(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another library, a counter could miss its expiry, which was a second command. Here one script sets both."""
    rig = memory_rig
    otp = rig.heard(policy=Policy(total_sends="9/day"))
    otp.issue(OTHER_PHONE)
    outcome(otp.verify, OTHER_PHONE, wrong(rig.outbox[-1].code))
    commands: list[str] = []
    execute = rig.shared.execute_command

    def watching(*command: Any, **options: Any) -> Any:
        commands.append(command[0])
        reply = execute(*command, **options)
        assert -1 not in {execute("PTTL", key) for key in execute("KEYS", "*")}
        return reply

    monkeypatch.setattr(rig.shared, "execute_command", watching)
    outcome(otp.verify, OTHER_PHONE, wrong(rig.outbox[-1].code), ip="1.2.3.4")
    assert commands == ["EVALSHA"]
    otp.issue(PHONE, ip="1.2.3.4")
    assert commands == ["EVALSHA"] * 3


def test_defect_27_a_script_run_twice_gives_the_same_answer(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """redis-py repeats a script whose reply was lost.

    The right code gets the same proof, and a wrong one counts once.
    """
    rig = memory_rig
    otp = rig.heard(policy=whole(total_sends="9/day"))
    execute = rig.shared.execute_command

    def twice(*command: Any, **options: Any) -> Any:
        execute(*command, **options)
        return execute(*command, **options)

    monkeypatch.setattr(rig.shared, "execute_command", twice)
    assert otp.issue(PHONE).sends_left == 9
    assert outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code)).attempts_left == 4
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    assert otp.redeem(proof.token) == otp.check(proof.token)
    assert len(rig.outbox) == 1
    assert rig.kinds() == {"s": 1, "f": 1, "p": 1}
