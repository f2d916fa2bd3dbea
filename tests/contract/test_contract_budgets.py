"""Budgets: what messages may cost, and that not a millionth more is spent."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from support.rig import DAY, HOUR, MINUTE, OTHER_PHONE, PHONE, Rig, outcome, together

from otpkit import (
    Budget,
    Challenge,
    ConfigurationError,
    FixedCode,
    GatewayRejectedError,
    Guard,
    Policy,
    RateLimitError,
    Template,
)
from otpkit.aio import config_of
from otpkit.gateways import Failover, Message, Route

CN = {"CN": "0.3 CNY"}
FREE = {"keep": 0, "hourly": 1}
"""A budget without a kept share and without a limit of an hour."""


def numbers(count: int, start: int = 0) -> list[str]:
    return [f"+86138{start + n:08d}" for n in range(count)]


def outcomes(otp: Any, count: int, start: int = 0, **more: Any) -> list[Any]:
    return [outcome(otp.issue, phone, **more) for phone in numbers(count, start)]


def served(found: list[Any]) -> int:
    return sum(isinstance(each, Challenge) for each in found)


def spent(otp: Any) -> list[str]:
    return [f"{each.spent}" for each in otp.spending()]


def failing(category: str) -> Callable[[Message], None]:
    def gateway(message: Message) -> None:
        if category == "uncertain":
            raise TimeoutError
        raise GatewayRejectedError("no", category=category)  # type: ignore[arg-type]

    return gateway


def test_messages_are_sent_until_the_amount_is_spent(rig: Rig) -> None:
    """What remains is less than a message. The next day begins with the whole amount."""
    otp = rig.heard(budgets=[Budget("1 CNY/day", **FREE)], prices=CN)
    rig.advance(10 * HOUR)
    found = outcomes(otp, 5)
    assert [isinstance(each, Challenge) for each in found] == [True] * 3 + [False] * 2
    assert len(rig.outbox) == 3
    refused = found[-1]
    assert isinstance(refused, RateLimitError)
    assert (refused.scope, refused.rate, refused.retry_after) == ("budget", None, 14 * HOUR)
    assert "1 CNY/day is used up" in refused.problem
    (spending,) = otp.spending()
    assert (spending.spent, spending.left, spending.currency) == (Decimal("0.9"), Decimal("0.1"), "CNY")
    assert spending.refused == {"amount": 2, "keep": 0, "hour": 0}
    assert (spending.starts_at, spending.ends_at) == (rig.at(-10 * HOUR), rig.at(14 * HOUR))
    refusals = [each for each in rig.events if each.name == "budget"]
    assert [(e.outcome, e.detail, e.scope, e.reasons) for e in refusals] == [
        ("refused", "1 CNY/day", "budget", ("amount",))
    ] * 2
    assert otp.standing(numbers(5)[-1]).sends_left == 10
    rig.advance(14 * HOUR - 0.001)
    assert isinstance(outcome(otp.issue, PHONE), RateLimitError)
    rig.advance(0.001)
    assert served(outcomes(otp, 4, 100)) == 3
    assert otp.spending()[0].refused["amount"] == 1


def test_no_key_outlives_its_window_by_much(rig: Rig) -> None:
    """A day longer than the window, and no shorter."""
    otp = rig.otp(budgets=[Budget("1 CNY/day", **FREE), Budget("9 CNY/month", **FREE)], prices=CN)
    otp.issue(PHONE)
    (life,) = (life for key, life in rig.lives().items() if key.endswith(":m"))
    assert 31 * DAY * 1000 < life <= 32 * DAY * 1000


def test_the_last_share_is_kept_for_known_numbers(rig: Rig) -> None:
    otp = rig.heard(budgets=[Budget("3 CNY/day", keep=0.2, hourly=1)], prices=CN)
    found = outcomes(otp, 10)
    assert served(found) == 8
    assert rig.events[-2].reasons == ("keep",)
    assert served(outcomes(otp, 4, 100, known=True)) == 2
    assert spent(otp) == ["3"]
    assert rig.events[-2].reasons == ("amount",)


def test_safe_phone_and_valid_device_may_spend_what_is_kept(rig: Rig) -> None:
    """A device may on one server, where the script judges its token."""
    budgets = [Budget("3 CNY/day", keep=0.2, hourly=1)]
    otp = rig.heard(budgets=budgets, prices=CN, guard=Guard(safe_phones=[OTHER_PHONE]))
    otp.issue(PHONE)
    device = otp.verify(PHONE, rig.outbox[-1].code).device
    rig.advance(MINUTE)
    assert served(outcomes(otp, 9)) == 7
    assert outcome(otp.issue, PHONE).scope == "budget"
    assert outcome(otp.issue, OTHER_PHONE).delivery == "accepted"
    assert outcome(otp.issue, PHONE, device=device).delivery == "accepted"
    assert spent(otp) == ["3"]


def test_an_hour_takes_its_share_and_always_one_message(rig: Rig) -> None:
    """Known numbers too are held by it."""
    otp = rig.heard(budgets=[Budget("6 CNY/day"), Budget("1 CNY/day", purpose="login", keep=0)], prices=CN)
    rig.advance(5 * HOUR + 600)
    assert served(outcomes(otp, 5, known=True)) == 3
    refused = outcome(otp.issue, OTHER_PHONE, known=True)
    assert (refused.scope, refused.retry_after) == ("budget", HOUR - 600)
    assert rig.events[-2].reasons == ("hour",)
    rig.advance(HOUR - 600)
    found = outcomes(otp, 2, 200, purpose="login", known=True)
    assert served(found) == 1  # 15 % of 1 CNY is less than a message.
    assert served(outcomes(otp, 3, 300, known=True)) == 2
    assert spent(otp) == ["1.8", "0.3"]
    assert [f"{each.spent_this_hour}" for each in otp.spending()] == ["0.9", "0.3"]
    assert [f"{each.hour_left}" for each in otp.spending()] == ["0", "0"]


@pytest.mark.parametrize("category", ["number", "rate_limit", "account", "configuration", "request", "connection"])
def test_a_certain_rejection_costs_nothing(rig: Rig, category: str) -> None:
    otp = rig.otp(gateway=failing(category), budgets=[Budget("0.3 CNY/day", **FREE)], prices=CN)
    outcomes(otp, 3)
    assert spent(otp) == ["0"]
    assert rig.kinds()["m"] == 0


def test_an_uncertain_send_costs_its_price(rig: Rig) -> None:
    otp = rig.otp(gateway=failing("uncertain"), budgets=[Budget("1 CNY/day", **FREE)], prices=CN)
    assert served(outcomes(otp, 5)) == 3
    assert spent(otp) == ["0.9"]


def test_a_gateway_that_is_misconfigured_may_have_sent(rig: Rig) -> None:
    def gateway(message: Message) -> None:
        raise ConfigurationError("wrong")

    otp = rig.otp(gateway=gateway, budgets=[Budget("1 CNY/day", **FREE)], prices=CN)
    assert isinstance(outcome(otp.issue, PHONE), ConfigurationError)
    assert spent(otp) == ["0.3"]


PRICES = {"one:CN": "0.1 CNY", "two:CN": "0.7 CNY", "*": "9 CNY"}


@pytest.mark.parametrize(
    ("first", "on_uncertain", "costs"),
    [
        (None, "stop", ["0.1", "0", "0.1"]),
        ("account", "stop", ["0.7", "0.7", "0"]),
        ("uncertain", "stop", ["0.1", "0", "0.1"]),
        ("uncertain", "next", ["0.8", "0.7", "0.1"]),
        (None, "next", ["0.1", "0", "0.1"]),
    ],
)
def test_a_failover_gets_the_difference_back(rig: Rig, first: str | None, on_uncertain: Any, costs: list[str]) -> None:
    """The dearest gateway is reserved, or all of them if several may send; what was sent is spent."""
    one = Route(rig.outbox if first is None else failing(first), name="one")
    gateways = Failover([one, Route(lambda message: "id", name="two")], on_uncertain=on_uncertain)
    budgets = [
        Budget("100 CNY/day"),
        Budget("100 CNY/day", gateway="two"),
        Budget("100 CNY/day", gateway="one"),
    ]
    otp = rig.otp(gateway=gateways, budgets=budgets, prices=PRICES)
    otp.issue(PHONE)
    assert spent(otp) == costs
    assert [f"{each.spent_this_hour}" for each in otp.spending()] == costs
    assert rig.kinds()["m"] == 0


def test_the_dearest_gateway_must_be_affordable(rig: Rig) -> None:
    gateways = Failover([Route(rig.outbox, name="one"), Route(lambda message: "id", name="two")])
    otp = rig.otp(gateway=gateways, budgets=[Budget("0.85 CNY/day", **FREE)], prices=PRICES)
    assert served(outcomes(otp, 5)) == 2
    assert spent(otp) == ["0.2"]


def test_an_alert_is_given_once_a_window(rig: Rig) -> None:
    """Even if the amount sinks below it and rises again; two levels at once are two alerts."""
    otp = rig.heard(budgets=[Budget("1.2 CNY/day", alerts=(0.2, 0.25, 0.75, 1), **FREE)], prices=CN)
    refusing = rig.heard(
        gateway=failing("account"), budgets=[Budget("1.2 CNY/day", alerts=(0.2, 0.25, 0.75, 1), **FREE)], prices=CN
    )
    outcome(refusing.issue, PHONE)
    assert spent(otp) == ["0"]
    alerts = [each.reasons for each in rig.events if (each.name, each.outcome) == ("budget", "alert")]
    assert alerts == [("0.2",), ("0.25",)]
    outcomes(otp, 6)
    rig.advance(DAY)
    outcomes(otp, 1, 50)
    alerts = [each.reasons for each in rig.events if (each.name, each.outcome) == ("budget", "alert")]
    assert alerts == [("0.2",), ("0.25",), ("0.75",), ("1",), ("0.2",), ("0.25",)]


def test_budgets_count_what_fits_them(rig: Rig) -> None:
    """By purpose and by key: tenants can't spend each other's."""
    budgets = [
        Budget("9 CNY/day", **FREE),
        Budget("0.6 CNY/day", key="shop", **FREE),
        Budget("0.3 CNY/day", key="till", **FREE),
        Budget("0.3 CNY/day", purpose="login", **FREE),
    ]
    otp = rig.otp(budgets=budgets, prices=CN)
    assert served(outcomes(otp, 4, 0, budget_key="shop")) == 2
    assert served(outcomes(otp, 4, 10, budget_key="till")) == 1
    assert served(outcomes(otp, 4, 20, budget_key="other")) == 4
    assert served(outcomes(otp, 4, 30, purpose="login")) == 1
    assert spent(otp) == ["2.4", "0.6", "0.3", "0.3"]


def test_a_refusal_of_one_budget_charges_no_other(rig: Rig) -> None:
    budgets = [Budget("9 CNY/day", **FREE), Budget("0.3 CNY/month", **FREE)]
    otp = rig.otp(budgets=budgets, prices=CN, policy=Policy(total_sends="5/day", ip_sends="5/day"))
    found = outcomes(otp, 9, ip="203.0.113.9")
    assert served(found) == 1
    assert spent(otp) == ["0.3", "0.3"]
    assert {each.scope for each in found[1:]} == {"budget"}  # They took nothing from the other limits.
    assert found[-1].retry_after == 31 * DAY


def test_a_used_up_limit_takes_no_money(rig: Rig) -> None:
    otp = rig.otp(budgets=[Budget("9 CNY/day", **FREE)], prices=CN, policy=Policy(total_sends="2/day"))
    found = outcomes(otp, 4)
    assert served(found) == 2
    assert found[-1].scope == "total"
    assert spent(otp) == ["0.6"]


def test_limits_and_replays_come_before_money(rig: Rig) -> None:
    otp = rig.otp(budgets=[Budget("0.3 CNY/day", **FREE)], prices=CN)
    first = otp.issue(PHONE, idempotency_key="form")
    assert otp.issue(PHONE, idempotency_key="form").replayed
    assert outcome(otp.issue, PHONE).scope == "phone"
    rig.advance(MINUTE)
    refused = outcome(otp.issue, PHONE)
    assert (refused.scope, refused.challenge.id) == ("budget", first.id)
    assert otp.verify(PHONE, rig.outbox[-1].code).phone == PHONE


def test_days_begin_in_their_zone(rig: Rig) -> None:
    """The clock of the rig begins at midnight in UTC: 8:00 in Shanghai."""
    budgets = [Budget("0.3 CNY/day", timezone="Asia/Shanghai", **FREE)]
    otp = rig.otp(budgets=budgets, prices=CN)
    assert served(outcomes(otp, 2)) == 1
    assert outcome(otp.issue, OTHER_PHONE).retry_after == 16 * HOUR
    rig.advance(16 * HOUR)
    assert served(outcomes(otp, 2, 10)) == 1


def test_a_month_ends_with_the_month(rig: Rig) -> None:
    """The clock of the rig begins on 1 January."""
    otp = rig.otp(budgets=[Budget("0.6 CNY/month", **FREE)], prices=CN)
    assert served(outcomes(otp, 1)) == 1
    rig.advance(31 * DAY - 1)
    assert served(outcomes(otp, 2, 10)) == 1
    rig.advance(1)
    assert served(outcomes(otp, 3, 20)) == 2
    assert outcome(otp.issue, OTHER_PHONE).retry_after == 28 * DAY


def test_a_text_of_several_parts_costs_several_prices(rig: Rig) -> None:
    template = Template("SMS_1", "签名", body="验证码${code}" + "，请勿告诉他人" * 12)
    otp = rig.otp(template=template, budgets=[Budget("9 CNY/day")], prices=CN)
    otp.issue(PHONE)
    assert spent(otp) == ["0.6"]


def test_a_fixed_code_costs_nothing(rig: Rig) -> None:
    fixed = FixedCode(PHONE, "123456", rig.at(10 * DAY), {"signup"})
    otp = rig.otp(fixed_codes=[fixed], budgets=[Budget("0.3 CNY/day")], prices=CN)
    otp.issue(PHONE)
    assert spent(otp) == ["0"]


def test_another_amount_continues_the_same_counter(rig: Rig) -> None:
    """During a deploy, both amounts hold for what both have spent."""
    old = rig.otp(budgets=[Budget("0.6 CNY/day", **FREE)], prices=CN)
    new = rig.otp(budgets=[Budget("1.2 CNY/day", **FREE)], prices=CN)
    assert served(outcomes(old, 3)) == 2
    assert served(outcomes(new, 3, 10)) == 2
    assert served(outcomes(old, 1, 20)) == 0


def test_the_servers_clock_decides_whatever_the_hosts_is(rig: Rig) -> None:
    """A host that is days wrong finds the window of the server's time by a second try, and remembers it."""
    otp = rig.otp(budgets=[Budget("0.3 CNY/day", **FREE)], prices=CN)
    purse = config_of(getattr(otp, "target", otp)).purse
    assert purse is not None
    purse.skew_ms = 40 * DAY * 1000
    assert served(outcomes(otp, 2)) == 1
    assert purse.skew_ms == 0
    (spending,) = otp.spending()
    assert (spending.spent, spending.starts_at) == (Decimal("0.3"), rig.at())


