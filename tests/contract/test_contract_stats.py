"""`stats`: what happened, by region, by gateway and by hour, counted by the scripts of the calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.rig import DAY, HOUR, OTHER_PHONE, PHONE, VISITOR, Rig, other_codes, outcome, whole, wrong

from otpkit import Budget, ConfigurationError, Figures, FixedCode, GatewayRejectedError, Guard, Stats
from otpkit.gateways import Delivery, Failover, Gateway, Message, Push, Receipt, Receipts, Route
from otpkit.testing import Outbox

CN = {"CN": "0.045 CNY", "outbox:CN": "0.05 CNY"}


class Pushed(Outbox):
    """A gateway whose pushes are receipts: a state and a send id, with a blank between them."""

    def receipts(self, push: Push) -> Receipts:
        state, send_id, phone = push.body.decode().split(" ")
        return Receipts((Delivery(state=state, phone=phone, send_id=send_id),))


def receive(otp: Any, state: str, message: Message, gateway: str = "") -> None:
    otp.receive(
        Push("https://site.example/", {}, f"{state} {message.send_id} {message.phone}".encode()), gateway=gateway
    )


def total(otp: Any, hours: int = 24) -> Figures:
    found: Stats = otp.stats(hours)
    return found.total


def test_nothing_has_happened_yet(otp: Any, rig: Rig) -> None:
    found = otp.stats()
    assert found.total == Figures()
    assert found.total.conversion is None
    assert found.total.cost_per_verified is None
    assert (found.regions, found.gateways) == ({}, {})
    assert len(found.spans) == 24
    assert found.until == rig.at()
    assert found.since == found.spans[0][0] == datetime(2025, 12, 31, 1, tzinfo=UTC)


def test_messages_and_codes_are_counted(otp: Any, rig: Rig) -> None:
    otp.issue(PHONE)
    outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code))
    otp.verify(PHONE, rig.outbox[-1].code)
    otp.issue(OTHER_PHONE)
    found = otp.stats()
    assert found.total == Figures(sent=2, verified=1, wrong_codes=1)
    assert found.regions == {"CN": found.total}
    assert found.gateways == {"outbox": found.total}
    assert found.total.conversion == 0.5
    assert found.spans[-1] == (rig.at(), found.total)
    assert all(figures == Figures() for _, figures in found.spans[:-1])


def test_an_event_counts_in_the_hour_in_which_it_happens(otp: Any, rig: Rig) -> None:
    """A code that is sent in one hour and verified in the next is in both."""
    rig.advance(HOUR - 60)
    otp.issue(PHONE)
    rig.advance(120)
    otp.verify(PHONE, rig.outbox[-1].code)
    rig.advance(HOUR)
    spans = otp.stats(3).spans
    assert [(each.sent, each.verified) for _, each in spans] == [(1, 0), (0, 1), (0, 0)]
    assert [at for at, _ in spans] == [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(3)]
    assert total(otp, 2) == Figures(verified=1)


def test_a_fixed_code_counts_nowhere(rig: Rig) -> None:
    fixed = FixedCode(PHONE, "123456", datetime.fromtimestamp(rig.clock.now, UTC) + timedelta(days=9), {"signup"})
    otp = rig.otp(fixed_codes=[fixed])
    otp.issue(PHONE)
    outcome(otp.verify, PHONE, "000000")
    otp.verify(PHONE, "123456")
    assert total(otp) == Figures()


def test_a_repeated_call_counts_once(otp: Any, rig: Rig) -> None:
    for _ in range(3):
        otp.issue(PHONE, idempotency_key="a form")
    bad = wrong(rig.outbox[-1].code)
    for _ in range(3):
        outcome(otp.verify, PHONE, bad, idempotency_key="another form")
    for _ in range(3):
        otp.verify(PHONE, rig.outbox[-1].code, idempotency_key="another form")
    assert total(otp) == Figures(sent=1, wrong_codes=1, verified=1)


def test_outcomes_of_a_gateway_are_counted(rig: Rig) -> None:
    """An uncertain message costs money. One that is certainly not sent does not."""
    otp = rig.otp(prices=CN)
    rig.outbox.lose_next()
    otp.issue(PHONE)
    rig.outbox.reject_next()
    outcome(otp.issue, OTHER_PHONE)
    otp.issue(OTHER_PHONE)
    found = otp.stats()
    assert found.total == Figures(sent=2, uncertain=1, rejected=1, cost=Decimal("0.1"))
    assert found.currency == "CNY"


def test_a_gateway_that_limits_is_counted(rig: Rig, otp: Any) -> None:
    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", category="rate_limit"))
    outcome(otp.issue, PHONE)
    assert total(otp) == Figures(rejected=1, limited={"gateway": 1})


def test_cost_is_that_of_segments(rig: Rig) -> None:
    from otpkit import Template

    long = Template("SMS_1", "otpkit", body="码" * 80 + "${code}")
    otp = rig.otp(template=long, prices={"*": "0.3 CNY"})
    otp.issue(PHONE)
    otp.verify(PHONE, rig.outbox[-1].code)
    found = total(otp)
    assert found.cost == Decimal("0.6")
    assert found.cost_per_verified == Decimal("0.6")


def test_each_gateway_of_a_failover_counts_its_own(rig: Rig) -> None:
    """The one that served counts the message and its verification; the one before it counts that it rejected."""
    first, second = Outbox(), Outbox()
    otp = rig.otp(gateway=Failover([Route(first, name="first"), Route(second, name="second")]), prices={"*": "1 CNY"})
    first.reject_next()
    otp.issue(PHONE)
    otp.verify(PHONE, second[-1].code)
    otp.issue(OTHER_PHONE)
    outcome(otp.verify, OTHER_PHONE, wrong(first[-1].code))
    found = otp.stats()
    assert found.gateways == {
        "first": Figures(sent=1, rejected=1, wrong_codes=1, cost=Decimal(1)),
        "second": Figures(sent=1, verified=1, cost=Decimal(1)),
    }
    assert found.total == Figures(sent=2, rejected=1, wrong_codes=1, verified=1, cost=Decimal(2))


def test_each_of_two_messages_of_a_send_counts(rig: Rig) -> None:
    """With `on_uncertain="next"`, two gateways may have sent the message. The one that accepted it served."""
    first, second = Outbox(), Outbox()
    routes = [Route(first, name="first"), Route(second, name="second")]
    otp = rig.otp(gateway=Failover(routes, on_uncertain="next"), prices={"*": "1 CNY"})
    first.lose_next()
    otp.issue(PHONE)
    found = otp.stats()
    assert found.gateways == {
        "first": Figures(sent=1, uncertain=1, cost=Decimal(1)),
        "second": Figures(sent=1, cost=Decimal(1)),
    }


def test_a_message_that_all_gateways_reject_is_counted_for_each(rig: Rig) -> None:
    first, second = Outbox(), Outbox()
    otp = rig.otp(gateway=Failover([Route(first, name="first"), Route(second, name="second")]))
    first.reject_next()
    second.reject_next()
    outcome(otp.issue, PHONE)
    assert {name: each.rejected for name, each in otp.stats().gateways.items()} == {"first": 1, "second": 1}


def test_a_gateway_with_a_wrong_configuration_counts_an_uncertain_message(rig: Rig) -> None:
    def gateway(message: Message) -> None:
        raise ConfigurationError("wrong", "set it")

    otp = rig.otp(gateway=gateway)
    outcome(otp.issue, PHONE)
    assert total(otp) == Figures(sent=1, uncertain=1)


def test_receipts_and_their_time_are_counted(rig: Rig) -> None:
    """The time is the middle of its bucket: at most an eighth away."""
    outbox = Pushed()
    otp = rig.otp(gateway=outbox)
    for seconds in (1, 2, 3, 4, 5, 6, 7, 8, 9, 60):
        phone = f"+86138{seconds:08d}"
        otp.issue(phone)
        rig.advance(seconds)
        receive(otp, "delivered", outbox[-1])
        receive(otp, "delivered", outbox[-1])
    otp.issue(PHONE)
    receive(otp, "failed", outbox[-1])
    found = total(otp)
    assert (found.sent, found.delivered, found.failed) == (11, 10, 1)
    assert found.receipt_p50 == pytest.approx(5, rel=0.125)
    assert found.receipt_p95 == pytest.approx(60, rel=0.125)
    assert otp.stats().gateways["outbox"] == found


def test_a_receipt_before_the_gateways_answer_loses_no_message(rig: Rig) -> None:
    """The receipt changes the state of the send first. The message and its receipt both count, once."""

    class Fast(Pushed):
        def send(self, message: Message) -> Any:
            receipt = yield from super().send(message)
            receive(other, "delivered", message)
            return receipt

    fast = Fast()
    other = rig.otp(gateway=fast)
    otp = rig.otp(gateway=fast, prices=CN)
    if rig.is_async:
        pytest.skip("its loop can't wait for another call of its own")
    otp.issue(PHONE)
    otp.issue(OTHER_PHONE, idempotency_key="a form")
    assert otp.issue(OTHER_PHONE, idempotency_key="a form").replayed
    assert total(otp) == Figures(sent=2, delivered=2, cost=Decimal("0.1"), receipt_p50=0.128, receipt_p95=0.128)
    assert {len(value) for key in rig.stored(":p") for value in rig.server.hgetall(key).values()} <= {25, 33, 45}


def test_limits_are_counted_by_scope(rig: Rig) -> None:
    policy = whole(sends="2/day", failures="3/day", attempts=5, ip_sends="4/hour", region_sends={"CN": "9/day"})
    otp = rig.otp(policy=policy)
    for _ in range(3):
        outcome(otp.issue, PHONE, ip=VISITOR)
    for code in other_codes(rig.outbox[-1].code, 5):
        outcome(otp.verify, PHONE, code)
    for number in range(4):
        outcome(otp.issue, f"+8613{number:09d}", ip=VISITOR)
    assert total(otp) == Figures(sent=4, wrong_codes=3, limited={"phone": 1, "failures": 2, "ip": 2})


def test_a_blocked_phone_and_a_budget_count_among_the_limits(rig: Rig) -> None:
    policy = whole(max_consecutive_failures=2, failures="9/day")
    otp = rig.otp(policy=policy, budgets=[Budget("0.1 CNY/day", keep=0, hourly=1)], prices={"CN": "0.1 CNY"})
    otp.issue(PHONE)
    for code in other_codes(rig.outbox[-1].code, 2):
        outcome(otp.verify, PHONE, code)
    outcome(otp.verify, PHONE, rig.outbox[-1].code)
    outcome(otp.issue, PHONE)
    outcome(otp.issue, OTHER_PHONE)
    found = total(otp)
    assert found == Figures(sent=1, wrong_codes=2, limited={"blocked": 2, "budget": 1}, cost=Decimal("0.1"))


def test_days_follow_the_hours_that_are_kept(otp: Any, rig: Rig) -> None:
    """Up to 35 days are kept by the hour, 400 by the day."""
    for _ in range(50):
        otp.issue(PHONE)
        rig.advance(DAY)
    otp.issue(PHONE)
    found = otp.stats(50 * 24)
    assert found.total.sent == 51
    assert [each.sent for _, each in found.spans] == [1] * 51
    assert found.since == found.spans[0][0] == datetime(2026, 1, 1, tzinfo=UTC)
    assert found.spans[1][0] - found.since == timedelta(days=1)
    assert otp.stats(840).total.sent == 35
    assert otp.stats(9600).total.sent == 51


@pytest.mark.parametrize("hours", [0, -1, 9601, 1.5, "24", None, True])
def test_hours_are_checked(otp: Any, hours: Any) -> None:
    error = outcome(otp.stats, hours)
    assert isinstance(error, ConfigurationError)
    assert "9600" in error.remedy


def test_figures_contain_nothing_about_a_person(otp: Any, rig: Rig) -> None:
    """The key has a plain name, and its fields have regions, gateways and counts."""
    otp.issue(PHONE, "signup", bind="a bind", ip=VISITOR)
    outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code), "signup", bind="a bind", ip=VISITOR)
    rig.advance(HOUR)
    otp.issue(OTHER_PHONE)
    key = f"{rig.namespace}:{{stats}}:s"
    fields = rig.server.hgetall(key)
    texts = b" ".join([*fields, *fields.values()])
    for secret in (PHONE[3:], PHONE[-8:], VISITOR, "signup", "bind", *(each.code for each in rig.outbox)):
        assert secret.encode() not in texts
    assert 399 * DAY < rig.server.pttl(key) / 1000 <= 400 * DAY


def test_what_the_guard_observes_is_counted(rig: Rig) -> None:
    from otpkit.guard.rule import Rule

    otp = rig.otp(guard=Guard("observe", rule=Rule(range_floor=2)))
    for number in range(4):
        otp.issue(f"+861380000{number:04d}")
    assert total(otp) == Figures(sent=4, guard={"observed": 2})


def test_what_the_guard_decides_is_counted(rig: Rig) -> None:
    from otpkit.guard.rule import Rule

    otp = rig.otp(guard=Guard("enforce", rule=Rule(range_floor=2)))
    for number in range(4):
        outcome(otp.issue, f"+861380000{number:04d}")
    assert total(otp) == Figures(sent=2, guard={"captcha": 2})


def test_a_gateway_of_ones_own_counts_too(rig: Rig) -> None:
    class Own(Gateway):
        name = "own-2"

        def send(self, message: Message) -> Any:
            return Receipt("own-2")
            yield

    otp = rig.otp(gateway={"CN": Own(), "US": rig.outbox}, policy=whole(regions={"CN", "US"}))
    outcome(otp.issue, PHONE)
    otp.issue("+12025550123")
    assert set(otp.stats().gateways) == {"own-2", "outbox"}
    assert set(otp.stats().regions) == {"CN", "US"}
