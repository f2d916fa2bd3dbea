"""The standing of a phone: what its own limits still allow, and whether it is blocked."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Rig, other_codes, whole, wrong

from otpkit import BlockedError, ExpiredCodeError, RateLimitError, Standing, WrongCodeError

ALL_CLEAR = Standing(
    phone=PHONE,
    blocked=False,
    consecutive_failures=0,
    sends_left=10,
    send_in=0,
    failures_left=20,
    verify_in=0,
    device_sends_left=10,
    device_failures_left=20,
)


def fail(otp: Any, rig: Rig, times: int) -> None:
    for code in other_codes(rig.outbox[-1].code, times):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, code)


def test_an_unknown_phone_may_do_all(rig: Rig, otp: Any) -> None:
    """Any spelling has the same answer, and the call stores nothing."""
    assert otp.standing("138 0013 8000") == ALL_CLEAR
    assert not ALL_CLEAR.limited
    assert rig.stored() == []


def test_a_send_makes_the_phone_wait_for_the_next_one_alone(rig: Rig, otp: Any) -> None:
    """The wait equals that of a refusal, rounded up. Meanwhile the code can be verified."""
    otp.issue(PHONE)
    rig.advance(10.5)
    standing = otp.standing(PHONE)
    assert (standing.sends_left, standing.send_in, standing.verify_in, standing.limited) == (9, 50, 0, True)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.retry_after == standing.send_in
    rig.advance(49.375)
    assert otp.standing(PHONE).send_in == 1
    rig.advance(0.125)
    standing = otp.standing(PHONE)
    assert (standing.sends_left, standing.send_in, standing.limited) == (9, 0, False)
    assert otp.issue(PHONE).sends_left == 8
    assert otp.standing(OTHER_PHONE).sends_left == 10


def test_used_up_failures_make_it_wait_for_both(rig: Rig) -> None:
    """The wait is the longest of their rates, exact to the millisecond."""
    otp = rig.otp(policy=whole(sends="32/day", failures="2/minute, 3/hour"))
    otp.issue(PHONE)
    fail(otp, rig, 2)
    standing = otp.standing(PHONE)
    assert (standing.failures_left, standing.send_in, standing.verify_in) == (1, 60, 60)
    rig.advance(100)
    fail(otp, rig, 1)
    standing = otp.standing(PHONE)
    assert (standing.failures_left, standing.consecutive_failures, standing.blocked) == (0, 3, False)
    assert (standing.send_in, standing.verify_in, standing.sends_left) == (3500, 3500, 31)
    rig.advance(3499.875)
    assert otp.standing(PHONE).verify_in == 1
    rig.advance(0.125)
    standing = otp.standing(PHONE)
    assert (standing.failures_left, standing.send_in, standing.verify_in) == (2, 0, 0)


def test_the_longer_of_two_waits_is_the_one_for_a_send(rig: Rig) -> None:
    """A send waits for the limits of sends and failures, a verification for those of failures only."""
    otp = rig.otp(policy=whole(sends="1/hour", failures="1/10 minutes"))
    otp.issue(PHONE)
    fail(otp, rig, 1)
    standing = otp.standing(PHONE)
    assert (standing.sends_left, standing.failures_left) == (0, 0)
    assert (standing.send_in, standing.verify_in) == (3600, 600)


def test_a_right_code_ends_the_consecutive_failures_and_gives_no_other_back(rig: Rig, otp: Any) -> None:
    """A guess without a challenge is never counted."""
    otp.issue(PHONE)
    fail(otp, rig, 2)
    otp.verify(PHONE, rig.outbox[-1].code)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "123456")
    standing = otp.standing(PHONE)
    assert (standing.consecutive_failures, standing.failures_left) == (0, 18)


def test_a_blocked_phone_says_so_until_it_is_unblocked(rig: Rig) -> None:
    """The block has no end. `unblock` clears the failures and keeps the sends."""
    policy = whole(sends="2/day", failures="3/day", max_consecutive_failures=3)
    otp = rig.otp(policy=policy)
    otp.issue(PHONE)
    fail(otp, rig, 3)
    standing = otp.standing(PHONE)
    assert (standing.blocked, standing.consecutive_failures, standing.failures_left) == (True, 3, 0)
    otp.unblock(PHONE)
    standing = otp.standing(PHONE)
    assert (standing.blocked, standing.consecutive_failures, standing.failures_left) == (False, 0, 3)
    assert (standing.sends_left, standing.limited) == (1, False)
    fail(otp, rig, 2)
    otp.issue(PHONE)
    fail(otp, rig, 1)
    rig.advance(366 * 86400)
    standing = otp.standing(PHONE)
    assert (standing.blocked, standing.limited) == (True, False)
    with pytest.raises(BlockedError):
        otp.issue(PHONE)
    otp.erase(PHONE)
    assert otp.standing(PHONE).consecutive_failures == 0


def test_each_policy_judges_the_same_history_by_its_own_numbers(rig: Rig) -> None:
    """A strict policy may find a reached block. `standing` does not make it permanent: only a refusing call does."""
    loose = rig.otp(policy=whole(sends="32/day"))
    strict = rig.otp(policy=whole(sends="2/hour", failures="1/hour", max_consecutive_failures=2))
    loose.issue(PHONE)
    fail(loose, rig, 3)
    assert not loose.standing(PHONE).blocked
    found = strict.standing(PHONE)
    assert (found.blocked, found.sends_left, found.failures_left, found.verify_in) == (True, 1, 0, 3600)
    (counter,) = rig.stored(":c")
    assert rig.server.pttl(counter) > 0


def test_looking_changes_nothing(rig: Rig) -> None:
    """It changes neither the stored bytes nor their expiry, and sends no event."""
    otp = rig.heard(policy=whole(sends="1/day", failures="2/day", max_consecutive_failures=2))
    otp.issue(PHONE)
    fail(otp, rig, 2)
    kept = {key: rig.server.dump(key) for key in rig.stored()}
    told = list(rig.events)
    for _ in range(3):
        otp.standing(PHONE)
    assert {key: rig.server.dump(key) for key in rig.stored()} == kept
    assert rig.events == told
    assert len(rig.outbox) == 1


def test_no_wider_limit_is_a_phones(rig: Rig) -> None:
    """The counts of an address, a region and all phones together are not part of it."""
    rates = {"ip_sends": "1/day", "region_sends": {"CN": "1/day"}, "total_sends": "1/day"}
    otp = rig.otp(policy=whole(**rates))
    otp.issue(OTHER_PHONE, ip=VISITOR)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE, ip=VISITOR)
    assert otp.standing(PHONE) == ALL_CLEAR


def test_a_clock_that_went_back_makes_no_wait_longer(rig: Rig, otp: Any) -> None:
    """After a failover to a slower clock, a recorded time in the future counts as now."""
    otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    rig.advance(-600)
    standing = otp.standing(PHONE)
    assert (standing.sends_left, standing.send_in, standing.failures_left) == (9, 60, 19)
    rig.advance(30)
    assert otp.standing(PHONE).send_in == 30


def test_a_client_that_decodes_gives_the_same(rig: Rig) -> None:
    """Scripts reply with ASCII and integers."""
    plain = rig.otp()
    plain.issue(PHONE)
    fail(plain, rig, 2)
    decoding = rig.otp(redis=rig.client(decode_responses=True))
    assert decoding.standing(PHONE) == plain.standing(PHONE)
    assert decoding.standing(OTHER_PHONE).sends_left == 10


def test_its_repr_shows_no_whole_number() -> None:
    """No value's repr shows a whole number."""
    assert repr(ALL_CLEAR) == (
        "Standing(phone='+*********8000', blocked=False, consecutive_failures=0, sends_left=10, send_in=0, "
        "failures_left=20, verify_in=0, device_blocked=False, device_sends_left=10, device_send_in=0, "
        "device_failures_left=20, device_verify_in=0)"
    )
