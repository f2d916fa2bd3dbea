"""Consecutive failures block a phone permanently, until an operator unblocks it."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, Rig, other_codes

from otpkit import BlockedError, Policy, RateLimitError, WrongCodeError

DAY_MS = 86_400_000
POLICY = Policy(sends="32/day", failures="64/day", max_consecutive_failures=3)


def fail(otp: Any, rig: Rig, times: int) -> None:
    for code in other_codes(rig.outbox[-1].code, times):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, code)


@pytest.fixture
def strict(rig: Rig) -> Any:
    """Return an OTP that blocks after three failures."""
    return rig.otp(policy=POLICY)


def test_a_blocked_phone_gets_neither_message_nor_proof(rig: Rig, strict: Any) -> None:
    """After the third failure in a row, neither the right code nor a year of waiting helps."""
    strict.issue(PHONE)
    fail(strict, rig, 3)
    code = rig.outbox[-1].code
    for _ in range(2):
        with pytest.raises(BlockedError) as blocked:
            strict.verify(PHONE, code)
        assert (blocked.value.status, blocked.value.retry_after) == (423, None)
        with pytest.raises(BlockedError):
            strict.issue(PHONE, "login")
        rig.advance(366 * 86400)
    assert len(rig.outbox) == 1
    assert strict.issue(OTHER_PHONE)


def test_the_failures_need_not_be_of_one_challenge(rig: Rig, strict: Any) -> None:
    """Resends and fresh codes do not reset the count."""
    strict.issue(PHONE)
    fail(strict, rig, 2)
    rig.advance(2000)
    strict.issue(PHONE)
    fail(strict, rig, 1)
    with pytest.raises(BlockedError):
        strict.issue(PHONE)


def test_a_right_code_resets_the_count(rig: Rig, strict: Any) -> None:
    """A success in between ends the row of consecutive failures, and nothing stays counted."""
    for _ in range(3):
        strict.issue(PHONE)
        fail(strict, rig, 2)
        assert len(rig.stored(":c")) == 1
        assert strict.verify(PHONE, rig.outbox[-1].code)
        assert rig.stored(":c") == []
        rig.advance(1)


def test_the_count_lives_400_days_after_the_last_failure(rig: Rig, strict: Any) -> None:
    """Each failure renews the counter's life. At the block it has no expiry. All other keys have one."""
    strict.issue(PHONE)
    fail(strict, rig, 1)
    (counter,) = rig.stored(":c")
    assert 399 * DAY_MS < rig.server.pttl(counter) <= 400 * DAY_MS
    rig.server.pexpire(counter, DAY_MS)  # This simulates that 399 days have passed.
    fail(strict, rig, 1)
    assert 399 * DAY_MS < rig.server.pttl(counter) <= 400 * DAY_MS
    fail(strict, rig, 1)
    assert rig.server.pttl(counter) == -1
    assert all(rig.server.pttl(key) > 0 for key in rig.stored() if key != counter)


def test_a_stricter_policy_makes_the_block_it_finds_last(rig: Rig) -> None:
    """A count below one policy's limit can be a reached block for another. Once it is a block, it never expires."""
    rig.otp(policy=Policy(sends="32/day")).issue(PHONE)
    loose, strict = rig.otp(), rig.otp(policy=POLICY)
    fail(loose, rig, 3)
    (counter,) = rig.stored(":c")
    assert rig.server.pttl(counter) > 0
    with pytest.raises(BlockedError):
        strict.verify(PHONE, rig.outbox[-1].code)
    assert rig.server.pttl(counter) == -1


def test_unblock_lifts_the_block_and_clears_the_failures(rig: Rig) -> None:
    """Afterwards the day's failures are available again, and the sends stay counted."""
    otp = rig.otp(policy=Policy(sends="2/hour", failures="3/day", max_consecutive_failures=3))
    otp.issue(PHONE)
    fail(otp, rig, 3)
    with pytest.raises(BlockedError):
        otp.verify(PHONE, rig.outbox[-1].code)
    assert otp.unblock("138 0013 8000") is None
    assert rig.stored(":c") == []
    assert otp.verify(PHONE, rig.outbox[-1].code).phone == PHONE
    otp.issue(PHONE)
    fail(otp, rig, 2)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.scope == "phone"


def test_unblock_of_a_phone_that_is_not_blocked_changes_no_challenge(rig: Rig, otp: Any) -> None:
    """It also creates no key for an unknown phone."""
    otp.unblock(OTHER_PHONE)
    assert rig.stored() == []
    challenge = otp.issue(PHONE)
    fail(otp, rig, 1)
    otp.unblock(PHONE)
    assert otp.status(PHONE).id == challenge.id
    assert otp.status(PHONE).attempts_left == 4
    assert otp.verify(PHONE, rig.outbox[-1].code)
