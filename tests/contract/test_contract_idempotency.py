"""With an idempotency key, a form that is sent twice gets the same answer twice and is counted once."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Rig, in_thread, other_codes, wrong

from otpkit import (
    BlockedError,
    ConfigurationError,
    ExpiredCodeError,
    ExpiredTokenError,
    GatewayRejectedError,
    Policy,
    RateLimitError,
    UsedTokenError,
    WrongCodeError,
)
from otpkit.gateways import Message

KEY = "the form's hidden id"


def test_a_replay_sends_nothing_and_repeats_the_outcome(rig: Rig, otp: Any) -> None:
    """The key is looked up before any limit is checked, and the answer is marked as a replay."""
    first = otp.issue(PHONE, idempotency_key=KEY)
    rig.advance(20)
    again = otp.issue("138 0013 8000", idempotency_key=KEY)
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.id, again.delivery, again.sends_left) == (first.id, "accepted", 9)
    assert (again.expires_at, again.expires_in) == (first.expires_at, 280)
    assert (again.resend_at, again.resend_in) == (first.resend_at, 40)
    assert len(rig.outbox) == 1


def test_another_key_and_no_key_are_other_requests(rig: Rig, otp: Any) -> None:
    """The limits apply to them."""
    otp.issue(PHONE, idempotency_key=KEY)
    for key in ("another", None):
        with pytest.raises(RateLimitError):
            otp.issue(PHONE, idempotency_key=key)
    rig.advance(60)
    assert otp.issue(PHONE, idempotency_key="another").replayed is False
    assert len(rig.outbox) == 2


def test_an_uncertain_send_is_replayed_as_uncertain(rig: Rig, otp: Any) -> None:
    """A client's retry never sends a second message."""
    rig.outbox.lose_next()
    assert otp.issue(PHONE, idempotency_key=KEY).delivery == "uncertain"
    rig.advance(100)
    again = otp.issue(PHONE, idempotency_key=KEY)
    assert (again.delivery, again.replayed) == ("uncertain", True)
    assert len(rig.outbox) == 0


def test_while_it_is_under_way_a_replay_is_pending(rig: Rig) -> None:
    """The second request arrives while the gateway still handles the first."""
    seen: list[Any] = []

    def gateway(message: Message) -> None:
        seen.append(in_thread(otp.issue, PHONE, idempotency_key=KEY))

    otp = rig.otp(gateway=gateway)
    first = otp.issue(PHONE, idempotency_key=KEY)
    (pending,) = seen
    assert (pending.id, pending.delivery, pending.replayed) == (first.id, "pending", True)
    assert otp.issue(PHONE, idempotency_key=KEY).delivery == "accepted"
    assert len(seen) == 1


@pytest.mark.parametrize("category", ["account", "number", "rate_limit"])
def test_after_a_rejection_the_key_is_free(rig: Rig, otp: Any, category: Any) -> None:
    """The same form can be sent again as soon as the limits allow it."""
    rig.outbox.reject_next(GatewayRejectedError("asked", gateway="outbox", category=category))
    with pytest.raises((GatewayRejectedError, RateLimitError)):
        otp.issue(PHONE, idempotency_key=KEY)
    rig.advance(60)
    again = otp.issue(PHONE, idempotency_key=KEY)
    assert (again.replayed, again.delivery) == (False, "accepted")
    assert len(rig.outbox) == 1


@pytest.mark.parametrize(
    ("phone", "purpose", "bind"), [(OTHER_PHONE, "signup", ""), (PHONE, "login", ""), (PHONE, "signup", "session")]
)
def test_a_key_belongs_to_one_phone_purpose_and_bind(rig: Rig, phone: str, purpose: str, bind: str) -> None:
    """Another person's form with the same key is a different request."""
    otp = rig.otp(policy=Policy(sends="5/hour"))
    first = otp.issue(PHONE, idempotency_key=KEY)
    other = otp.issue(phone, purpose, bind=bind, idempotency_key=KEY)
    assert other.replayed is False
    assert other.id != first.id
    assert len(rig.outbox) == 2


