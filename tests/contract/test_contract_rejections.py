"""A rejection undoes only its own send, once, and creates nothing that was removed in the meantime."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Rig, in_thread, whole, wrong

from otpkit import ExpiredCodeError, GatewayRejectedError, RateLimitError, WrongCodeError
from otpkit.gateways import Message

REFUNDED = ["account", "configuration", "request", "connection"]
Reject = Callable[..., GatewayRejectedError]


@pytest.mark.parametrize("category", REFUNDED)
def test_a_rejected_first_send_leaves_nothing_behind(rig: Rig, otp: Any, rejected: Reject, category: str) -> None:
    """The caller gets the gateway's evidence, and can try again at once with all limits refunded."""
    error = rejected(category, gateway_code="isv.OUT_OF_SERVICE")
    with pytest.raises(GatewayRejectedError) as raised:
        otp.issue(PHONE)
    assert raised.value is error
    assert (error.gateway, error.gateway_code, error.category) == ("outbox", "isv.OUT_OF_SERVICE", category)
    assert (error.code, error.status) == ("gateway_rejected", 502)
    assert otp.status(PHONE) is None
    assert otp.delivery(PHONE).state == "unknown"
    assert otp.issue(PHONE).sends_left == 9


def test_a_bad_number_keeps_its_quota_spent(rig: Rig, otp: Any, rejected: Reject) -> None:
    """Repeated calls with bad numbers stay counted. The challenge is withdrawn."""
    rejected("number")
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE)
    assert otp.status(PHONE) is None
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after, refused.value.challenge) == ("phone", 60, None)
    rig.advance(60)
    assert otp.issue(PHONE).sends_left == 8


@pytest.mark.parametrize(("said", "told"), [(None, 60), (90, 90), (5, 60)])
def test_the_gateways_own_limit_is_a_rate_limit(
    rig: Rig, otp: Any, rejected: Reject, said: int | None, told: int
) -> None:
    """The scope is `gateway`.

    The send stays counted, the challenge is withdrawn, and waiting for `retry_after` is enough.
    """
    rejected("rate_limit", retry_after=said)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    error = refused.value
    assert (error.scope, error.retry_after, error.challenge) == ("gateway", told, None)
    assert otp.status(PHONE) is None
    rig.advance(error.retry_after)
    assert otp.issue(PHONE).sends_left == 8


def test_the_gateways_limit_knows_how_long_the_phones_own_last(rig: Rig, rejected: Reject) -> None:
    """If the counted send was the hour's last one, the error has the hour's wait."""
    otp = rig.otp(policy=whole(sends="2/hour"))
    otp.issue(PHONE)
    rig.advance(600)
    rejected("rate_limit", retry_after=60)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after) == ("gateway", 3000)
    assert refused.value.challenge is None
    rig.advance(3000)
    assert otp.issue(PHONE)


def test_the_gateways_limit_shows_the_challenge_that_lives_on(rig: Rig, otp: Any, rejected: Reject) -> None:
    """After a limited resend, the first message's code still verifies."""
    first = otp.issue(PHONE)
    rig.advance(60)
    rejected("rate_limit")
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.challenge.id) == ("gateway", first.id)
    assert refused.value.challenge.delivery == "accepted"
    assert refused.value.challenge.expires_in == 240
    assert otp.verify(PHONE, rig.outbox[-1].code)


@pytest.mark.parametrize("category", [*REFUNDED, "number", "rate_limit"])
def test_a_rejected_resend_leaves_the_first_code_with_its_former_end(
    rig: Rig, otp: Any, rejected: Reject, category: str
) -> None:
    """The undo also removes the resend's longer life. The wrong codes stay counted."""
    first = otp.issue(PHONE)
    code = rig.outbox[0].code
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(code))
    rig.advance(100)
    rejected(category)
    with pytest.raises((GatewayRejectedError, RateLimitError)):
        otp.issue(PHONE)
    live = otp.status(PHONE)
    assert (live.id, live.expires_in, live.attempts_left, live.delivery) == (first.id, 200, 4, "accepted")
    assert live.sends_left == (9 if category in REFUNDED else 8)
    rig.advance(199.999)
    assert otp.status(PHONE).id == first.id
    assert otp.verify(PHONE, code)


def test_after_the_former_end_the_first_code_is_dead(rig: Rig, otp: Any, rejected: Reject) -> None:
    """The end is exact to the millisecond."""
    otp.issue(PHONE)
    rig.advance(100)
    rejected("account")
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE)
    rig.advance(200)
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[0].code)


