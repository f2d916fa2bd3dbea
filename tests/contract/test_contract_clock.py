"""The store's clock goes back, as after a failover: no call waits for it to catch up, and nothing lives too long."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Killed, Rig, wrong

from otpkit import (
    ExpiredCodeError,
    ExpiredTokenError,
    InvalidTokenError,
    Policy,
    RateLimitError,
    UsedTokenError,
    WrongCodeError,
)

BACK = -3600


def test_a_send_of_the_future_counts_as_now(rig: Rig, otp: Any) -> None:
    """The next send is allowed after a minute, not after an hour and a minute."""
    otp.issue(PHONE)
    rig.advance(BACK)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after) == ("phone", 60)
    rig.advance(60)
    assert otp.issue(PHONE).sends_left == 8


def test_a_challenge_of_the_future_ends_within_its_life_from_now(rig: Rig, otp: Any) -> None:
    """The code still verifies, and it expires after five minutes by the new clock."""
    challenge = otp.issue(PHONE)
    rig.advance(BACK)
    live = otp.status(PHONE)
    assert (live.id, live.expires_in, live.expires_at) == (challenge.id, 300, rig.at(300))
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    rig.advance(299.999)
    assert otp.status(PHONE).id == challenge.id
    rig.advance(0.001)
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code)


def test_resends_do_not_stretch_it_beyond_max_age_from_now(rig: Rig) -> None:
    """Its total life ends at most ten minutes after the moment when the clock went back."""
    otp = rig.otp(policy=Policy(sends="32/day"))
    first = otp.issue(PHONE)
    rig.advance(BACK)
    turned = rig.clock.now
    assert otp.status(PHONE).id == first.id
    for _ in range(2):
        rig.advance(240)
        live = otp.issue(PHONE)
    assert (live.id, live.expires_at.timestamp()) == (first.id, turned + 600)


def test_a_pending_send_of_the_future_is_uncertain_after_30_seconds(rig: Rig) -> None:
    """Its 30 seconds start at the new time."""

    def gateway(message: Any) -> None:
        raise Killed

    otp = rig.otp(gateway=gateway)
    with pytest.raises(Killed):
        otp.issue(PHONE)
    rig.advance(BACK)
    assert otp.status(PHONE).delivery == "pending"
    rig.advance(30)
    assert otp.status(PHONE).delivery == "uncertain"


def test_a_send_whose_clock_went_back_at_the_gateway_settles(rig: Rig) -> None:
    """The gateway's answer moves the send to the new time."""
    otp = rig.otp(gateway=lambda message: rig.advance(BACK))
    challenge = otp.issue(PHONE)
    assert (challenge.delivery, challenge.resend_in, challenge.resend_at) == ("accepted", 60, rig.at(60))
    assert otp.status(PHONE).expires_in == 300


def test_failures_of_the_future_count_as_now(rig: Rig) -> None:
    """Waiting for `retry_after` is enough."""
    otp = rig.otp(policy=Policy(sends="32/day", failures="2/hour"))
    otp.issue(PHONE)
    for _ in range(2):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, wrong(rig.outbox[-1].code))
    rig.advance(-7200)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after) == ("failures", 3600)
    rig.advance(3600)
    assert otp.issue(PHONE)


@pytest.mark.parametrize("scope", ["ip", "total"])
def test_a_window_of_the_future_counts_as_the_current_one(rig: Rig, scope: str) -> None:
    """The counts in it are kept, and waiting for `retry_after` is enough."""
    rates = {"ip": Policy(ip_sends="2/hour"), "total": Policy(total_sends="2/hour")}
    otp = rig.otp(policy=rates[scope])
    rig.advance(1800)
    for phone in ("+8613700137000", "+8613700137001"):
        otp.issue(phone, ip=VISITOR)
    rig.advance(BACK)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(OTHER_PHONE, ip=VISITOR)
    assert (refused.value.scope, refused.value.retry_after) == (scope, 1800)
    rig.advance(1800)
    assert otp.issue(OTHER_PHONE, ip=VISITOR)


def test_a_proof_of_the_future_is_redeemed_within_its_life_from_now(rig: Rig, otp: Any, proved: Any) -> None:
    """The record's five minutes restart at the new time. After that the proof can't be redeemed."""
    first, second = proved(otp), proved(otp, OTHER_PHONE)
    rig.advance(BACK)
    assert otp.redeem(first.token) == first
    with pytest.raises(UsedTokenError):
        otp.redeem(first.token)
    rig.advance(1)
    otp.status(OTHER_PHONE)
    rig.advance(300)
    with pytest.raises((ExpiredTokenError, UsedTokenError)):
        otp.redeem(second.token)


def test_a_proof_of_the_future_does_not_check(rig: Rig, otp: Any, proved: Any) -> None:
    """At most thirty seconds between the two clocks are allowed."""
    proof = proved(otp)
    rig.advance(-30)
    assert otp.check(proof.token) == proof
    rig.advance(-0.001)
    with pytest.raises(InvalidTokenError):
        otp.check(proof.token)
