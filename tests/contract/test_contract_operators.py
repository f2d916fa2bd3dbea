"""The operators' calls: status, delivery, revoke, erase."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Rig, whole, wrong

from otpkit import Erased, ExpiredCodeError, GatewayRejectedError, PhoneError, RateLimitError, WrongCodeError
from otpkit.effects import Flow
from otpkit.gateways import Delivery, Gateway, Message, Receipt

LOOSE = whole(sends="32/day")


def test_status_is_the_live_challenge_and_sends_nothing(rig: Rig, otp: Any) -> None:
    """It equals the answer of `issue`, with the current times. The call is not counted."""
    assert otp.status(PHONE) is None
    challenge = otp.issue(PHONE)
    assert otp.status("138 0013 8000") == challenge
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    rig.advance(10)
    status = otp.status(PHONE)
    assert (status.attempts_left, status.expires_in, status.resend_in, status.sends_left) == (4, 290, 50, 9)
    assert (status.expires_at, status.replayed) == (challenge.expires_at, False)
    assert len(rig.outbox) == 1


def test_status_is_none_for_another_purpose_or_bind_and_after_the_end(rig: Rig, otp: Any) -> None:
    """It is also None after the code was used."""
    otp.issue(PHONE, bind="session")
    assert otp.status(PHONE) is None
    assert otp.status(PHONE, "login", bind="session") is None
    assert otp.status(OTHER_PHONE, bind="session") is None
    assert otp.status(PHONE, bind="session")
    otp.verify(PHONE, rig.outbox[-1].code, bind="session")
    assert otp.status(PHONE, bind="session") is None


def test_delivery_is_what_the_gateway_says_of_the_latest_message(rig: Rig, otp: Any) -> None:
    """It is pending, delivered or failed.

    It is unknown if nothing was sent or the gateway does not know the message.
    """
    assert otp.delivery(PHONE) == Delivery(state="unknown", gateway="outbox")
    otp.issue(PHONE)
    for state in ("unknown", "pending", "failed", "delivered"):
        rig.outbox.delivery = state
        assert otp.delivery("138 0013 8000") == Delivery(state=state, gateway="outbox")
    rig.outbox.delivery = "delivered"
    assert otp.delivery(PHONE, "login").state == "unknown"
    rig.advance(60)
    rig.outbox.lose_next()
    otp.issue(PHONE)
    assert otp.delivery(PHONE).state == "unknown"


def test_delivery_can_be_asked_for_when_the_code_is_used(rig: Rig, otp: Any, proved: Any) -> None:
    """The message can still be queried after the challenge has ended."""
    proved(otp)
    assert otp.status(PHONE) is None
    assert otp.delivery(PHONE).state == "delivered"


def test_delivery_by_a_gateway_that_can_not_be_asked_is_unknown(rig: Rig) -> None:
    """A gateway function has no queries."""
    otp = rig.otp(gateway=lambda message: "message id")
    otp.issue(PHONE)
    assert otp.delivery(PHONE) == Delivery(state="unknown", gateway="function")


def test_a_gateway_is_asked_for_the_send_by_its_id_and_time(rig: Rig) -> None:
    """The time is the server's. An error of the gateway is raised."""
    asked: list[tuple[Any, ...]] = []

    class Tracing(Gateway):
        name = "tracing"
        can_trace = True

        def send(self, message: Message) -> Flow[Receipt]:
            asked.append((message.phone, message.send_id))
            return Receipt(self.name)
            yield

        def trace(self, phone: str, send_id: str, sent_at: Any, message_id: str = "") -> Flow[Delivery]:
            asked.append((phone, send_id, sent_at, message_id))
            raise GatewayRejectedError("no", gateway=self.name, category="account")
            yield

    otp = rig.otp(gateway=Tracing())
    otp.issue(PHONE)
    with pytest.raises(GatewayRejectedError) as refused:
        otp.delivery(PHONE)
    assert refused.value.gateway == "tracing"
    sent, traced = asked
    assert traced == (*sent, rig.at(), "")


def test_revoke_ends_the_live_challenge_alone(rig: Rig) -> None:
    """The other challenges live, the sends stay counted, and a second call has no effect."""
    otp = rig.otp(policy=whole(sends="3/hour"))
    otp.issue(PHONE)
    otp.issue(PHONE, "login")
    assert otp.revoke("138 0013 8000") is None
    otp.revoke(PHONE)
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[0].code)
    assert otp.status(PHONE, "login").sends_left == 1
    fresh = otp.issue(PHONE)
    assert (fresh.attempts_left, fresh.sends_left) == (5, 0)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)


def test_revoke_where_nothing_is_creates_nothing(rig: Rig, otp: Any) -> None:
    """The other operators' calls create no key either, but the audit's."""
    for call in (otp.revoke, otp.unblock, otp.status, otp.standing, otp.delivery):
        call(PHONE)
    assert rig.stored() == []


def test_a_revoked_code_is_not_sent_again(rig: Rig) -> None:
    """The next `issue` starts a fresh challenge."""
    otp = rig.otp(policy=LOOSE)
    first = otp.issue(PHONE)
    otp.revoke(PHONE)
    second = otp.issue(PHONE)
    assert second.id != first.id
    assert otp.verify(PHONE, rig.outbox[-1].code)


def test_erase_removes_all_that_is_kept_of_a_phone(rig: Rig) -> None:
    """Challenges, limits, failures, the block and the proofs are removed. Other phones keep theirs.

    One key ends the device tokens.
    """
    otp = rig.otp(policy=whole(max_consecutive_failures=1))
    otp.issue(OTHER_PHONE)
    others = rig.stored()
    otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    assert otp.erase("138 0013 8000") == Erased(sends=1, challenges=1, wrong_codes=1, consecutive_failures=1, records=3)
    assert otp.erase(PHONE) == Erased()
    assert [key for key in rig.stored() if not key.endswith(":d")] == others
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code)
    assert (otp.issue(PHONE).sends_left, otp.status(OTHER_PHONE).sends_left) == (9, 9)


def test_erase_leaves_what_is_of_no_phone(rig: Rig) -> None:
    """The count of an address stays."""
    otp = rig.otp(policy=whole(ip_sends="1/hour"))
    otp.issue(PHONE, ip=VISITOR)
    otp.erase(PHONE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, ip=VISITOR)
    assert refused.value.scope == "ip"


@pytest.mark.parametrize("call", ["status", "standing", "delivery", "revoke", "unblock", "forget_devices", "erase"])
def test_what_is_no_phone_is_refused(memory_rig: Rig, call: str) -> None:
    """`issue` and `verify` refuse it too."""
    with pytest.raises(PhoneError):
        getattr(memory_rig.otp(), call)("12345")


def test_all_keys_have_a_life(rig: Rig, proved: Any) -> None:
    """After any call, every key has an expiry."""
    otp = rig.otp(policy=whole(sends="32/day", total_sends="9/day", region_sends={"CN": "9/day"}))
    otp.redeem(proved(otp, ip=VISITOR).token)
    otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code), ip=VISITOR)
    rig.outbox.lose_next()
    otp.issue(PHONE, "login", ip=VISITOR)
    assert len(rig.stored()) == 6
    assert all(rig.server.pttl(key) > 0 for key in rig.stored())