def test_a_middle_send_can_be_undone(rig: Rig, otp: Any, rejected: Reject) -> None:
    """The three sends are accepted, rejected and accepted. The life is the third's, and two sends are counted."""
    otp.issue(PHONE)
    rig.advance(100)
    rejected("account")
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE)
    rig.advance(100)
    third = otp.issue(PHONE)
    assert (third.expires_in, third.sends_left) == (300, 8)


def test_a_rejected_resend_after_an_uncertain_send_withdraws_nothing(rig: Rig, otp: Any, rejected: Reject) -> None:
    """The first message may have arrived."""
    rig.outbox.lose_next()
    first = otp.issue(PHONE)
    rig.advance(60)
    rejected("account")
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE)
    live = otp.status(PHONE)
    assert (live.id, live.delivery, live.expires_in) == (first.id, "uncertain", 240)


def test_a_challenge_with_another_send_under_way_stays(rig: Rig) -> None:
    """The first send is still pending when the second is rejected. Later the first is accepted."""
    arrived, release = threading.Event(), threading.Event()
    codes: list[str] = []

    def slow(message: Message) -> None:
        codes.append(message.code)
        arrived.set()
        assert release.wait(30)

    def refuse(message: Message) -> None:
        raise GatewayRejectedError("asked", gateway="refuse", category="account")

    policy = whole(sends="5/hour")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(rig.otp(gateway=slow, policy=policy).issue, PHONE)
        assert arrived.wait(30)
        with pytest.raises(GatewayRejectedError):
            rig.otp(gateway=refuse, policy=policy).issue(PHONE)
        otp = rig.otp(policy=policy)
        pending = otp.status(PHONE)
        assert (pending.delivery, pending.sends_left) == ("pending", 4)
        release.set()
        assert first.result(30).id == pending.id
    assert otp.status(PHONE).delivery == "accepted"
    assert otp.verify(PHONE, codes[0])


@pytest.mark.parametrize("category", [None, "account", "number", "rate_limit"])
@pytest.mark.parametrize("meanwhile", ["erase", "revoke"])
def test_nothing_removed_in_the_meantime_is_created_again(rig: Rig, category: Any, meanwhile: str) -> None:
    """Neither a settlement nor an undo restores an erased phone or a revoked challenge."""
    other = rig.otp()

    def gateway(message: Message) -> None:
        in_thread(getattr(other, meanwhile), message.phone)
        if category is not None:
            raise GatewayRejectedError("asked", gateway="function", category=category)

    otp = rig.otp(gateway=gateway)
    if category is None:
        assert otp.issue(PHONE).delivery == "accepted"
    else:
        with pytest.raises((GatewayRejectedError, RateLimitError)):
            otp.issue(PHONE)
    assert other.status(PHONE) is None
    if meanwhile == "erase":
        assert [key[-2:] for key in rig.stored()] == [":d"]  # that its devices are forgotten


def test_an_undo_finds_its_own_send_alone(rig: Rig) -> None:
    """During the gateway's call the phone was erased and issued to again.

    The undo does not change the new challenge.
    """
    other = rig.otp()

    def gateway(message: Message) -> None:
        in_thread(other.erase, PHONE)
        in_thread(other.issue, PHONE)
        raise GatewayRejectedError("asked", gateway="function", category="account")

    with pytest.raises(GatewayRejectedError):
        rig.otp(gateway=gateway).issue(PHONE)
    assert other.status(PHONE).sends_left == 9
    assert other.verify(PHONE, rig.outbox[-1].code)


def test_a_rejection_that_can_not_be_undone_is_told_all_the_same(rig: Rig) -> None:
    """Without the store the send stays counted and becomes uncertain, which is the safe outcome."""
    client = rig.client(wrap=rig.breakable)

    def gateway(message: Message) -> None:
        client.broken = True
        raise GatewayRejectedError("asked", gateway="function", category=next(categories))

    categories: Any = iter(["account", "rate_limit"])
    otp = rig.otp(redis=client, gateway=gateway)
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE, ip=VISITOR)
    client.broken = False
    with pytest.raises(RateLimitError) as refused:
        otp.issue(OTHER_PHONE)
    assert (refused.value.scope, refused.value.retry_after, refused.value.challenge) == ("gateway", 60, None)
    client.broken = False
    rig.advance(30)
    for phone in (PHONE, OTHER_PHONE):
        assert (otp.status(phone).delivery, otp.status(phone).sends_left) == ("uncertain", 9)
