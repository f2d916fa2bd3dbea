"""Defects of other libraries, rows 1–13: each was found in one of them, and otpkit must have none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from support.rig import DAY, HOUR, MINUTE, OTHER_PHONE, PHONE, SECRET, Rig, names, outcome, together, whole, wrong

from otpkit import ExpiredCodeError, GatewayRejectedError, Policy, RateLimitError, WrongCodeError
from otpkit.core.crypto import CodeKey
from otpkit.gateways import Alidayu
from otpkit.sandbox import Fault, Sandbox, running


def test_defect_1_get_compare_delete_is_one_step(rig: Rig) -> None:
    """Others returned up to 24 proofs for fifty right answers at once. Here it is one."""
    otp = rig.heard()
    otp.issue(PHONE)
    assert names(together(50, lambda _: otp.verify(PHONE, rig.outbox[-1].code)))["Proof"] == 1


def test_defect_2_success_leaves_no_key_without_a_life(rig: Rig) -> None:
    """In another library, a write after the delete created a key that was never removed."""
    otp = rig.heard(policy=Policy(total_sends="9/day"))
    otp.issue(PHONE, ip="1.2.3.4")
    outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code), ip="1.2.3.4")
    otp.redeem(otp.verify(PHONE, rig.outbox[-1].code, ip="1.2.3.4").token)
    assert rig.lives()
    assert min(rig.lives().values()) > 0


def test_defect_3_a_verify_at_the_edge_of_expiry_creates_nothing(rig: Rig) -> None:
    """In another library, a count after the record had expired created a permanent one."""
    otp = rig.heard()
    challenge = otp.issue(PHONE)
    before = rig.kinds()
    rig.clock.now = challenge.expires_at.timestamp()
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    assert rig.kinds() == before
    rig.shared.delete(*rig.stored())  # Redis removes keys like this when they expire.
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code)
    assert rig.stored() == []


@pytest.mark.parametrize("attempts", [1, 5])
def test_defect_4_the_last_attempt_is_a_real_one(rig: Rig, attempts: int) -> None:
    """In another library, issuing used up an attempt. Here the last of N guesses may be the right one."""
    otp = rig.heard(policy=Policy(attempts=attempts))
    assert otp.issue(PHONE).attempts_left == attempts
    for _ in range(attempts - 1):
        outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code))
    assert otp.verify(PHONE, rig.outbox[-1].code)


def test_defect_5_too_many_resends_refuse_no_code(rig: Rig) -> None:
    """A phone whose sends are used up can still verify."""
    otp = rig.heard(policy=Policy(sends="1/day"))
    otp.issue(PHONE)
    assert names(outcome(otp.issue, PHONE) for _ in range(9)) == {"RateLimitError": 9}
    assert otp.verify(PHONE, rig.outbox[-1].code)


def test_defect_6_no_output_carries_the_code(rig: Rig) -> None:
    """Errors, events, tokens and Redis contain no code. The catalogue's tests of leaks search further."""
    otp = rig.heard(policy=Policy(code_length=10))
    outputs: list[Any] = [otp.issue(PHONE), outcome(otp.issue, PHONE)]
    code = rig.outbox[-1].code
    outputs += [outcome(otp.verify, PHONE, wrong(code)), otp.verify(PHONE, code), outcome(otp.verify, PHONE, code)]
    dump = b"".join(rig.shared.dump(key) or b"" for key in rig.stored() if rig.store_url != "memory://")
    texts = f"{outputs!r} {list(map(str, outputs))} {outputs[3].token} {rig.events!r} {dump!r} {rig.stored()!r}"
    assert code not in texts


def test_defect_7_codes_are_uniform() -> None:
    """Every digit occurs at every place with the right frequency, at both ends of the range too."""
    key, count = CodeKey(SECRET.encode()), 20_000
    codes = [key.code(number.to_bytes(16, "big"), b"identity", 6) for number in range(count)]
    for place in range(6):
        seen = Counter(code[place] for code in codes)
        assert len(seen) == 10
        # Nine degrees of freedom: one run in 10,000 exceeds 33.7. The input is fixed, so the result is too.
        assert sum((seen[digit] - count / 10) ** 2 / (count / 10) for digit in "0123456789") < 33.7
    for number, code in ((0, "000000"), (999_999, "999999"), (1_000_000, "000000"), (7, "000007")):
        key._mac = lambda _, number=number: number.to_bytes(32, "big")
        assert key.code(b"", b"", 6) == code


@pytest.mark.parametrize("fault", ["http_500", "success_false", "not_json", "half", "drop"])
def test_defect_8_only_an_explicit_ok_is_a_success(memory_rig: Rig, fault: Any) -> None:
    """In another library, HTTP 500 of a webhook counted as sent. Here any unclear answer is uncertain."""
    sandbox = Sandbox()
    sandbox.add_fault(Fault(fault, sent=False))
    with running(sandbox) as address:
        otp = memory_rig.heard(gateway=Alidayu("sandbox", "sandbox-secret", base_url=address.gateway_url), clock=None)
        assert otp.issue(PHONE).delivery == "uncertain"
        assert otp.issue(OTHER_PHONE).delivery == "accepted"


