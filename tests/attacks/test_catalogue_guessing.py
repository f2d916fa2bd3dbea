"""The attack catalogue, rows 1–9 and 26–29: codes that are guessed, reused or expired.

Parts of the catalogue without a test here, and the reasons:

====  ============================================================================================================
row   reason
====  ============================================================================================================
16    batches over GraphQL: there is no such interface; lists instead of a code are tested
24    headers: the library reads none; `ip` is an argument, and a forwarded list as its value is tested
29    a breaker over all failures is not part of the policy; the limit of one address is tested
33    a response in a browser: the library has none; the token's own strength is tested
====  ============================================================================================================
"""

from __future__ import annotations

import pytest
from support.rig import DAY, HOUR, MINUTE, PHONE, Rig, names, outcome, together, whole, wrong

from otpkit import (
    BlockedError,
    ExpiredCodeError,
    Policy,
    RateLimitError,
    UsedTokenError,
    WrongCodeError,
)

MANY_SENDS = "32/day"


def test_row_1_parallel_right_answers_give_one_proof(rig: Rig) -> None:
    """Row 1, verify race: of many parallel right answers, one gets a proof."""
    otp = rig.heard()
    otp.issue(PHONE)
    outcomes = together(24, lambda _: otp.verify(PHONE, rig.outbox[-1].code))
    assert names(outcomes) == {"Proof": 1, "ExpiredCodeError": 23}


def test_row_2_parallel_wrong_answers_are_compared_five_times(rig: Rig) -> None:
    """Row 2, counter race: of many parallel wrong answers, only as many are compared as a challenge has attempts."""
    otp = rig.heard()
    otp.issue(PHONE)
    outcomes = together(40, lambda _: otp.verify(PHONE, wrong(rig.outbox[-1].code)))
    assert names(outcomes) == {"WrongCodeError": 5, "ExpiredCodeError": 35}


def test_row_3_a_resend_renews_no_attempts(rig: Rig) -> None:
    """Row 3: three wrong codes before a resend are still counted after it."""
    otp = rig.heard()
    otp.issue(PHONE)
    for _ in range(3):
        outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code))
    rig.clock.advance(MINUTE)
    assert otp.issue(PHONE).attempts_left == 2


def test_row_3_guessing_and_resending_ends_at_the_failure_budget(rig: Rig) -> None:
    """Row 3: ten rounds of an issue and five guesses allow twenty comparisons, not fifty."""
    otp = rig.heard(policy=whole(sends=MANY_SENDS))
    compared = 0
    for _ in range(10):
        outcome(otp.issue, PHONE)
        for _ in range(5):
            compared += isinstance(outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code)), WrongCodeError)
        rig.clock.advance(MINUTE)
    assert compared == 20
    with pytest.raises(RateLimitError) as caught:
        otp.issue(PHONE)
    assert caught.value.scope == "failures"


def test_row_4_wrong_codes_stay_counted_after_a_restart(rig: Rig) -> None:
    """Row 4: five wrong codes before and after a restart end the challenge, and then the right one fails."""
    first = rig.heard()
    first.issue(PHONE)
    code = rig.outbox[-1].code
    left = [outcome(first.verify, PHONE, wrong(code)).attempts_left for _ in range(3)]
    again = rig.heard(redis=rig.client())
    left += [outcome(again.verify, PHONE, wrong(code)).attempts_left for _ in range(2)]
    assert left == [4, 3, 2, 1, 0]
    assert names(outcome(again.verify, PHONE, wrong(code)) for _ in range(2)) == {"ExpiredCodeError": 2}
    with pytest.raises(ExpiredCodeError):
        again.verify(PHONE, code)


@pytest.mark.parametrize("decode_responses", [True, False])
def test_row_5_the_block_holds_however_replies_are_decoded(rig: Rig, decode_responses: bool) -> None:
    """Row 5: the block also works if the counter is returned as text."""
    client = rig.client(decode_responses=decode_responses)
    otp = rig.heard(redis=client, policy=Policy(max_consecutive_failures=3))
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    assert names(outcome(otp.verify, PHONE, wrong(code)) for _ in range(3)) == {"WrongCodeError": 3}
    for call in (lambda: otp.verify(PHONE, code), lambda: otp.issue(PHONE)):
        with pytest.raises(BlockedError):
            call()


