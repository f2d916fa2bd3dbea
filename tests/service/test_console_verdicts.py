"""The answers of the overview to its three questions, and what is drawn."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.console import Standing, figures_of, nothing

from otpkit import Budget, Spending
from otpkit.guard.report import GuardReport, ScopeReport
from otpkit.languages import languages
from otpkit.service.console.charts import HEIGHT, WIDTH, chart_of
from otpkit.service.console.parts import Part
from otpkit.service.console.verdicts import Verdict, arriving, attacked, cost
from otpkit.service.console.words import Words

WORDS = Words("en")
IN_USE: Any = (Standing(name="alidayu"), Standing(name="twilio"))
AT = datetime(2026, 3, 2, 14, 20, tzinfo=UTC)


def arrives(gateways: Any = IN_USE, **last: int) -> Verdict:
    return arriving(Part(figures_of(**last)), Part(gateways), WORDS)  # type: ignore[arg-type]


def spent(amount: str, refused: int = 0, hour_left: str = "10") -> Spending:
    budget = Budget("400 CNY/day")
    left = Decimal(400) - Decimal(amount)
    return Spending(
        budget=budget,
        currency="CNY",
        spent=Decimal(amount),
        left=left,
        open=max(Decimal(0), left - 80),
        spent_this_hour=Decimal(1),
        hour_left=Decimal(hour_left),
        starts_at=AT,
        ends_at=AT + timedelta(days=1),
        refused={"amount": 0, "keep": 0, "hour": refused},
    )


def guarded(mode: str = "enforce", **scopes: tuple[int, int, int, int]) -> Part[GuardReport]:
    found = [
        ScopeReport(scope=name, captcha=a, refused=b, observed=c, over=d, subjects=())
        for name, (a, b, c, d) in scopes.items()
    ]
    return Part(GuardReport(at=AT, hours=24, mode=mode, scopes=tuple(found)))


class TestArriving:
    def test_is_good_on_a_usual_day(self) -> None:
        assert (arrives().level, arrives().text) == ("good", "Yes")

    @pytest.mark.parametrize(
        ("last", "level", "text"),
        [
            ({"rejected": 100}, "watch", "Some are not sent"),
            ({"rejected": 900}, "bad", "Some are not sent"),
            ({"uncertain": 150}, "watch", "Some may be lost"),
            ({"uncertain": 400}, "bad", "Some may be lost"),
            ({"failed": 300}, "watch", "Some do not arrive"),
            ({"failed": 900}, "bad", "Some do not arrive"),
            ({"verified": 0}, "watch", "Fewer are used"),
        ],
    )
    def test_sees_what_goes_wrong_in_the_last_hours(self, last: dict[str, int], level: str, text: str) -> None:
        assert (arrives(**last).level, arrives(**last).text) == (level, text)

    def test_does_not_judge_a_few_messages(self) -> None:
        few = figures_of(sent=5, rejected=5, failed=4)
        assert arriving(Part(few), Part(IN_USE), WORDS).level == "good"

    def test_names_gateways_that_rest(self) -> None:
        resting: Any = (IN_USE[0], Standing(name="twilio", state="open"))
        assert (arrives(resting).level, "twilio" in arrives(resting).detail) == ("watch", True)
        assert arrives((resting[1],)).level == "bad"

    def test_says_that_nothing_was_sent(self) -> None:
        assert arriving(Part(nothing()), Part(IN_USE), WORDS).level == "quiet"

    def test_is_unknown_without_figures(self) -> None:
        assert arriving(Part(problem="store"), Part(IN_USE), WORDS).level == "unknown"


class TestCost:
    @pytest.mark.parametrize(
        ("spending", "level", "text"),
        [
            ((spent("100"),), "good", "Within budget"),
            ((spent("319"),), "watch", "Nearly used up"),
            ((spent("320"),), "bad", "A budget is used up"),
            ((spent("400"),), "bad", "A budget is used up"),
            ((spent("100"), spent("330")), "bad", "A budget is used up"),
            ((spent("100", refused=7, hour_left="0"),), "bad", "The hour is used up"),
            ((spent("100", refused=7),), "good", "Within budget"),
            ((), "quiet", "No budget is set"),
        ],
    )
    def test_follows_the_budget_that_is_nearest_its_end(
        self, spending: tuple[Spending, ...], level: str, text: str
    ) -> None:
        found = cost(Part(figures_of()), Part(spending), WORDS)
        assert (found.level, found.text) == (level, text)

    @pytest.mark.parametrize(
        ("spending", "text"),
        [
            ((spent("310"), spent("100", refused=7, hour_left="0.01")), "The hour is used up"),
            ((replace(spent("319.99"), refused={"amount": 0, "keep": 7, "hour": 0}),), "A budget is used up"),
        ],
    )
    def test_sees_a_budget_with_less_than_a_message_costs(self, spending: tuple[Spending, ...], text: str) -> None:
        """A message by the dearest gateway costs more than it has left."""
        found = cost(Part(figures_of()), Part(spending), WORDS)
        assert (found.level, found.text) == ("bad", text)
        assert "Refused: 7" in found.detail

    def test_says_that_there_are_no_prices(self) -> None:
        assert cost(Part(nothing()), Part(()), WORDS).text == "Prices are not set"

    def test_stands_with_one_of_its_parts(self) -> None:
        assert cost(Part(problem="error"), Part((spent("100"),)), WORDS).level == "good"
        assert cost(Part(figures_of()), Part(problem="error"), WORDS).level == "quiet"
        assert cost(Part(problem="store"), Part(problem="store"), WORDS).level == "unknown"


class TestAttacked:
    @pytest.mark.parametrize(
        ("part", "level", "text"),
        [
            (guarded(), "good", "No"),
            (guarded("observe"), "good", "No"),
            (guarded(range=(9, 3, 0, 0)), "good", "Not now"),
            (guarded(range=(9, 3, 0, 2)), "watch", "Yes, and it is held back"),
            (guarded("observe", range=(0, 0, 9, 2)), "bad", "Yes, and nothing stops it"),
            (Part(problem="unset"), "quiet", "There is no guard"),
            (Part(problem="store"), "unknown", "Not known"),
        ],
    )
    def test_says_if_and_if_it_is_held_back(self, part: Part[GuardReport], level: str, text: str) -> None:
        found = attacked(part, WORDS)
        assert (found.level, found.text) == (level, text)


@pytest.mark.parametrize("language", languages())
def test_every_sentence_fits_its_values(language: str) -> None:
    """No language has a placeholder that the code does not fill."""
    words = Words(language)
    for question, values in (
        ("arriving", ("time", "rejected", "sent", "uncertain", "failed", "now", "before", "gateways")),
        ("cost", ("each", "share", "budget", "open", "refused")),
        ("attacked", ("scopes",)),
    ):
        for sentence, detail in words.t[question].values():
            assert sentence
            assert "{" not in detail.format(**dict.fromkeys(values, "x"))


@pytest.mark.parametrize(("hours", "bars", "each"), [(24, 24, 1), (168, 28, 6), (720, 30, 24), (1, 1, 1)])
def test_chart_has_few_bars_within_its_frame(hours: int, bars: int, each: int) -> None:
    """All messages are in the bars."""
    stats = figures_of(hours)
    chart = chart_of(stats)
    assert (len(chart.bars), chart.hours) == (bars, each)
    assert sum(bar.sent for bar in chart.bars) == stats.total.sent
    for bar in chart.bars:
        assert 0 <= bar.x < bar.x + bar.width <= WIDTH
        assert bar.sent_y >= 0
        assert bar.sent_y + bar.sent_height == pytest.approx(HEIGHT)
        assert bar.sent <= chart.top


def test_chart_of_nothing_is_empty() -> None:
    """It divides by nothing."""
    assert chart_of(nothing()).is_empty
    assert chart_of(replace(nothing(), spans=())).bars == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0%"), (0.004, "<1%"), (0.5, "50%"), (0.999, "99%"), (1.0, "100%"), (1.2, "120%")],
)
def test_share_never_rounds_to_all_or_nothing(value: float | None, text: str) -> None:
    """A failure in a thousand messages is seen."""
    assert WORDS.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("0", "0.00 CNY"), ("0.045", "0.045 CNY"), ("0.1", "0.10 CNY"), ("1234.5", "1,234.50 CNY")]
)
def test_money_shows_the_price_of_a_message(value: str, text: str) -> None:
    """Small amounts have four digits after the point."""
    assert WORDS.money(Decimal(value), "CNY").replace("\u00a0", " ") == text
