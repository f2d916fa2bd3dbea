"""Events describe each call to the operator, and contain nothing that identifies a person."""

from __future__ import annotations

import logging
import pickle
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Rig, whole, wrong

from otpkit import (
    BlockedError,
    Event,
    ExpiredCodeError,
    FixedCode,
    GatewayRejectedError,
    OTPError,
    Policy,
    RateLimitError,
    Template,
    UsedTokenError,
    WrongCodeError,
)
from otpkit.gateways import Failover, Route
from otpkit.testing import Outbox


def test_each_call_is_told_once_as_it_went(rig: Rig) -> None:
    """Each call causes one event, with its name, operation, outcome and detail. An operator's call causes one more."""
    otp = rig.heard(policy=Policy(max_consecutive_failures=2))
    otp.issue(PHONE)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "123456")
    otp.redeem(proof.token)
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token)
    rig.advance(60)
    rig.outbox.lose_next()
    otp.issue(PHONE, "login")
    otp.revoke(PHONE, "login")
    otp.unblock(PHONE, actor="ann", reason="the user called")
    otp.erase(PHONE)
    told = [(event.name, event.operation, event.outcome, event.detail) for event in rig.events]
    assert told == [
        ("issued", "issue", "accepted", "outbox"),
        ("refused", "issue", "rate_limit", "phone"),
        ("refused", "verify", "wrong_code", ""),
        ("verified", "verify", "", ""),
        ("refused", "verify", "expired_code", ""),
        ("redeemed", "redeem", "", ""),
        ("refused", "redeem", "used_token", ""),
        ("issued", "issue", "uncertain", "outbox"),
        ("revoked", "revoke", "", ""),
        ("unblocked", "unblock", "", ""),
        ("operator", "unblock", "unblocked", "ann"),
        ("erased", "erase", "", ""),
        ("operator", "erase", "erased", ""),
    ]
    assert [event.purpose for event in rig.events[:9]] == ["signup"] * 7 + ["login"] * 2


def test_a_replay_is_told_as_such(rig: Rig) -> None:
    """The call that an idempotency key found was sent, counted and consumed only once."""
    otp = rig.heard()
    for _ in range(2):
        otp.issue(PHONE, idempotency_key="form-1")
    code = rig.outbox[-1].code
    for _ in range(2):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, wrong(code), idempotency_key="form-2")
    proofs = [otp.verify(PHONE, code, idempotency_key="form-3") for _ in range(2)]
    for _ in range(2):
        otp.redeem(proofs[0].token, idempotency_key="form-4")
    assert proofs[0] == proofs[1]
    assert not proofs[1].replayed
    assert [(event.name, event.operation, event.outcome) for event in rig.events] == [
        ("issued", "issue", "accepted"),
        ("replayed", "issue", "accepted"),
        ("refused", "verify", "wrong_code"),
        ("replayed", "verify", "wrong_code"),
        ("verified", "verify", ""),
        ("replayed", "verify", ""),
        ("redeemed", "redeem", ""),
        ("replayed", "redeem", ""),
    ]


def test_an_event_names_gateway_region_and_scope(rig: Rig) -> None:
    """Each has a field of its own, for the labels of metrics."""
    otp = rig.heard()
    otp.issue(PHONE)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    otp.redeem(proof.token)
    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", gateway_code="15", category="account"))
    with pytest.raises(GatewayRejectedError):
        otp.issue("+8613900139000")
    assert [(event.gateway, event.region, event.scope) for event in rig.events] == [
        ("outbox", "CN", ""),
        ("", "CN", "phone"),
        ("outbox", "CN", ""),
        ("", "CN", ""),
        ("outbox", "CN", ""),
    ]


def test_a_rejection_is_told_with_the_gateways_code(rig: Rig) -> None:
    """An operator can look the code up."""
    otp = rig.heard()
    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", gateway_code="15", category="account"))
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE)
    (event,) = rig.events
    assert (event.name, event.outcome, event.detail) == ("refused", "gateway_rejected", "15")


def test_a_block_is_told(rig: Rig) -> None:
    """Each call that the block refuses has an event too."""
    otp = rig.heard(policy=Policy(max_consecutive_failures=1))
    otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    for call in (lambda: otp.issue(PHONE), lambda: otp.verify(PHONE, "123456")):
        with pytest.raises(BlockedError):
            call()
    assert [event.outcome for event in rig.events][-2:] == ["blocked", "blocked"]


def test_the_same_phone_is_the_same_pseudonym_and_no_phone_code_or_bind(rig: Rig) -> None:
    """Neither the text nor the repr of an event identifies the person."""
    otp = rig.heard()
    for phone, bind in ((PHONE, "a secret session"), ("+8613900139000", "")):
        otp.issue(phone, bind=bind, ip=VISITOR, idempotency_key="a form's key")
        code = rig.outbox[-1].code
        with pytest.raises(WrongCodeError):
            otp.verify(phone, wrong(code), bind=bind)
        otp.redeem(otp.verify(phone, code, bind=bind).token, bind=bind)
        shown = repr(rig.events)
        for secret in (phone, phone[3:], phone[-4:] + "'", code, bind or "a secret session", VISITOR, "a form's key"):
            assert secret not in shown
    one, two = ({event.phone_id for event in rig.events[i : i + 4]} for i in (0, 4))
    assert len(one) == len(two) == 1
    assert one != two


