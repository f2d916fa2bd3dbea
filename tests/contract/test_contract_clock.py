"""A clock that goes back, as after a failover: nothing is stuck until it has caught up, nothing outlives its life."""

from __future__ import annotations

from typing import Any

import pytest
from contract_world import OTHER_PHONE, PHONE, VISITOR, Killed, World, wrong

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


def test_a_send_of_the_future_counts_as_now(world: World, otp: Any) -> None:
    """The next one is a minute away, not an hour and a minute."""
    otp.issue(PHONE)
    world.advance(BACK)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after) == ("phone", 60)
    world.advance(60)
    assert otp.issue(PHONE).sends_left == 8


def test_a_challenge_of_the_future_ends_within_its_life_from_now(world: World, otp: Any) -> None:
    """It still verifies, and it is dead after five minutes by the new clock."""
    challenge = otp.issue(PHONE)
    world.advance(BACK)
    live = otp.status(PHONE)
    assert (live.id, live.expires_in, live.expires_at) == (challenge.id, 300, world.at(300))
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(world.outbox[-1].code))
    world.advance(299.999)
    assert otp.status(PHONE).id == challenge.id
    world.advance(0.001)
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, world.outbox[-1].code)


def test_resends_do_not_stretch_it_beyond_max_age_from_now(world: World) -> None:
    """Its whole life is at most ten minutes from the moment that the clock went back."""
    otp = world.otp(policy=Policy(sends="32/day"))
    first = otp.issue(PHONE)
    world.advance(BACK)
    turned = world.clock.now
    assert otp.status(PHONE).id == first.id
    for _ in range(2):
        world.advance(240)
        live = otp.issue(PHONE)
    assert (live.id, live.expires_at.timestamp()) == (first.id, turned + 600)


def test_a_pending_send_of_the_future_is_uncertain_after_30_seconds(world: World) -> None:
    """Its half minute runs from now."""

    def gateway(message: Any) -> None:
        raise Killed

    otp = world.otp(gateway=gateway)
    with pytest.raises(Killed):
        otp.issue(PHONE)
    world.advance(BACK)
    assert otp.status(PHONE).delivery == "pending"
    world.advance(30)
    assert otp.status(PHONE).delivery == "uncertain"


def test_a_send_whose_clock_went_back_at_the_gateway_settles(world: World) -> None:
    """The answer moves it to the new now."""
    otp = world.otp(gateway=lambda message: world.advance(BACK))
    challenge = otp.issue(PHONE)
    assert (challenge.delivery, challenge.resend_in, challenge.resend_at) == ("accepted", 60, world.at(60))
    assert otp.status(PHONE).expires_in == 300


def test_failures_of_the_future_count_as_now(world: World) -> None:
    """Waiting as told is enough."""
    otp = world.otp(policy=Policy(sends="32/day", failures="2/hour"))
    otp.issue(PHONE)
    for _ in range(2):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, wrong(world.outbox[-1].code))
    world.advance(-7200)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after) == ("failures", 3600)
    world.advance(3600)
    assert otp.issue(PHONE)


@pytest.mark.parametrize("scope", ["ip", "total"])
def test_a_window_of_the_future_counts_as_the_current_one(world: World, scope: str) -> None:
    """What it holds is not lost, and waiting as told is enough."""
    rates = {"ip": Policy(ip_sends="2/hour"), "total": Policy(total_sends="2/hour")}
    otp = world.otp(policy=rates[scope])
    world.advance(1800)
    for phone in ("+8613700137000", "+8613700137001"):
        otp.issue(phone, ip=VISITOR)
    world.advance(BACK)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(OTHER_PHONE, ip=VISITOR)
    assert (refused.value.scope, refused.value.retry_after) == (scope, 1800)
    world.advance(1800)
    assert otp.issue(OTHER_PHONE, ip=VISITOR)


def test_a_proof_of_the_future_is_redeemed_within_its_life_from_now(world: World, otp: Any, proved: Any) -> None:
    """The record's five minutes start anew with the clock, and then it is over."""
    first, second = proved(otp), proved(otp, OTHER_PHONE)
    world.advance(BACK)
    assert otp.redeem(first.token) == first
    with pytest.raises(UsedTokenError):
        otp.redeem(first.token)
    world.advance(1)
    otp.status(OTHER_PHONE)
    world.advance(300)
    with pytest.raises((ExpiredTokenError, UsedTokenError)):
        otp.redeem(second.token)


def test_a_proof_of_the_future_does_not_check(world: World, otp: Any, proved: Any) -> None:
    """Thirty seconds between the clocks are allowed, no more."""
    proof = proved(otp)
    world.advance(-30)
    assert otp.check(proof.token) == proof
    world.advance(-0.001)
    with pytest.raises(InvalidTokenError):
        otp.check(proof.token)