def test_defect_9_separators_in_names_never_meet(rig: Rig) -> None:
    """In another library, purposes and binds that contain `:` shared a key. Here each pair has its own challenge."""
    otp = rig.heard(policy=Policy(sends="32/day"))
    pairs = [("a:b", "c"), ("a", "b:c"), ("a:b:c", ""), ("a", ":b:c"), ("a:", "b:c"), ("1:a", "")]
    for purpose, bind in pairs:
        otp.issue(PHONE, purpose, bind=bind)
    assert rig.kinds()["c"] == len(pairs)
    for (purpose, bind), message in zip(pairs, list(rig.outbox), strict=True):
        assert otp.verify(PHONE, message.code, purpose, bind=bind)


def test_defect_10_the_check_and_the_look_up_read_one_number(rig: Rig) -> None:
    """Another library limited the raw number and looked up the canonical one. Here all spellings share a limit."""
    otp = rig.heard()
    spellings = ["13800138000", "+8613800138000", "0086 138 0013 8000", "(138)0013-8000", "１３８００１３８０００"]
    assert names(outcome(otp.issue, each) for each in spellings) == {"Challenge": 1, "RateLimitError": 4}


def test_defect_11_every_limiter_expires_when_it_should(rig: Rig) -> None:
    """In another library, a wrong unit made a record live 56,800 years.

    Here an expiry exceeds its window by a minute at most.
    """
    otp = rig.heard(policy=Policy(ip_sends="9/hour", ip_failures="9/hour", total_sends="9/day"))
    otp.issue(PHONE, ip="1.2.3.4")
    outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code), ip="1.2.3.4")
    lives = sorted(round(life / 1000) for life in rig.lives().values())
    # Two windows of an address, the total's window, the phone's hash, and the consecutive failures.
    for life, wanted in zip(lives, [HOUR, HOUR, DAY, DAY + 30, 400 * DAY], strict=True):
        assert wanted - MINUTE < life <= wanted


def test_defect_12_a_late_consume_touches_no_newer_code(rig: Rig) -> None:
    """In another library, a slow consume overwrote a newer code. Here a repeated form answers for its own code."""
    otp = rig.heard()
    otp.issue(PHONE)
    old = rig.outbox[-1].code
    proof = otp.verify(PHONE, old, idempotency_key="form")
    rig.clock.advance(MINUTE)
    otp.issue(PHONE)
    assert otp.verify(PHONE, old, idempotency_key="form") == proof
    assert otp.status(PHONE).attempts_left == 5
    assert otp.verify(PHONE, rig.outbox[-1].code).id != proof.id


def test_defect_13_a_new_code_resets_no_count(rig: Rig) -> None:
    """New codes do not reset the day's failures when an attacker guesses, waits, and asks for the next code."""
    otp = rig.heard(policy=whole(sends="32/day", failures="7/day"))
    guesses: list[Any] = []
    for _ in range(4):
        guesses.append(outcome(otp.issue, PHONE))
        guesses += [outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code)) for _ in range(4)]
        rig.clock.advance(11 * MINUTE)
    assert names(guesses)["WrongCodeError"] == 7
    assert {each.scope for each in guesses if isinstance(each, RateLimitError)} == {"failures"}


def test_defect_14_a_stranger_burns_no_bound_code(rig: Rig) -> None:
    """In another library, a stranger's five guesses ended the victim's code.

    Here they find no challenge without the bind.
    """
    otp = rig.heard()
    otp.issue(PHONE, bind="the victim's session")
    guesses = names(outcome(otp.verify, PHONE, "123456", bind=bind) for bind in ("", "another") for _ in range(25))
    assert guesses == {"ExpiredCodeError": 50}
    assert otp.status(PHONE, bind="the victim's session").attempts_left == 5
    assert otp.verify(PHONE, rig.outbox[-1].code, bind="the victim's session")


def test_defect_15_a_wrong_guess_beside_a_resend_brings_nothing_back(rig: Rig) -> None:
    """In another library, a wrong guess restored the old row after a resend.

    Here the newest message's code verifies.
    """
    otp = rig.heard()
    otp.issue(PHONE)
    rig.clock.advance(MINUTE)
    guess = wrong(rig.outbox[-1].code)
    outcomes = together(4, lambda number: otp.verify(PHONE, guess) if number else otp.issue(PHONE))
    assert names(outcomes) == {"Challenge": 1, "WrongCodeError": 3}
    assert otp.status(PHONE).attempts_left == 2
    assert otp.verify(PHONE, rig.outbox[-1].code)


def test_defect_20_a_rejection_is_not_swallowed(rig: Rig) -> None:
    """In another library, a provider's error was ignored. Here the caller gets it, and the phone is not charged."""
    otp = rig.heard()
    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", gateway_code="50001", category="account"))
    with pytest.raises(GatewayRejectedError) as caught:
        otp.issue(PHONE)
    assert (caught.value.gateway_code, caught.value.category) == ("50001", "account")
    assert otp.issue(PHONE).sends_left == 9
    assert isinstance(outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code)), WrongCodeError)