def test_row_6_a_flood_of_verifies_alone_is_limited_for_a_while(rig: Rig) -> None:
    """Row 6: an address has a limit of guesses without a challenge, and the limit ends with its window."""
    otp = rig.heard(policy=Policy(ip_failures="10/hour"))
    guesses = [outcome(otp.verify, PHONE, "123456", ip="1.2.3.4") for _ in range(12)]
    assert names(guesses) == {"ExpiredCodeError": 10, "RateLimitError": 2}
    assert guesses[-1].scope == "ip"
    assert all(0 < life <= HOUR * 1000 for life in rig.lives().values())
    rig.clock.advance(guesses[-1].retry_after)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "123456", ip="1.2.3.4")


def test_row_7_the_sixth_guess_is_refused_unread(rig: Rig) -> None:
    """Row 7: after five wrong codes the right one is refused."""
    otp = rig.heard()
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    for _ in range(5):
        outcome(otp.verify, PHONE, wrong(code))
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code)


def test_row_8_a_code_ends_with_its_life(rig: Rig) -> None:
    """Row 8: a code verifies until its end and has expired then. Its key has an expiry in Redis."""
    otp = rig.heard(policy=whole(sends=MANY_SENDS))
    challenge = otp.issue(PHONE)
    assert all(0 < life <= (DAY + MINUTE) * 1000 for life in rig.lives().values())
    rig.clock.advance(299)
    assert otp.status(PHONE).expires_in == 1
    rig.clock.advance(1)
    assert challenge.expires_at.timestamp() == rig.clock.now
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code)


def test_row_8_resends_prolong_no_code_beyond_ten_minutes(rig: Rig) -> None:
    """Row 8: a code that is resent repeatedly expires 600 s after the first send."""
    otp = rig.heard(policy=whole(sends=MANY_SENDS))
    otp.issue(PHONE)
    first = rig.outbox[0].code
    for _ in range(9):
        rig.clock.advance(MINUTE)
        assert otp.issue(PHONE).expires_in == min(300, 600 - MINUTE * (len(rig.outbox) - 1))
        assert rig.outbox[-1].code == first
    rig.clock.advance(MINUTE)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, first)


def test_row_9_a_code_is_used_up(rig: Rig) -> None:
    """Row 9: the second verification with the same code fails, and so does the second redemption of its proof."""
    otp = rig.heard()
    otp.issue(PHONE, "reset")
    proof = otp.verify(PHONE, rig.outbox[-1].code, "reset")
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code, "reset")
    otp.redeem(proof.token, "reset")
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token, "reset")


def test_row_26_limits_are_shared_by_all_instances_and_outlive_them(rig: Rig) -> None:
    """Row 26: two instances and a restarted one share their counts."""
    for _ in range(2):
        with pytest.raises(RateLimitError):
            [rig.heard(redis=rig.client()).issue(PHONE) for _ in range(2)]
    assert len(rig.outbox) == 1


def test_row_27_guesses_without_a_code_lock_no_phone(memory_rig: Rig) -> None:
    """Row 27: a thousand guesses without a challenge do not limit the owner of the phone."""
    rig = memory_rig
    otp = rig.heard()
    assert names(outcome(otp.verify, PHONE, "123456") for _ in range(1000)) == {"ExpiredCodeError": 1000}
    assert otp.issue(PHONE).attempts_left == 5
    assert otp.verify(PHONE, rig.outbox[-1].code)


def test_row_28_a_lock_holds_on_every_path(rig: Rig) -> None:
    """Row 28: wrong codes for a login block the phone for a reset too, even with the right code."""
    otp = rig.heard(policy=Policy(max_consecutive_failures=5, sends=MANY_SENDS))
    otp.issue(PHONE, "reset")
    reset_code = rig.outbox[-1].code
    otp.issue(PHONE, "login")
    for _ in range(5):
        outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code), "login")
    for call in (lambda: otp.verify(PHONE, reset_code, "reset"), lambda: otp.issue(PHONE, "reset", bind="another")):
        with pytest.raises(BlockedError):
            call()


def test_row_29_one_code_over_many_phones_is_limited_by_address(rig: Rig) -> None:
    """Row 29, inverted guessing: one code tried at many phones uses up the address's guesses, for any live codes."""
    otp = rig.heard(policy=Policy(ip_failures="10/hour"))
    phones = [f"+861380013{number:04d}" for number in range(15)]
    for phone in phones[:5]:
        otp.issue(phone)
    codes = {message.code for message in rig.outbox}
    guess = next(code for code in ("123456", "654321", "111111") if code not in codes)
    guesses = names(outcome(otp.verify, phone, guess, ip="1.2.3.4") for phone in phones)
    assert guesses == {"WrongCodeError": 5, "ExpiredCodeError": 5, "RateLimitError": 5}