class Listening(Exception):
    """Contains values that must not be logged."""


@pytest.mark.parametrize("error", [Listening("13800138000"), OTPError("a listener's own"), StopIteration()])
def test_a_listener_that_raises_changes_nothing(rig: Rig, caplog: Any, error: Exception) -> None:
    """The log names the class of its error, once, and nothing else of it. Other listeners get every event."""

    def listener(event: Any) -> None:
        raise error

    otp = rig.otp(on_event=listener, listeners=[rig.events.append])
    with caplog.at_level(logging.ERROR, "otpkit"):
        otp.issue(PHONE)
        with pytest.raises(RateLimitError):
            otp.issue(PHONE)
        proof = otp.verify(PHONE, rig.outbox[-1].code)
        assert otp.redeem(proof.token) == proof
        otp.erase(PHONE)
    assert len(caplog.records) == 1
    assert [event.name for event in rig.events] == [
        *("sent", "issued", "refused", "verified", "redeemed", "erased", "operator"),
    ]
    assert type(error).__name__ in caplog.text
    assert "13800138000" not in caplog.text


def test_each_listener_is_logged_by_itself(rig: Rig, caplog: Any) -> None:
    """A second listener, and a second class of error, are news for the operator."""
    errors: list[Exception] = [KeyError(), KeyError(), OSError()]

    def first(event: Any) -> None:
        raise errors.pop(0)

    def second(event: Any) -> None:
        raise KeyError

    otp = rig.otp(listeners=[first, second])
    with caplog.at_level(logging.ERROR, "otpkit"):
        for _ in range(3):
            otp.revoke(PHONE)
    shown = [(record.args[0].rpartition(".")[2], record.args[1]) for record in caplog.records]
    assert shown == [("first", "KeyError"), ("second", "KeyError"), ("first", "OSError")]


def test_a_listener_that_is_passed_twice_gets_each_event_once(rig: Rig) -> None:
    """`on_event` and `listeners` may name the same function."""
    listen = rig.events.append
    rig.otp(on_event=listen, listeners=[listen, listen]).revoke(PHONE)
    assert len(rig.events) == 1


def test_without_a_listener_all_goes_as_ever(rig: Rig, otp: Any, proved: Any) -> None:
    """No event is sent, and every call works as usual."""
    assert otp.redeem(proved(otp).token)
    assert rig.events == []


def test_a_resend_is_told_as_such(rig: Rig) -> None:
    """The event is named `resent`, because the message has the first message's code. A fresh code is `issued`."""
    otp = rig.heard(policy=Policy(sends="9/day"))
    challenges = [otp.issue(PHONE), otp.issue(PHONE)]
    otp.revoke(PHONE)
    challenges.append(otp.issue(PHONE))
    told = [event for event in rig.events if event.operation == "issue"]
    assert [event.name for event in told] == ["issued", "resent", "issued"]
    assert [event.challenge_id for event in told] == [challenge.id for challenge in challenges]
    assert rig.outbox[0].code == rig.outbox[1].code != rig.outbox[2].code


def test_an_event_names_operation_time_and_channel(rig: Rig) -> None:
    """A field that the call does not know is empty."""
    otp = rig.heard()
    challenge = otp.issue(PHONE)
    rig.advance(2)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    issued, refused, verified = rig.events
    assert (issued.operation_id, issued.challenge_id) == (rig.outbox[-1].send_id, challenge.id)
    assert (issued.channel, issued.at, issued.duration_ms) == ("sms", rig.at(-2), 0)
    assert (refused.challenge_id, refused.channel, refused.at) == (challenge.id, "", rig.at())
    assert (verified.operation_id, verified.at, verified.duration_ms) == (proof.id, proof.verified_at, 0)
    assert (issued.segments, issued.price, issued.reasons) == (None, "", ())


def test_a_calls_duration_is_told(rig: Rig) -> None:
    """The duration is in milliseconds. Calls that raise have one too."""
    otp = rig.heard(gateway=lambda message: rig.advance(1.5))
    otp.issue(PHONE)
    (issued,) = rig.events
    assert issued.duration_ms == 1500


LONG = Template("SMS_1", "otpkit", body="验证码 ${code}。" + "长" * 70)
UNKNOWN = Template("SMS_1", "otpkit")


def test_each_message_is_told_with_its_cost(rig: Rig) -> None:
    """The event has the gateway's part of the time, and the price of all segments."""

    def slow(message: Any) -> None:
        rig.advance(2)

    otp = rig.heard(gateway=slow, template=LONG, prices={"CN": "0.045 CNY"})
    otp.issue(PHONE)
    (sent,) = rig.sends
    (issued,) = rig.events
    assert (sent.outcome, sent.gateway, sent.channel) == ("accepted", issued.gateway, "sms")
    assert (sent.segments, sent.price, sent.duration_ms) == (2, "0.09 CNY", 2000)
    assert (sent.operation_id, sent.phone_id, sent.region) == (issued.operation_id, issued.phone_id, "CN")
    assert (issued.segments, issued.price) == (None, "")


