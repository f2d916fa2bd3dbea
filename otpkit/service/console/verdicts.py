"""Answer the three questions of the overview in words: are codes arriving, what does it cost, is somebody attacking."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from otpkit.guard.budgets import Spending
from otpkit.guard.report import GuardReport
from otpkit.models import Figures, Stats
from otpkit.service.console.parts import Part
from otpkit.service.console.words import Words

if TYPE_CHECKING:
    from otpkit.models import GatewayStanding

Level = Literal["good", "watch", "bad", "quiet", "unknown"]
"""`quiet` is nothing to judge, `unknown` is that the figures are missing."""

RECENT: Final = 3  # spans: the running hour and the two before it
LEAST: Final = 20  # messages, below which a share says nothing
NEARLY: Final = Decimal("0.8")  # the used share of what a budget has for all, from which it is worth a look
# (share from which it is worth a look, share from which it is bad)
UNCERTAIN: Final = (0.1, 0.3)
REJECTED: Final = (0.05, 0.25)
FAILED: Final = (0.15, 0.4)
FALLEN: Final = (0.75, 0.5)  # of the earlier conversion
_ORDER: Final[tuple[Level, ...]] = ("bad", "watch", "good", "quiet", "unknown")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a question: a level, a sentence, one more sentence, and a figure with its label."""

    question: str
    level: Level
    text: str
    detail: str = ""
    figure: str = ""
    label: str = ""


def arriving(stats: Part[Stats], gateways: Part[tuple[GatewayStanding, ...]], words: Words) -> Verdict:
    """Judge if codes reach people, by the last hours where there are enough of them."""
    if stats.value is None:
        return _unknown("arriving", stats, words)
    total = stats.value.total
    figures = (words.share(total.conversion), words.t["tiles"]["conversion"])
    tried = total.sent + total.rejected
    open_ones = [each.name for each in gateways.value or () if each.state == "open"]
    findings = list(_doubts(stats.value)) if tried else []
    if open_ones:
        all_open = len(open_ones) == len(gateways.value or ())
        findings.append(("bad" if all_open else "watch", "all_open" if all_open else "open"))
    if not findings:
        if not tried:
            return _verdict("arriving", "quiet", "nothing", words, figures)
        key = "good" if total.receipt_p50 is None else "good_receipts"
        return _verdict("arriving", "good", key, words, figures, time=words.seconds(total.receipt_p50))
    level, key = min(findings, key=lambda each: _ORDER.index(each[0]))
    recent = _recent(stats.value)
    return _verdict(
        "arriving",
        level,
        key,
        words,
        figures,
        gateways=words.t["comma"].join(open_ones),
        now=words.share(_conversion(recent)),
        before=words.share(_conversion(_earlier(stats.value))),
        failed=words.number(sum(each.failed for each in recent)),
        uncertain=words.number(sum(each.uncertain for each in recent)),
        rejected=words.number(sum(each.rejected for each in recent)),
        sent=words.number(sum(each.sent + each.rejected for each in recent)),
    )


def _doubts(stats: Stats) -> Iterable[tuple[Level, str]]:
    """Yield what the last hours show: messages that fail, and fewer verifications than before."""
    recent, earlier = _recent(stats), _earlier(stats)
    sent, tried = sum(each.sent for each in recent), sum(each.sent + each.rejected for each in recent)
    received = sum(each.delivered + each.failed for each in recent)
    for name, part, whole, bounds in (
        ("rejected", sum(each.rejected for each in recent), tried, REJECTED),
        ("uncertain", sum(each.uncertain for each in recent), sent, UNCERTAIN),
        ("failed", sum(each.failed for each in recent), received, FAILED),
    ):
        if whole >= LEAST and part / whole >= bounds[0]:
            yield ("bad" if part / whole >= bounds[1] else "watch"), name
    now, before = _conversion(recent), _conversion(earlier)
    if sent >= LEAST and sum(each.sent for each in earlier) >= LEAST and before and now is not None:
        watch, bad = FALLEN
        if now < before * watch:
            yield ("bad" if now < before * bad else "watch"), "fallen"


