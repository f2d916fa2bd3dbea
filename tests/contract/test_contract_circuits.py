"""The operators' view of gateways: circuits, last errors, and a circuit that is opened or closed by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.rig import PHONE, Rig, whole

from otpkit import ConfigurationError, Event, GatewayRejectedError
from otpkit.gateways import Failover
from otpkit.testing import Outbox

OFTEN = whole(sends="32/day", ttl=600, max_age=600)


def refusal(category: str = "account", code: str = "isv.AMOUNT_NOT_ENOUGH", **evidence: Any) -> GatewayRejectedError:
    return GatewayRejectedError("no", gateway="outbox", gateway_code=code, category=category, **evidence)  # type: ignore[arg-type]


@pytest.fixture
def spare() -> Outbox:
    return Outbox()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def both(rig: Rig, spare: Outbox, events: list[Event]) -> Any:
    """Return an OTP that uses `rig.outbox` first, then `spare`; a gateway rests for a minute after two failures."""
    gateway = Failover([rig.outbox, spare], rest_after=2, rest=60)
    return rig.otp(gateway=gateway, policy=OFTEN, on_event=events.append)


def fail_twice(rig: Rig, otp: Any) -> None:
    for _ in range(2):
        rig.outbox.reject_next(refusal())
        otp.issue(PHONE)
        rig.advance(60)


def named(events: list[Event], *names: str) -> list[tuple[str, str, str]]:
    return [(each.name, each.gateway, each.outcome) for each in events if each.name in names]


def test_gateways_without_failures_are_closed(both: Any) -> None:
    """Each gateway has a row, in its order."""
    first, second = both.gateways()
    assert (first.name, second.name) == ("outbox", "outbox-2")
    assert (first.state, first.failures, first.open_until, first.last_error, first.remedy) == (
        "closed",
        0,
        None,
        "",
        "",
    )


def test_circuit_opens_and_closes_with_an_event_each(rig: Rig, both: Any, events: list[Event]) -> None:
    """It is half open when its rest has ended, and the next message that is accepted closes it."""
    fail_twice(rig, both)
    first, second = both.gateways()
    assert (first.state, first.failures, second.state) == ("half_open", 2, "closed")
    assert named(events, "circuit_opened", "circuit_closed") == [("circuit_opened", "outbox", "account")]
    both.issue(PHONE)
    assert both.gateways()[0].state == "closed"
    assert named(events, "circuit_opened", "circuit_closed")[1:] == [("circuit_closed", "outbox", "")]


def test_failure_that_opens_no_circuit_is_no_event(rig: Rig, both: Any, events: list[Event]) -> None:
    """One failure is counted, and one success forgets it."""
    rig.outbox.reject_next(refusal())
    both.issue(PHONE)
    assert both.gateways()[0].failures == 1
    rig.advance(60)
    both.issue(PHONE)
    assert both.gateways()[0].failures == 0
    assert named(events, "circuit_opened", "circuit_closed") == []


def test_open_circuit_shows_its_end(rig: Rig, both: Any) -> None:
    """`open_until` is the end of the rest by the server's clock."""
    for _ in range(2):
        rig.advance(60)
        rig.outbox.reject_next(refusal())
        challenge = both.issue(PHONE)
    first = both.gateways()[0]
    assert (first.state, first.by_hand) == ("open", False)
    assert abs(first.open_until - challenge.resend_at - timedelta(seconds=60)) <= timedelta(seconds=1)


def test_last_error_stays_after_a_success(rig: Rig, both: Any) -> None:
    """It has the provider's code, its time, and a remedy by its category."""
    rig.outbox.reject_next(refusal())
    both.issue(PHONE)
    rig.advance(60)
    both.issue(PHONE)
    first, second = both.gateways()
    assert (first.last_error, second.last_error) == ("isv.AMOUNT_NOT_ENOUGH", "")
    assert first.last_error_at is not None
    assert "top up" in first.remedy