def test_a_key_is_found_even_where_the_phone_is_blocked(rig: Rig) -> None:
    """The first answer is older than the block."""
    otp = rig.otp(policy=Policy(max_consecutive_failures=1))
    first = otp.issue(PHONE, idempotency_key=KEY)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[0].code))
    with pytest.raises(BlockedError):
        otp.issue(PHONE)
    assert otp.issue(PHONE, idempotency_key=KEY).id == first.id


def test_a_key_is_kept_hashed(rig: Rig, otp: Any) -> None:
    """The store contains neither the key nor the phone in clear text."""
    otp.issue(PHONE, idempotency_key=KEY)
    (name,) = rig.stored()
    kept = b"".join(part for item in rig.server.hgetall(name).items() for part in item)
    assert KEY.encode() not in kept
    assert b"13800138000" not in kept + name.encode()


@pytest.mark.parametrize("key", ["", 7, b"bytes"])
def test_a_key_is_a_text(rig: Rig, otp: Any, proved: Any, key: Any) -> None:
    """Another type is an error in the calling code."""
    token = proved(otp, OTHER_PHONE).token
    calls = (
        lambda: otp.issue(PHONE, idempotency_key=key),
        lambda: otp.verify(PHONE, "123456", idempotency_key=key),
        lambda: otp.redeem(token, idempotency_key=key),
    )
    for call in calls:
        with pytest.raises(ConfigurationError, match="idempotency_key"):
            call()


def test_a_right_form_sent_twice_gets_one_proof_twice(rig: Rig, otp: Any) -> None:
    """The two proofs are equal. When the proof has expired, there is no replay."""
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    proof = otp.verify(PHONE, code, idempotency_key=KEY)
    rig.advance(299.999)
    again = otp.verify(PHONE, code, idempotency_key=KEY)
    assert again == proof
    assert (again.token, again.verified_at) == (proof.token, proof.verified_at)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code)
    rig.advance(0.001)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code, idempotency_key=KEY)


def test_another_code_with_the_same_key_is_another_request(rig: Rig, otp: Any) -> None:
    """A request with another code never receives the proof of the key, neither before nor after the right one."""
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    first, second = other_codes(code, 2)
    for typed, left in ((first, 4), (second, 3), (first, 4), (second, 3)):
        with pytest.raises(WrongCodeError) as counted:
            otp.verify(PHONE, typed, idempotency_key=KEY)
        assert counted.value.attempts_left == left
    assert otp.status(PHONE).attempts_left == 3
    assert otp.verify(PHONE, code, idempotency_key=KEY)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, other_codes(code, 3)[2], idempotency_key=KEY)


def test_a_wrong_form_sent_twice_is_counted_once_for_the_address_too(rig: Rig) -> None:
    """The second form does not count as a second guess."""
    otp = rig.otp(policy=Policy(ip_failures="2/hour"))
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    for _ in range(3):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, wrong(code), ip=VISITOR, idempotency_key=KEY)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(code), ip=VISITOR)
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, code, ip=VISITOR)
    assert refused.value.scope == "ip"


def test_a_burning_form_sent_twice_is_told_twice_that_none_is_left(rig: Rig) -> None:
    """The answer of the last attempt is kept after its challenge has ended."""
    otp = rig.otp(policy=Policy(attempts=1))
    otp.issue(PHONE)
    for _ in range(2):
        with pytest.raises(WrongCodeError) as counted:
            otp.verify(PHONE, wrong(rig.outbox[-1].code), idempotency_key=KEY)
        assert counted.value.attempts_left == 0
        rig.advance(100)


def test_a_redemption_sent_twice_gets_the_proof_twice(rig: Rig, otp: Any, proved: Any) -> None:
    """This holds while the proof lives. With another key, or without one, the proof is already used."""
    proof = proved(otp)
    assert otp.redeem(proof.token, idempotency_key=KEY) == proof
    rig.advance(299)
    assert otp.redeem(proof.token, idempotency_key=KEY) == proof
    for key in ("another", None):
        with pytest.raises(UsedTokenError):
            otp.redeem(proof.token, idempotency_key=key)
    rig.advance(1)
    with pytest.raises(ExpiredTokenError):
        otp.redeem(proof.token, idempotency_key=KEY)