def cost(stats: Part[Stats], spending: Part[tuple[Spending, ...]], words: Words) -> Verdict:
    """Judge if the budgets last."""
    if stats.value is None and spending.value is None:
        return _unknown("cost", stats, words)
    total = Figures() if stats.value is None else stats.value.total
    currency = stats.value.currency if stats.value else next((each.currency for each in spending.value or ()), "")
    figures = (words.money(total.cost, currency), words.t["tiles"]["cost"])
    each_one = words.money(total.cost_per_verified, currency)
    if not spending.value:
        if not currency:
            return _verdict("cost", "quiet", "no_prices", words, figures)
        return _verdict("cost", "quiet", "no_budget", words, figures, each=each_one)
    # A budget that refuses may have something left: less than a message by the dearest gateway costs.
    dearest = max((each.cost / each.sent for each in _gateways(stats) if each.sent), default=Decimal(0))
    out = [each for each in spending.value if each.refused["hour"] and _is_short(each.hour_left, dearest)]
    most = max(spending.value, key=used)
    refused = most.refused["amount"] + most.refused["keep"]
    is_used_up = used(most) >= 1 or (refused > 0 and _is_short(most.open, dearest))
    if out and not is_used_up:
        most = out[0]
    share = most.spent / (most.spent + most.left or 1)
    values = {
        "budget": str(most.budget),
        "open": words.money(most.open, most.currency),
        "share": words.share(float(share)),
        "refused": words.number(sum(sum(each.refused.values()) for each in spending.value)),
        "each": each_one,
    }
    if is_used_up:
        return _verdict("cost", "bad", "used_up", words, figures, **values)
    if out:
        return _verdict("cost", "bad", "hour", words, figures, **values)
    if used(most) >= NEARLY:
        return _verdict("cost", "watch", "nearly", words, figures, **values)
    return _verdict("cost", "good", "good" if total.verified else "good_unverified", words, figures, **values)


def _gateways(stats: Part[Stats]) -> Collection[Figures]:
    return stats.value.gateways.values() if stats.value else ()


def _is_short(left: Decimal, price: Decimal) -> bool:
    return left <= 0 or left < price


def used(spending: Spending) -> Decimal:
    """Return the share that is used of what a budget has for all numbers: without what it keeps for known ones."""
    return spending.spent / (spending.spent + spending.open) if spending.open else Decimal(1)


def attacked(guard: Part[GuardReport], words: Words) -> Verdict:
    """Judge if somebody abuses the messages or guesses codes."""
    if guard.value is None:
        if guard.problem == "unset":
            return _verdict("attacked", "quiet", "no_guard", words)
        return _unknown("attacked", guard, words)
    report = guard.value
    over = sum(scope.over for scope in report.scopes)
    acted = sum(scope.captcha + scope.refused for scope in report.scopes)
    seen = sum(scope.observed for scope in report.scopes)
    enforces = report.mode == "enforce"
    figures = (words.number(acted if enforces else acted + seen), words.t["tiles"]["guard"])
    scopes = words.t["comma"].join(words.t["scopes"][scope.scope] for scope in report.scopes if scope.over)
    if over:
        level: Level = "watch" if enforces else "bad"
        return _verdict("attacked", level, "held" if enforces else "observed", words, figures, scopes=scopes)
    if acted or seen:
        return _verdict("attacked", "good", "over", words, figures)
    return _verdict("attacked", "good", "calm" if enforces else "calm_observing", words, figures)


def _recent(stats: Stats) -> Sequence[Figures]:
    return [figures for _, figures in stats.spans[-RECENT:]]


def _earlier(stats: Stats) -> Sequence[Figures]:
    return [figures for _, figures in stats.spans[:-RECENT]]


def _conversion(spans: Iterable[Figures]) -> float | None:
    found = list(spans)
    sent = sum(each.sent for each in found)
    return sum(each.verified for each in found) / sent if sent else None


def _unknown(question: str, part: Part[Any], words: Words) -> Verdict:
    return Verdict(question, "unknown", words.t["unknown"], words.t["missing"][part.problem])


def _verdict(
    question: str, level: Level, key: str, words: Words, figures: tuple[str, str] = ("", ""), **values: str
) -> Verdict:
    said = words.t[question][key]
    return Verdict(question, level, said[0], said[1].format(**values), *figures)