@pytest.mark.parametrize(
    ("template", "prices", "cost"),
    [
        (LONG, None, (2, "")),
        (LONG, {"US": "1 CNY"}, (2, "")),
        (UNKNOWN, None, (None, "")),
        (UNKNOWN, {"*": "0.4 CNY"}, (None, "0.4 CNY")),
    ],
)
def test_a_cost_that_is_not_known_is_left_out(rig: Rig, template: Any, prices: Any, cost: Any) -> None:
    """Without a price there is none. A text that is not known counts as one segment."""
    otp = rig.heard(template=template, prices=prices, policy=whole(regions=frozenset({"CN", "US"})))
    otp.issue(PHONE)
    assert [(event.segments, event.price) for event in rig.sends] == [cost]


def test_params_of_a_message_count_in_its_segments(rig: Rig) -> None:
    """A cost that was computed for other params is not used."""
    template = Template("SMS_1", "otpkit", {"code": "{code}", "note": "-"}, body="${code}，${note}")
    otp = rig.heard(template=template, prices={"*": "1 CNY"})
    for phone, note in ((PHONE, "-"), ("+8613900139000", "长" * 64)):
        otp.issue(phone, params={"note": note})
    assert [(event.segments, event.price) for event in rig.sends] == [(1, "1 CNY"), (2, "2 CNY")]


def test_each_outcome_of_a_message_is_told(rig: Rig) -> None:
    """A rejected message costs nothing. An uncertain one may have been sent."""
    otp = rig.heard(prices={"*": "1 CNY"})
    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", gateway_code="15", category="account"))
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE)
    rig.outbox.lose_next()
    otp.issue(PHONE)

    def broken(message: Any) -> None:
        raise ZeroDivisionError(message.code)

    rig.heard(gateway=broken, prices={"*": "1 CNY"}).issue("+8613900139000")
    assert [(event.outcome, event.detail, event.price) for event in rig.sends] == [
        ("rejected", "account 15", ""),
        ("uncertain", "", "1 CNY"),
        ("uncertain", "ZeroDivisionError", "1 CNY"),
    ]


def test_a_failover_tells_each_message(rig: Rig) -> None:
    """The call's own event names the gateway that served."""

    def first(message: Any) -> None:
        raise GatewayRejectedError("no", gateway="first", category="account")

    otp = rig.heard(gateway=Failover([first, rig.outbox]))
    otp.issue(PHONE)
    assert [(event.outcome, event.gateway) for event in rig.sends] == [("rejected", "function"), ("accepted", "outbox")]


def test_a_verification_names_the_gateway_of_the_latest_message(rig: Rig) -> None:
    """It is the gateway under which the figures count the verification."""
    first, second = Outbox(), Outbox()
    routes = [Route(first, name="first"), Route(second, name="second")]
    otp = rig.heard(gateway=Failover(routes))
    otp.issue(PHONE)
    first.reject_next()
    rig.advance(61)
    otp.issue(PHONE)
    otp.verify(PHONE, second[-1].code, idempotency_key="a form")
    otp.verify(PHONE, second[-1].code, idempotency_key="a form")
    otp.issue(OTHER_PHONE)
    otp.verify(OTHER_PHONE, first[-1].code)
    found = [(event.name, event.gateway) for event in rig.events if event.operation == "verify"]
    assert found == [("verified", "second"), ("replayed", "second"), ("verified", "first")]
    assert {name: each.verified for name, each in otp.stats().gateways.items()} == {"first": 1, "second": 1}


def test_a_verification_by_a_fixed_code_names_no_gateway(rig: Rig) -> None:
    fixed = FixedCode(PHONE, "123456", datetime.fromtimestamp(rig.clock() + 3600, UTC), {"signup"})
    otp = rig.heard(fixed_codes=[fixed])
    otp.issue(PHONE)
    otp.verify(PHONE, "123456")
    assert rig.events[-1].gateway == rig.events[0].gateway == "fixed"


def test_nothing_sent_is_told_as_nothing(rig: Rig) -> None:
    """A fixed code, an idempotent replay and a refusal put no message on the wire."""
    fixed = FixedCode("+8613900139000", "123456", datetime.fromtimestamp(rig.clock() + 3600, UTC), {"signup"})
    otp = rig.heard(fixed_codes=[fixed])
    otp.issue(fixed.phone)
    assert not rig.sends
    for _ in range(2):
        otp.issue(PHONE, idempotency_key="form")
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)
    assert len(rig.sends) == 1


def test_an_event_of_a_call_is_a_plain_event(rig: Rig) -> None:
    """It equals one that is built by its constructor, and survives a pickle."""
    otp = rig.heard()
    otp.issue(PHONE)
    for event in (*rig.events, *rig.sends):
        copy = Event(**{field.name: getattr(event, field.name) for field in fields(Event)})
        assert type(event) is Event
        assert event == copy == pickle.loads(pickle.dumps(event))
        assert repr(event) == repr(copy)
