"""Proofs: `check` works without the store any number of times, and `redeem` works once."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, Rig

from otpkit import (
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    OTPError,
    Policy,
    StoreUnavailableError,
    TokenError,
    UsedTokenError,
)


def test_check_needs_no_store_and_uses_nothing_up(rig: Rig, proved: Any) -> None:
    """`check` succeeds twice without the store.

    `redeem` raises StoreUnavailableError, and succeeds when the store is back.
    """
    client = rig.client(wrap=rig.breakable)
    otp = rig.otp(redis=client)
    proof = proved(otp)
    client.broken = True
    assert otp.check(proof.token) == proof
    assert otp.check(proof.token, phone=PHONE) == proof
    with pytest.raises(StoreUnavailableError):
        otp.redeem(proof.token)
    client.broken = False
    redeemed = otp.redeem(proof.token, phone="138 0013 8000")
    assert redeemed == proof
    assert (redeemed.token, redeemed.phone, redeemed.expires_at) == (proof.token, PHONE, proof.expires_at)


def test_a_proof_is_redeemed_once_ever(rig: Rig, otp: Any, proved: Any) -> None:
    """Any OTP on the store can redeem it. `check` accepts the token afterwards."""
    proof = proved(otp)
    otp.redeem(proof.token)
    for other in (otp, rig.otp()):
        with pytest.raises(UsedTokenError) as used:
            other.redeem(proof.token)
        assert (used.value.code, used.value.status) == ("used_token", 401)
        assert isinstance(used.value, TokenError)
    assert otp.check(proof.token) == proof


@pytest.mark.parametrize(
    "wrong",
    [
        {"purpose": "signup"},
        {"bind": "another"},
        {"bind": ""},
        {"phone": OTHER_PHONE},
        {"phone": "no phone at all"},
        {"phone": ""},
        {"phone": "+1 202 555 0123"},
    ],
)
@pytest.mark.parametrize("call", ["check", "redeem"])
def test_another_purpose_bind_or_phone_is_refused(rig: Rig, otp: Any, proved: Any, call: str, wrong: Any) -> None:
    """The refusal does not use up the proof."""
    right = {"purpose": "login", "bind": "session", "phone": PHONE}
    proof = proved(otp, PHONE, "login", bind="session")
    with pytest.raises(InvalidTokenError) as refused:
        getattr(otp, call)(proof.token, **(right | wrong))
    assert (refused.value.code, refused.value.status) == ("invalid_token", 401)
    assert otp.redeem(proof.token, **right) == proof


def test_a_purpose_left_out_is_signup(rig: Rig, otp: Any, proved: Any) -> None:
    """A payment has to name its own purpose."""
    proof = proved(otp, PHONE, "payment")
    for call in (otp.check, otp.redeem):
        with pytest.raises(InvalidTokenError):
            call(proof.token)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", None, 7, b"bytes", "é", "x" * 5000])
def test_what_is_no_token_is_refused(memory_rig: Rig, token: Any) -> None:
    """Other texts and other types are refused."""
    otp = memory_rig.otp()
    for call in (otp.check, otp.redeem):
        with pytest.raises(InvalidTokenError):
            call(token)


def test_a_token_that_was_changed_or_is_another_sites_is_refused(rig: Rig, otp: Any, proved: Any) -> None:
    """The signature covers the whole token."""
    token = proved(otp).token
    payload, signature = token.rsplit(".", 1)
    stranger = rig.otp(secret="the secret of another site altogether")
    for forged in (f"{payload[:-1]}.{signature}", f"{payload}.{signature[:-2]}", payload, token + "x"):
        with pytest.raises(InvalidTokenError):
            otp.check(forged)
    with pytest.raises(InvalidTokenError):
        stranger.check(token)


def test_a_proof_lives_five_minutes(rig: Rig, otp: Any, proved: Any) -> None:
    """Both calls are exact to the millisecond."""
    proof = proved(otp)
    rig.advance(299.999)
    assert otp.check(proof.token)
    rig.advance(0.001)
    for call in (otp.check, otp.redeem):
        with pytest.raises(ExpiredTokenError) as expired:
            call(proof.token)
        assert (expired.value.code, expired.value.status) == ("expired_token", 401)


def test_a_proofs_life_is_the_policys(rig: Rig, proved: Any) -> None:
    """It is an hour at most, and the record lives as long as the token."""
    otp = rig.otp(policy=Policy(proof_ttl=3600))
    proof = proved(otp)
    assert (proof.expires_at - proof.verified_at).total_seconds() == 3600
    rig.advance(3599)
    assert otp.redeem(proof.token) == proof


def test_a_token_from_the_future_is_allowed_30_seconds(rig: Rig, otp: Any, proved: Any) -> None:
    """For `check`, a host's clock may be 30 seconds behind the server's."""
    proof = proved(otp)
    now = rig.clock.now
    assert rig.otp(clock=lambda: now - 30).check(proof.token) == proof
    with pytest.raises(InvalidTokenError):
        rig.otp(clock=lambda: now - 30.001).check(proof.token)


def test_redeem_judges_by_the_servers_time_and_check_by_the_hosts(rig: Rig, proved: Any) -> None:
    """A `clock` replaces both. Without it, `redeem` uses the store's TIME and `check` the host's clock."""
    otp = rig.otp(clock=None)
    proof = proved(otp)
    assert otp.check(proof.token) == otp.redeem(proof.token) == proof
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token)


def test_several_proofs_of_a_phone_live_beside_each_other(rig: Rig, proved: Any) -> None:
    """Each has its own id, and is redeemed separately."""
    otp = rig.otp(policy=Policy(sends="5/hour"))
    one, two = proved(otp), proved(otp)
    assert one.id != two.id
    assert otp.redeem(two.token) == two
    assert otp.redeem(one.token) == one
    with pytest.raises(UsedTokenError):
        otp.redeem(two.token)


def test_an_erased_phones_proof_is_used(rig: Rig, otp: Any, proved: Any) -> None:
    """`redeem` refuses a proof without a record. `check` does not read the store."""
    proof = proved(otp)
    otp.erase(PHONE)
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token)
    assert otp.check(proof.token) == proof


def test_lost_data_fails_closed(rig: Rig, otp: Any, proved: Any) -> None:
    """This happens after a restart of a store without persistence."""
    proof = proved(otp)
    for key in rig.stored():
        rig.server.delete(key)
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token)


def test_a_proof_outlives_its_challenge_and_the_next_one(rig: Rig, otp: Any, proved: Any) -> None:
    """Neither a new code nor a wrong guess at it affects an earlier proof."""
    proof = proved(otp)
    rig.advance(60)
    otp.issue(PHONE)
    with pytest.raises(OTPError):
        otp.verify(PHONE, "000000" if rig.outbox[-1].code != "000000" else "000001")
    otp.revoke(PHONE)
    assert otp.redeem(proof.token) == proof


def test_a_proof_can_be_pickled_and_loses_nothing(rig: Rig, otp: Any, proved: Any) -> None:
    """Session stores and task queues pickle their values."""
    proof = proved(otp)
    copy = pickle.loads(pickle.dumps(proof))
    assert (copy, copy.token) == (proof, proof.token)


@pytest.mark.parametrize("purpose", ["", None, 7, "x" * 129])
def test_a_purpose_is_a_short_text(memory_rig: Rig, purpose: Any) -> None:
    """The caller's code names it, so another value is an error in that code."""
    otp = memory_rig.otp()
    otp.issue(PHONE)
    token = otp.verify(PHONE, memory_rig.outbox[-1].code).token
    calls = (
        lambda: otp.issue(PHONE, purpose),
        lambda: otp.verify(PHONE, "123456", purpose),
        lambda: otp.check(token, purpose),
        lambda: otp.redeem(token, purpose),
        lambda: otp.status(PHONE, purpose),
        lambda: otp.delivery(PHONE, purpose),
        lambda: otp.revoke(PHONE, purpose),
    )
    for call in calls:
        with pytest.raises(ConfigurationError, match="purpose"):
            call()
    assert otp.redeem(token)