def test_a_clock_that_steps_back_spends_no_amount_twice(rig: Rig) -> None:
    """The later window goes on, so each of the two days has one amount. The same holds for an hour."""
    otp = rig.otp(budgets=[Budget("0.6 CNY/day", keep=0, hourly=0.5)], prices=CN)
    rig.advance(DAY - 1)
    assert served(outcomes(otp, 2)) == 1
    rig.advance(1)
    assert served(outcomes(otp, 2, 10)) == 1
    rig.advance(-1)
    assert served(outcomes(otp, 2, 20)) == 0
    rig.advance(1)
    assert served(outcomes(otp, 2, 30)) == 0
    rig.advance(HOUR)
    assert served(outcomes(otp, 2, 40)) == 1
    assert spent(otp) == ["0.6"]
    rig.advance(-1)
    assert served(outcomes(otp, 2, 50)) == 0
    rig.advance(DAY)
    assert served(outcomes(otp, 2, 60)) == 1


def test_by_the_servers_own_clock(rig: Rig) -> None:
    otp = rig.otp(clock=None, budgets=[Budget("0.6 CNY/month", **FREE)], prices=CN)
    assert served(outcomes(otp, 4)) == 2
    assert spent(otp) == ["0.6"]


def test_parallel_calls_spend_exactly_the_amount(rig: Rig) -> None:
    """Forty at once, and seven can be paid; the alerts are given once."""
    budgets = [Budget("2.3 CNY/day", alerts=(0.5, 0.9), **FREE)]
    otp = rig.heard(budgets=budgets, prices=CN, policy=Policy(total_sends="99/day"))
    phones = numbers(40)
    found = together(40, lambda number: otp.issue(phones[number]))
    assert served(found) == 7
    assert spent(otp) == ["2.1"]
    assert sorted(each.reasons for each in rig.events if each.outcome == "alert") == [("0.5",), ("0.9",)]


def test_an_otp_without_budgets_reports_none(rig: Rig) -> None:
    otp = rig.otp()
    otp.issue(PHONE, budget_key="shop")
    assert otp.spending() == ()
    assert rig.stored(":m") == []
