"""Amounts, prices, budgets and their windows: what is accepted, what is refused, and when days begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rig import MEMORY, SECRET, TEMPLATE

from otpkit import OTP, Budget, ConfigurationError, Policy, Template
from otpkit.core.budgets import segments_of
from otpkit.gateways import Failover, Route
from otpkit.guard.budgets import Calendar
from otpkit.guard.money import decimal_of, plain, read_amount
from otpkit.guard.prices import Prices
from otpkit.testing import Outbox

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "micros"),
    [("0.045 CNY", 45_000), ("400 CNY", 400_000_000), ("0.000001 USD", 1), ("999999999.999999 CNY", 10**15 - 1)],
)
def test_an_amount_is_whole_millionths(text: str, micros: int) -> None:
    assert read_amount(text).micros == micros
    assert str(read_amount(text)) == text


@given(st.integers(0, 10**15 - 1))
def test_millionths_survive_their_text(micros: int) -> None:
    assert read_amount(f"{plain(micros)} CNY").micros == micros
    assert decimal_of(micros) * 10**6 == micros


@pytest.mark.parametrize(
    "text",
    [
        *("1,5 CNY", "1.000,5 CNY", "-1 CNY", "+1 CNY", "nan CNY", "NaN", "inf CNY", "1e3 CNY", "1.2345678 CNY"),
        *(
            "1",
            "CNY",
            "",
            "1 cny",
            "1 CN",
            "1. CNY",
            ".5 CNY",
            "1234567890 CNY",
            "\uff11 CNY",
            "1 CNY/day",
            1,
            1.5,
            None,
        ),
    ],
)
def test_what_is_no_amount_is_refused(text: Any) -> None:
    with pytest.raises(ConfigurationError):
        read_amount(text)
    with pytest.raises(ConfigurationError):
        Prices({"CN": text})


WRONG: list[dict[str, Any]] = [
    {"amount": "1,5 CNY/day"},
    {"amount": "-1 CNY/day"},
    {"amount": "nan CNY/day"},
    {"amount": "0 CNY/day"},
    {"amount": "1.2345678 CNY/day"},
    {"amount": "1 CNY/week"},
    {"amount": "1 CNY"},
    {"amount": 400},
    {"region": "china"},
    {"region": "cn"},
    {"gateway": ""},
    {"purpose": ""},
    {"key": ""},
    {"alerts": (0,)},
    {"alerts": (1.01,)},
    {"alerts": (float("nan"),)},
    {"alerts": ("0.5",)},
    {"alerts": (True,)},
    {"alerts": tuple(n / 10 for n in range(1, 10))},
    {"keep": 1},
    {"keep": -0.1},
    {"keep": float("nan")},
    {"hourly": 0},
    {"hourly": 1.1},
    {"timezone": "Mars/Olympus"},
    {"timezone": "../etc/passwd"},
    {"timezone": None},
]


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_a_wrong_field_of_a_budget_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Budget(**{"amount": "1 CNY/day", **given})
    assert [each.field for each in refused.value.problems] == list(given)
    assert refused.value.remedy


def test_all_wrong_fields_of_a_budget_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Budget("1", region="x", alerts=(2,), keep=2, hourly=2, timezone="x")
    names = [each.field for each in refused.value.problems]
    assert names == ["amount", "region", "alerts", "keep", "hourly", "timezone"]


def test_shares_are_exact() -> None:
    """A share is what is written, not its nearest binary fraction."""
    budget = Budget("1 CNY/day", alerts=(0.7, 0.1, 0.1), keep=0.1, hourly=0.15)
    assert (budget.open_micros, budget.hourly_micros) == (900_000, 150_000)
    assert budget.thresholds() == [(100_000, 100_000), (700_000, 700_000)]
    assert Budget("0.000007 CNY/day", alerts=(0.5,)).thresholds() == [(500_000, 4)]


def test_a_month_has_no_hourly_limit_unless_given() -> None:
    assert Budget("10 CNY/month").hourly_micros == 10_000_000
    assert Budget("10 CNY/month", hourly=0.1).hourly_micros == 1_000_000
    assert Budget("10 CNY/day").hourly_micros == 1_500_000


def otp(**arguments: Any) -> OTP:
    gateways = Failover([Route(Outbox(), name="one"), Route(Outbox(), name="two")])
    usual = {"redis": MEMORY, "gateway": gateways, "template": TEMPLATE, "secret": SECRET}
    return OTP(**(usual | arguments))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"budgets": [Budget("1 CNY/day")]}, "no price for CN"),
    ({"budgets": [Budget("1 CNY/day")], "prices": {"one:CN": "1 CNY"}}, "no price for CN"),
    ({"budgets": [Budget("1 CNY/day")], "prices": {"CN": "1 USD"}}, "one currency"),
    ({"budgets": [Budget("1 CNY/day"), Budget("1 USD/day", region="CN")], "prices": {"*": "1 CNY"}}, "other currency"),
    ({"budgets": [Budget("1 CNY/day"), Budget("2 CNY/day")], "prices": {"*": "1 CNY"}}, "the same as"),
    ({"budgets": [Budget("1 CNY/day", region="US")], "prices": {"*": "1 CNY"}}, "Policy.regions"),
    ({"budgets": [Budget("1 CNY/day", gateway="on")], "prices": {"*": "1 CNY"}}, "did you mean one"),
    ({"budgets": ["1 CNY/day"], "prices": {"*": "1 CNY"}}, "budgets holds"),
    ({"budgets": Budget("1 CNY/day"), "prices": {"*": "1 CNY"}}, "list of Budget"),
    ({"prices": {"UK": "1 CNY"}}, "Policy.regions"),
    ({"prices": {"cn": "1 CNY"}}, "names no price"),
    ({"prices": {"three:CN": "1 CNY"}}, "no gateway"),
    ({"prices": {"CN": "1 CNY", "*": "1 USD"}}, "Use one currency"),
    ({"prices": ["CN"]}, "must map"),
    (
        {
            "budgets": [Budget("1 CNY/day", purpose="logn")],
            "prices": {"*": "1 CNY"},
            "template": {"login": TEMPLATE},
        },
        "did you mean login",
    ),
]


@pytest.mark.parametrize(("given", "says"), BAD, ids=[str(each[0]) for each in BAD])
def test_what_does_not_fit_the_otp_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        otp(**given)
    assert says in str(refused.value)


def test_all_that_does_not_fit_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        otp(
            budgets=[Budget("1 CNY/day", region="US"), Budget("1 CNY/day", gateway="x")],
            prices={"UK": "1 CNY", "three:CN": "1 CNY"},
        )
    fields = [each.field for each in refused.value.problems]
    assert fields == ["prices.UK", "prices.three:CN", "budgets", "budgets"]


def test_budgets_of_different_windows_or_subjects_stand_together() -> None:
    budgets = [
        Budget("1 CNY/day"),
        Budget("9 CNY/month"),
        Budget("1 CNY/day", key="shop"),
        Budget("1 CNY/day", timezone="Asia/Shanghai"),
    ]
    assert len(otp(budgets=budgets, prices={"*": "1 CNY"}).spending()) == 4


PRICES = Prices({"CN": "1 CNY", "CN/voice": "2 CNY", "one:CN": "3 CNY", "one:*": "4 CNY", "*": "5 CNY"})


@pytest.mark.parametrize(
    ("gateway", "region", "channel", "price"),
    [
        ("two", "CN", "sms", 1),
        ("two", "CN", "voice", 2),
        ("one", "CN", "sms", 3),
        ("one", "CN", "voice", 2),
        ("one", "US", "sms", 4),
        ("two", "US", "sms", 5),
        ("two", "US", "voice", 5),
    ],
)
def test_the_closest_price_counts(gateway: str, region: str, channel: str, price: int) -> None:
    assert PRICES.find(gateway, region, channel) == price * 1_000_000


def test_a_text_counts_its_segments() -> None:
    """Without the text it is one; the longest life of a code decides."""
    long = Template("1", "签名", params={"code": "{code}"}, body="验证码${code}" + "，请勿告诉他人" * 12)
    assert segments_of(long, 6, 5, None, signed=True) == 2
    assert segments_of(Template("1", "签名"), 6, 5, None, signed=True) == 1
    exact = Template("1", "s", params={"code": "{code}", "minutes": "{minutes}"}, body="码" * 63 + "${code}${minutes}")
    assert [segments_of(exact, 6, minutes, None, signed=False) for minutes in (9, 10)] == [1, 2]


def local_day(zone: str, at: datetime) -> datetime:
    return at.astimezone(ZoneInfo(zone))


ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Shanghai",
    "Pacific/Apia",
    "Atlantic/Azores",
    "Africa/Cairo",
]


@pytest.mark.parametrize("zone", ZONES)
@settings(deadline=None)
@given(st.datetimes(datetime(2008, 1, 1), datetime(2035, 1, 1)))  # noqa: DTZ001 - They get their zone below.
def test_a_moment_lies_in_the_window_of_its_date(zone: str, moment: datetime) -> None:
    """In its day and in its month, whatever the clocks do; the windows adjoin."""
    at = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    at_ms = round(at.timestamp() * 1000)
    for unit in ("day", "month"):
        calendar = Calendar(unit, zone)  # type: ignore[arg-type]
        bounds = calendar.bounds(at_ms)
        assert list(bounds) == sorted(set(bounds))
        assert bounds[1] <= at_ms < bounds[2]
        first, last = (local_day(zone, datetime.fromtimestamp(ms / 1000, UTC)) for ms in (bounds[1], bounds[2] - 1))
        date, begins = local_day(zone, at).date(), first.date()
        if unit == "day":
            assert begins == date == last.date()
        else:
            assert (begins.year, begins.month) == (date.year, date.month) == (last.year, last.month)
        assert calendar.bounds(bounds[2])[1] == bounds[2]
        assert calendar.bounds(bounds[1] - 1)[2] == bounds[1]


DAYS = [
    ("Europe/Berlin", "2026-03-29", 23),
    ("Europe/Berlin", "2026-10-25", 25),
    ("America/Sao_Paulo", "2018-11-04", 23),  # Midnight did not exist: the day began at 1:00.
    ("America/Sao_Paulo", "2018-02-17", 25),  # Its last hour occurred twice.
    ("Atlantic/Azores", "2026-10-25", 25),  # Its midnight occurred twice.
    ("Asia/Shanghai", "2026-03-29", 24),
    ("UTC", "2026-03-29", 24),
]


@pytest.mark.parametrize(("zone", "day", "hours"), DAYS, ids=str)
def test_days_with_a_change_of_clocks(zone: str, day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone))
    bounds = Calendar("day", zone).bounds(round(noon.timestamp() * 1000))
    assert (bounds[2] - bounds[1]) / HOUR_MS == hours


def test_months_have_their_own_lengths() -> None:
    lengths = []
    at = datetime(2028, 1, 15, tzinfo=UTC)
    calendar = Calendar("month", "UTC")
    for _ in range(12):
        bounds = calendar.bounds(round(at.timestamp() * 1000))
        lengths.append((bounds[2] - bounds[1]) // HOUR_MS // 24)
        at += timedelta(days=lengths[-1])
    assert lengths == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def test_a_policy_of_several_regions_needs_a_price_for_each() -> None:
    with pytest.raises(ConfigurationError) as refused:
        otp(policy=Policy(regions={"CN", "US", "GB"}), budgets=[Budget("1 CNY/day")], prices={"CN": "1 CNY"})
    assert [each.field for each in refused.value.problems] == ["prices.GB", "prices.US"]