@pytest.mark.parametrize("code", ["", "a code with blanks", "x" * 65, "13800138000", "line\nline", "é"])
def test_last_error_without_a_clean_code_is_its_category(rig: Rig, both: Any, code: str) -> None:
    """A gateway's code that may contain a number or a text is not kept."""
    rig.outbox.reject_next(refusal("quota", code))
    both.issue(PHONE)
    first = both.gateways()[0]
    assert (first.last_error, "allowance" in first.remedy) == ("quota", True)


def test_only_gateway_has_a_last_error(rig: Rig) -> None:
    """Without a `Failover` no circuit opens, but errors are kept; an uncertain send is one."""
    otp = rig.otp(policy=OFTEN)
    rig.outbox.reject_next(refusal())
    with pytest.raises(GatewayRejectedError):
        otp.issue(PHONE)
    assert [(each.state, each.last_error) for each in otp.gateways()] == [("closed", "isv.AMOUNT_NOT_ENOUGH")]
    rig.advance(60)
    rig.outbox.lose_next()
    otp.issue(PHONE)
    assert [each.last_error for each in otp.gateways()] == ["uncertain"]


@pytest.mark.parametrize("category", ["number", "rate_limit"])
def test_answer_about_a_phone_is_no_error_of_the_gateway(rig: Rig, both: Any, category: str) -> None:
    """A wrong number says nothing of the gateway."""
    rig.outbox.reject_next(refusal(category))
    with pytest.raises(Exception):  # noqa: B017, PT011 - Both kinds of errors are tested elsewhere.
        both.issue(PHONE)
    assert both.gateways()[0].last_error == ""


def test_circuit_opened_by_hand_is_skipped(rig: Rig, both: Any, spare: Outbox, events: list[Event]) -> None:
    """The next gateway sends until the time has passed; the audit has the operator and the reason."""
    both.open_circuit("outbox", seconds=600, actor="ann", reason="the provider's status page")
    first = both.gateways()[0]
    assert (first.state, first.by_hand, first.failures) == ("open", True, 0)
    assert both.issue(PHONE).gateway == "outbox-2"
    rig.advance(600)
    assert both.gateways()[0].state == "closed"
    assert both.issue(PHONE).gateway == "outbox"
    assert named(events, "circuit_opened") == [("circuit_opened", "outbox", "by_hand")]
    (entry,) = both.audit().entries
    assert (entry.action, entry.actor, entry.reason, entry.subject, entry.outcome) == (
        "circuit_opened",
        "ann",
        "the provider's status page",
        "outbox",
        "done",
    )


def test_circuit_closed_by_hand_is_used_at_once(rig: Rig, both: Any, events: list[Event]) -> None:
    """It forgets failures and the opening by hand, and keeps the last error."""
    for _ in range(2):
        rig.advance(60)
        rig.outbox.reject_next(refusal())
        both.issue(PHONE)
    both.open_circuit("outbox")
    both.close_circuit("outbox", actor="ann", reason="topped up")
    first = both.gateways()[0]
    assert (first.state, first.by_hand, first.failures, first.last_error) == (
        "closed",
        False,
        0,
        "isv.AMOUNT_NOT_ENOUGH",
    )
    rig.advance(60)
    assert both.issue(PHONE).gateway == "outbox"
    assert named(events, "circuit_closed") == [("circuit_closed", "outbox", "by_hand")]


def test_gateway_opened_by_hand_serves_where_no_other_does(rig: Rig, both: Any, spare: Outbox) -> None:
    """It is tried after all others, stays open, and a success of it does not close what an operator opened."""
    both.open_circuit("outbox")
    spare.reject_next(refusal())
    assert both.issue(PHONE).gateway == "outbox"
    assert both.gateways()[0].by_hand


@pytest.mark.parametrize(
    ("name", "seconds"), [("outbux", 60), ("", 60), (None, 60), ("outbox", 59), ("outbox", 86_401), ("outbox", 60.0)]
)
def test_wrong_argument_changes_nothing(both: Any, name: Any, seconds: Any) -> None:
    """The error has a remedy, and nothing is written."""
    with pytest.raises(ConfigurationError) as raised:
        both.open_circuit(name, seconds=seconds)
    assert raised.value.remedy
    assert not any(each.by_hand for each in both.gateways())
    assert both.audit().entries == ()
