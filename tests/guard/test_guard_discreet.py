"""`issue(discreet=True)`: a number's history changes nothing of what a stranger sees, with a guard or other limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from guard_rig import ADDRESS, WIDE, FakeCaptcha, Guarded
from support.rig import DAY, HOUR, MEMORY, outcome, wrong

from otpkit import Budget, Challenge, Guard, Policy, Rate
from otpkit.core.issue import IssueRequest
from otpkit.guard.rule import Rule
from otpkit.testing import SilentCaptcha
from otpkit.web import tells_of_number

PHONE, NEIGHBOUR, OTHER = "+8613812345678", "+8613812340001", "+8613812340002"
POLICY = Policy(ip_sends=(Rate(9, HOUR),), failures="4/day", max_consecutive_failures=5, device_consecutive=0)
OPEN = Policy(ip_sends=None, ip_failures=None, sends="32/day")

Site: TypeAlias = Any
Transcript: TypeAlias = list[Any]


def limited(rig: Guarded) -> None:
    rig.otp(policy=Policy(ip_sends=None)).issue(PHONE, bind="others")


def guess(rig: Guarded, times: int) -> None:
    policy = Policy(ip_sends=None, attempts=10, failures="9/day", max_consecutive_failures=5, device_consecutive=0)
    others = rig.otp(policy=policy)
    others.issue(PHONE, bind="others")
    for _ in range(times):
        outcome(others.verify, PHONE, wrong(rig.outbox[-1].code), bind="others")


HISTORIES: dict[str, Callable[[Guarded], None]] = {
    "nothing": lambda rig: None,
    "limited": limited,
    "guessed": lambda rig: guess(rig, 4),
    "blocked": lambda rig: guess(rig, 5),
}


def asking(rig: Guarded, **options: Any) -> Site:
    return rig.heard(policy=POLICY, guard=rig.guard(**{"ask": "always", **options}))


def over(rig: Guarded) -> Site:
    """Return an OTP whose range is over its allowance."""
    site = rig.heard(policy=POLICY, guard=rig.guard(rule=Rule(range_floor=2, range_refusal=100)))
    others = rig.otp(policy=OPEN, guard=rig.guard(rule=WIDE))
    for phone in (NEIGHBOUR, OTHER):
        others.issue(phone)
    return site


def refusing(rig: Guarded) -> Site:
    """Return an OTP whose range is far over its allowance."""
    site = rig.heard(policy=POLICY, guard=rig.guard(rule=Rule(range_floor=1, range_refusal=2)))
    others = rig.otp(policy=OPEN, guard=rig.guard(rule=WIDE))
    for phone in (NEIGHBOUR, OTHER):
        others.issue(phone)
    site.issue("+8613812340003", captcha="ok first")  # It takes the turn of these ten minutes.
    return site


def blocked_by_operator(rig: Guarded) -> Site:
    site = asking(rig, ask="over_allowance")
    site.guard_block("range", NEIGHBOUR, seconds=DAY)
    return site


def address_used_up(rig: Guarded) -> Site:
    site = rig.heard(policy=Policy(ip_sends="2/hour"))
    for phone in (NEIGHBOUR, OTHER):
        site.issue(phone, ip=ADDRESS)
    return site


def region_used_up(rig: Guarded) -> Site:
    site = rig.heard(policy=Policy(region_sends={"CN": "1/day"}))
    site.issue(NEIGHBOUR)
    return site


def out_of_money(rig: Guarded) -> Site:
    budgets = [Budget("0.3 CNY/day", keep=0, hourly=1)]
    site = rig.heard(policy=POLICY, budgets=budgets, prices={"CN": "0.3 CNY"})
    site.issue(NEIGHBOUR)
    return site


def silent(rig: Guarded) -> Site:
    return rig.heard(policy=POLICY, guard=Guard("enforce", SilentCaptcha(), ask="always", fallback="refuse"))


SITES: dict[str, Callable[[Guarded], Site]] = {
    "always": asking,
    "single use": lambda rig: asking(rig, captcha=FakeCaptcha(single_use=True)),
    "risk": lambda rig: asking(rig, ask="over_allowance", risk=lambda _: "captcha"),
    "risk refuses": lambda rig: asking(rig, risk=lambda _: "refuse"),
    "range over": over,
    "range refused": refusing,
    "range blocked": blocked_by_operator,
    "address": address_used_up,
    "region": region_used_up,
    "money": out_of_money,
    "silent provider": silent,
    "observing": lambda rig: rig.heard(policy=POLICY, guard=Guard("observe", ask="always")),
    "no guard": lambda rig: rig.heard(policy=POLICY),
}


def seen(result: Any) -> Any:
    """Return what a discreet page shows of a result."""
    if isinstance(result, Challenge) or tells_of_number(result):
        return "the form for the code"
    return type(result).__name__, getattr(result, "scope", ""), result.retry_after, result.message("en")


def visit(rig: Guarded, site: Site) -> Transcript:
    """Make all calls of a stranger without a captcha, with wrong and right answers, and with old ones."""

    def call(phone: str = PHONE, **options: Any) -> Any:
        return seen(outcome(site.issue, phone, ip=ADDRESS, bind="stranger", discreet=True, **options))

    found = [
        call(),
        call(captcha="no"),
        call(captcha="x" * 10**6),
        call(captcha="ok 1", idempotency_key="form"),
        call(captcha="ok 1", idempotency_key="form"),  # The form is sent twice.
        call(captcha="ok 1", idempotency_key="another form"),  # The answer is used.
        call("+8613812349999", captcha="ok 1"),
    ]
    rig.advance(90)
    return [*found, call(captcha="ok 1"), call(captcha="ok 2"), call("+8613812349998", captcha="ok 2")]


@pytest.mark.parametrize("site", SITES)
def test_history_changes_nothing(fast: Guarded, namespace: str, site: str) -> None:
    found: dict[str, Transcript] = {}
    for history, arrange in HISTORIES.items():
        with Guarded(MEMORY, namespace) as rig:
            arrange(rig)
            found[history] = visit(rig, SITES[site](rig))
    for history, answers in found.items():
        assert answers == found["nothing"], history


def test_without_it_the_captcha_shows_the_history(fast: Guarded) -> None:
    """The number's own limits come first, so only a number without a history asks for a captcha."""
    site = asking(fast)
    limited(fast)
    assert fast.send(site, PHONE, bind="stranger") == "phone"
    assert fast.send(site, NEIGHBOUR, bind="stranger") == "captcha_required"
    assert fast.send(site, PHONE, bind="stranger", discreet=True) == "captcha_required"


