"""What strangers can do to the audit: little. It stays readable, and operators' entries stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.rig import HOUR, OTHER_PHONE, PHONE, Rig, outcome, whole, wrong

from otpkit import Guard
from otpkit.captcha.base import Captcha, Verdict
from otpkit.core import audit as flows
from otpkit.core import scripts
from otpkit.guard.rule import Rule

FREE = whole(sends="32/day", ip_sends=None, ip_failures=None, max_consecutive_failures=1)


class AnyAnswer(Captcha):
    """A captcha that passes every answer."""

    name = "any"

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        return {}

    def verify(self, answer: str, check: Any) -> Any:
        return Verdict(passed=True)
        yield


@pytest.fixture
def rig(store_url: str, namespace: str) -> Iterator[Rig]:
    with Rig(store_url, namespace) as rig:
        yield rig


def guarded(rig: Rig) -> Any:
    rule = Rule(range_floor=10**6, address_floor=10**6, network_floor=10**6, short_floor=10**6, day_floor=10**6)
    return rig.otp(guard=Guard("enforce", AnyAnswer(), rule=rule, fallback="refuse"), policy=FREE)


def counts(audit: Any, action: str) -> list[int]:
    return [entry.count for entry in reversed(audit.entries) if entry.action == action]


def test_one_blocked_subject_is_written_by_powers_of_ten(rig: Rig) -> None:
    """A thousand refusals in an hour are four entries. The next hour begins again."""
    otp = guarded(rig)
    otp.guard_block("range", PHONE, seconds=3 * HOUR)
    for _ in range(1000):
        outcome(otp.issue, PHONE)
        rig.advance(2)
    assert counts(otp.audit(), "guard_refused") == [1, 10, 100, 1000]
    rig.advance(HOUR)
    outcome(otp.issue, PHONE)
    assert counts(otp.audit(), "guard_refused") == [1, 10, 100, 1000, 1]


def test_many_subjects_are_counted_as_one(rig: Rig) -> None:
    """After fifty in an hour. All together are counted, and none is told apart any more."""
    otp = guarded(rig)
    for number in range(120):
        block = f"+86138{number:04d}0000"
        otp.guard_block("range", block, seconds=HOUR)
        rig.advance(1)
        outcome(otp.issue, block)
    refused = [entry for entry in otp.audit(limit=1000).entries if entry.action == "guard_refused"]
    told_apart = [entry for entry in refused if entry.subject]
    assert len({entry.subject for entry in told_apart}) == len(told_apart) == 50
    assert [(entry.scope, entry.phone_id, entry.count) for entry in refused if not entry.subject] == [
        ("", "", 10),
        ("", "", 1),
    ]


def test_of_many_blocked_phones_the_first_are_written_one_by_one(rig: Rig) -> None:
    """A hundred in an hour, and then the thousandth."""
    otp = rig.otp(policy=FREE)
    for number in range(103):
        phone = f"+86139{number:08d}"
        otp.issue(phone)
        outcome(otp.verify, phone, wrong(rig.outbox[-1].code))
    entries = [entry for entry in otp.audit(limit=1000).entries if entry.action == "blocked"]
    assert (len(entries), {entry.count for entry in entries}) == (100, {1})
    assert len({entry.phone_id for entry in entries}) == 100


def test_strangers_push_out_no_action_of_an_operator(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their events have a stream of their own. The cap of each is reported."""
    monkeypatch.setattr(scripts, "LENGTH", 5)
    monkeypatch.setattr(flows, "LENGTH", 5)
    otp = rig.otp(policy=FREE)
    otp.unblock(OTHER_PHONE, actor="ann")
    assert not otp.audit().is_capped
    for number in range(9):
        phone = f"+86139{number:08d}"
        otp.issue(phone)
        outcome(otp.verify, phone, wrong(rig.outbox[-1].code))
        rig.advance(1)
    audit = otp.audit()
    assert Counter(entry.action for entry in audit.entries) == {"blocked": 5, "unblocked": 1}
    assert (audit.is_capped, audit.oldest) == (True, rig.at(-9))


def test_a_full_audit_is_no_longer_full_when_its_entries_have_aged(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was pushed out is then older than the audit's days."""
    monkeypatch.setattr(scripts, "LENGTH", 4)
    monkeypatch.setattr(flows, "LENGTH", 4)
    otp = rig.otp()
    for _ in range(3):  # Each has two rows, a beginning and an end.
        otp.unblock(PHONE)
        rig.advance(HOUR)
    assert otp.audit().is_capped
    assert len(otp.audit().entries) == 2
    rig.advance(180 * 24 * HOUR)
    otp.unblock(PHONE)
    assert not otp.audit().is_capped
    assert len(otp.audit().entries) == 1


def test_a_refusal_costs_at_most_one_write_a_second(rig: Rig) -> None:
    """Beside the guard's own notes: a process gathers what comes sooner."""
    otp = guarded(rig)
    otp.guard_block("range", PHONE, seconds=HOUR)
    rig.advance(5)
    run, ran = otp._store.run, Counter[str]()

    def counted(effect: Any, budget: Any) -> Any:
        ran[effect.script.name] += 1
        return run(effect, budget)

    otp._store.run = counted
    for _ in range(50):
        outcome(otp.issue, PHONE)
    assert ran["audit_events"] == 1
    assert counts(otp.audit(), "guard_refused") == [1, 50]