def test_decoy_leaves_nothing_counted(guarded: Guarded) -> None:
    """Only the visitor's address is charged, and the answer is used."""
    policy = Policy(ip_sends="9/hour", region_sends={"CN": "99/day"}, total_sends="99/day")
    budgets = [Budget("9 CNY/day")]
    more: dict[str, Any] = {"budgets": budgets, "prices": {"CN": "0.3 CNY"}}
    site = guarded.heard(policy=policy, guard=guarded.guard(ask="always"), **more)
    site.issue(PHONE, captcha="ok 0")
    before = {key: guarded.server.dump(key) for key in guarded.stored()}
    spent = site.spending()[0].spent
    assert guarded.send(site, PHONE, ip=ADDRESS, captcha="ok 1", discreet=True) == "phone"
    assert len(guarded.outbox) == 1
    assert site.spending()[0].spent == spent
    assert guarded.count(site, "range", PHONE) == (1, 0)
    assert guarded.count(site, "ip", ADDRESS) == (0, 0)
    assert guarded.send(site, NEIGHBOUR, captcha="ok 1") == "captcha_rejected"
    changed = {key for key in guarded.stored() if guarded.server.dump(key) != before.get(key)}
    assert all(0 < guarded.server.pttl(key) <= 3 * DAY * 1000 for key in changed)
    decoys = [key for key in guarded.stored(":p") if key not in before]
    assert decoys == [], "Its phone has no key."


@pytest.mark.parametrize("single_use", [False, True])
def test_nobody_is_asked_again_about_a_decoy(fast: Guarded, single_use: bool) -> None:
    """Neither the provider, which may accept an answer once, nor the application."""
    asked: list[str] = []
    fast.captcha = FakeCaptcha(single_use=single_use)
    site = asking(fast, risk=lambda context: asked.append(context.phone) or "allow")
    limited(fast)
    assert fast.send(site, PHONE, captcha="ok", discreet=True) == "phone"
    assert (fast.captcha.asked, asked) == (["ok"], [PHONE])


def test_decoy_counts_at_the_visitors_address(guarded: Guarded) -> None:
    """As a message does: asking for a number that gets none is not free."""
    site = guarded.heard(policy=Policy(ip_sends="3/hour"))
    site.issue(PHONE)
    for _ in range(3):
        assert guarded.send(site, PHONE, ip=ADDRESS, discreet=True) == "phone"
    assert guarded.send(site, PHONE, ip=ADDRESS, discreet=True) == "ip"
    assert guarded.send(site, NEIGHBOUR, ip=ADDRESS) == "ip"


def interrupted(flow: Any, place: int, other: Callable[[Any], Any]) -> Any:
    """Return a flow that makes a whole other call before its effect number `place`."""
    effect, number = next(flow), 0
    while True:
        if number == place:
            yield other
        failure = None
        try:
            reply = yield effect
        except Exception as error:
            failure = error
        try:
            effect = flow.send(reply) if failure is None else flow.throw(failure)
        except StopIteration as stop:
            return stop.value
        number += 1


@pytest.mark.parametrize("place", range(7))
def test_equal_forms_at_once_use_one_answer(namespace: str, place: int) -> None:
    """The second is decided between any two steps of the first. A number that gets a code shows the same."""
    with Guarded(MEMORY, namespace) as rig:
        site = asking(rig)
        site.issue(PHONE, captcha="ok 0")
        form = IssueRequest(
            PHONE, "signup", "stranger", ADDRESS, None, "form", "sms", None, None, "ok 1", discreet=True
        )
        found: list[Any] = []

        def other(otp: Any) -> None:
            found.append(seen(outcome(otp._drive, otp._flows.issue(form))))

        found.append(seen(outcome(site._drive, interrupted(site._flows.issue(form), place, other))))
        assert found == ["the form for the code"] * 2
        assert len(rig.outbox) == 1
