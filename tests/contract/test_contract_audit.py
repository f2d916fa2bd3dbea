"""The audit: operators' actions before they are carried out, and security events, by pseudonym."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.rig import DAY, HOUR, OTHER_PHONE, PHONE, VISITOR, Rig, outcome, whole, wrong

from otpkit import Audit, ConfigurationError, FixedCode, Guard, OTPError, PhoneError, StoreUnavailableError
from otpkit.core.scripts import audit as faces
from otpkit.guard.rule import Rule

STRICT = whole(max_consecutive_failures=1, sends="32/day")


def actions(audit: Audit) -> list[str]:
    return [entry.action for entry in audit.entries]


def refuse_writes(rig: Rig, otp: Any, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make one script of an OTP fail."""
    flows = (otp.target if rig.is_async else otp)._flows
    face = getattr(flows._config.scripts, script)
    broken = type(face)(script, "return redis.error_reply('MISCONF as the test asked')", 0)
    monkeypatch.setattr(type(flows._config.scripts), script, broken)


def test_each_action_of_an_operator_is_in_the_audit(rig: Rig) -> None:
    """With actor, reason, the pseudonym of the phone and the outcome, newest first. No number is."""
    otp = rig.heard(guard=Guard())
    about = {"actor": "ann", "reason": 'ticket 12: "用户" asked'}
    otp.revoke(PHONE, **about)
    rig.advance(1)
    otp.forget_devices(PHONE, **about)
    otp.unblock(PHONE, **about)
    erased = otp.erase(PHONE, **about)
    otp.guard_block("range", PHONE, **about)
    otp.guard_allow("ip", VISITOR, **about)
    otp.guard_clear("region", "CN", **about)
    otp.guard_clear("total", **about)
    assert erased.records == 0
    audit = otp.audit()
    assert actions(audit) == [
        *("guard_cleared", "guard_cleared", "guard_allowed", "guard_blocked"),
        *("erased", "unblocked", "devices_forgotten", "revoked"),
    ]
    assert {(entry.actor, entry.reason, entry.outcome, entry.count) for entry in audit.entries} == {
        ("ann", about["reason"], "done", 1)
    }
    (phone_id,) = {event.phone_id for event in rig.events if event.name == "unblocked"}
    assert [entry.phone_id for entry in audit.entries] == [""] * 4 + [phone_id] * 4
    assert [entry.scope for entry in audit.entries[:4]] == ["total", "region", "ip", "range"]
    assert [entry.subject for entry in audit.entries[:2]] == ["*", "CN"]
    assert {len(entry.subject) for entry in audit.entries[2:4]} == {22}
    assert {entry.at for entry in audit.entries[:7]} == {rig.at()}
    assert (audit.entries[7].at, audit.oldest, audit.is_capped) == (rig.at(-1), rig.at(-1), False)
    assert len({entry.id for entry in audit.entries}) == 8
    told = [(event.operation, event.outcome, event.detail) for event in rig.events if event.name == "operator"]
    assert told[0] == ("revoke", "revoked", "ann")
    assert [each[1] for each in told] == actions(audit)[::-1]


def test_an_applications_own_revocation_is_not_in_the_audit(rig: Rig, otp: Any) -> None:
    """A user who asks for another number is no operator. Without a name, the other calls are in the audit."""
    otp.revoke(PHONE)
    assert otp.audit() == Audit()
    otp.unblock(PHONE)
    (entry,) = otp.audit().entries
    assert (entry.action, entry.actor, entry.reason) == ("unblocked", "", "")


def test_the_audit_of_a_phone_has_its_entries_alone(rig: Rig, otp: Any) -> None:
    """They stay when the phone is erased."""
    otp.unblock(PHONE)
    otp.unblock(OTHER_PHONE)
    otp.erase("138 0013 8000")
    assert actions(otp.audit("138 0013 8000")) == ["erased", "unblocked"]
    assert actions(otp.audit(OTHER_PHONE)) == ["unblocked"]
    assert otp.audit("+8613700137000").entries == ()
    with pytest.raises(PhoneError):
        otp.audit("12345")


def test_the_audit_begins_at_a_time_and_has_at_most_so_many_entries(rig: Rig, otp: Any) -> None:
    """The newest are kept. The time is that of the action's beginning."""
    for number in range(5):
        otp.unblock(PHONE, reason=str(number))
        rig.advance(HOUR)
    assert [entry.reason for entry in otp.audit(since=rig.at(-2 * HOUR)).entries] == ["4", "3"]
    assert [entry.reason for entry in otp.audit(limit=3).entries] == ["4", "3", "2"]
    for limit in (0, 10_001, True, "9"):
        with pytest.raises(ConfigurationError, match="1 to 10000"):
            otp.audit(limit=limit)
    with pytest.raises(ConfigurationError, match="aware datetime"):
        otp.audit(since=datetime(2026, 1, 1))  # noqa: DTZ001
    assert actions(otp.audit(since=datetime.now(UTC) + timedelta(days=9999))) == []


def test_an_action_that_can_not_be_audited_is_not_carried_out(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so. Nothing has changed."""
    rig = memory_rig
    otp = rig.heard(guard=Guard(), policy=STRICT)
    otp.issue(PHONE)
    outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code))
    refuse_writes(rig, otp, monkeypatch, "audit_action")
    before = {key: rig.server.dump(key) for key in rig.stored()}
    told = len(rig.events)
    for call in (otp.unblock, otp.erase, otp.forget_devices):
        with pytest.raises(StoreUnavailableError, match="Nothing was done, because the action can't be written"):
            call(PHONE, actor="ann")
    with pytest.raises(StoreUnavailableError, match="Nothing was done"):
        otp.guard_block("total", actor="ann")
    with pytest.raises(StoreUnavailableError, match="Nothing was done"):
        otp.revoke(PHONE, actor="ann")
    assert {key: rig.server.dump(key) for key in rig.stored()} == before
    assert len(rig.events) == told
    otp.revoke(PHONE)  # It is no operator's, and needs no entry.
    assert otp.status(PHONE) is None


def test_an_action_that_fails_leaves_its_entry(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is the error's code. No event says that it was carried out."""
    rig = memory_rig
    otp = rig.heard()
    refuse_writes(rig, otp, monkeypatch, "unblock")
    with pytest.raises(StoreUnavailableError):
        otp.unblock(PHONE, actor="ann")
    (entry,) = otp.audit().entries
    assert (entry.action, entry.actor, entry.outcome) == ("unblocked", "ann", "store_unavailable")
    assert rig.events == []


def test_an_action_whose_end_is_not_recorded_has_begun(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a crash: it may or may not have been carried out. The call itself succeeds."""
    rig = memory_rig
    otp = rig.otp()
    written: list[str] = []

    def once(self: Any, **arguments: Any) -> Any:
        written.append(arguments["outcome"])
        if len(written) > 1:
            raise StoreUnavailableError("as the test asked")
        return real(self, **arguments)

    real = faces.AuditAction.__call__
    monkeypatch.setattr(faces.AuditAction, "__call__", once)
    otp.unblock(PHONE)
    assert written == ["begun", "done"]
    assert [entry.outcome for entry in otp.audit().entries] == ["begun"]


def test_a_phone_that_becomes_blocked_is_in_the_audit_once(rig: Rig) -> None:
    """Later calls that the block refuses are not."""
    otp = rig.otp(policy=whole(max_consecutive_failures=2))
    otp.issue(PHONE)
    for step in (1, 2, 3):
        outcome(otp.verify, PHONE, wrong(rig.outbox[-1].code, step))
    (entry,) = otp.audit(PHONE).entries
    assert (entry.action, entry.actor, entry.outcome, entry.count, entry.at) == ("blocked", "", "", 1, rig.at())


def test_a_fixed_code_that_is_used_is_in_the_audit(rig: Rig) -> None:
    fixed = FixedCode(PHONE, "123456", rig.at(DAY), {"signup"})
    otp = rig.otp(fixed_codes=[fixed])
    otp.issue(PHONE)
    otp.verify(PHONE, "123456", idempotency_key="form")
    otp.verify(PHONE, "123456", idempotency_key="form")
    assert actions(otp.audit(PHONE)) == ["fixed_code_used"]


def test_what_the_guard_refuses_is_in_the_audit(rig: Rig) -> None:
    """It names the range by the pseudonym that the guard's report shows."""
    otp = rig.otp(guard=Guard("enforce", rule=Rule(range_floor=1)), policy=whole(sends="32/day"))
    otp.guard_block("range", PHONE, seconds=600)
    rig.advance(1)
    outcome(otp.issue, PHONE)
    refused, block = otp.audit().entries
    assert (refused.action, refused.scope, refused.subject) == ("guard_refused", "range", block.subject)
    assert otp.audit(PHONE).entries == (refused,)


@pytest.mark.parametrize("call", ["issue", "verify", "verify fixed"])
def test_an_event_that_can_not_be_written_breaks_no_call(
    memory_rig: Rig, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The call has the result that it has anyway."""
    rig = memory_rig
    otp = rig.otp(
        guard=Guard("enforce"),
        policy=whole(max_consecutive_failures=1),
        fixed_codes=[FixedCode(OTHER_PHONE, "123456", rig.at(DAY), {"signup"})],
    )
    otp.issue(PHONE)
    otp.issue(OTHER_PHONE)
    otp.guard_block("range", "+8613700137000", seconds=600)
    refuse_writes(rig, otp, monkeypatch, "audit_events")
    if call == "issue":
        assert outcome(otp.issue, "+8613700137000").code == "rate_limit"
    elif call == "verify":
        assert outcome(otp.verify, PHONE, wrong(rig.outbox[0].code)).code == "wrong_code"
    else:
        assert otp.verify(OTHER_PHONE, "123456").fixed


def test_the_audit_keeps_an_entry_for_its_days(rig: Rig) -> None:
    """It leaves with the next entry that is written, and is not shown before that. The keys have a life."""
    otp = rig.otp(policy=whole(audit_days=30))
    otp.unblock(PHONE, reason="old")
    rig.advance(29 * DAY)
    otp.unblock(PHONE, reason="young")
    assert [entry.reason for entry in otp.audit().entries] == ["young", "old"]
    rig.advance(2 * DAY)
    assert [entry.reason for entry in otp.audit().entries] == ["young"]
    otp.unblock(PHONE, reason="new")
    assert [entry.reason for entry in otp.audit().entries] == ["new", "young"]
    assert otp.audit().oldest == rig.at(-2 * DAY)
    lives = {key: life for key, life in rig.lives().items() if "{audit}" in key}
    assert all(29 * DAY * 1000 < life <= 30 * DAY * 1000 for life in lives.values())


def test_a_clock_that_goes_back_keeps_the_order(rig: Rig, otp: Any) -> None:
    """As after a failover to a slower server: the entries have the later time, and none is lost."""
    otp.unblock(PHONE, reason="first")
    rig.advance(-5)
    otp.unblock(PHONE, reason="second")
    rig.advance(20)
    otp.unblock(PHONE, reason="third")
    assert [entry.reason for entry in otp.audit().entries] == ["third", "second", "first"]
    assert [entry.at for entry in otp.audit().entries] == [rig.at(), rig.at(-15), rig.at(-15)]


REFUSED = [
    *("call 13800138000", "138-0013-8000", "1 3 8 0 0 1 3 8 0 0 0", "(138) 0013.8000", "+44 7400 123456"),
    *("１３８００１３８０００", "١٣٨٠٠١٣٨٠٠٠", "0086 138 0013 8000", "ticket 1234567", "138\n0013\u200b8000"),
]


@pytest.mark.parametrize("reason", REFUSED)
def test_a_reason_with_a_number_is_refused(memory_rig: Rig, reason: str) -> None:
    """In any script and with any separators. Nothing is written or done, and the error repeats nothing."""
    rig = memory_rig
    otp = rig.otp(guard=Guard())
    for call in (otp.unblock, otp.erase, otp.forget_devices, otp.revoke):
        with pytest.raises(ConfigurationError, match="Leave the number out") as refused:
            call(PHONE, reason=reason)
        assert reason not in str(refused.value)
    with pytest.raises(ConfigurationError, match="Leave the number out"):
        otp.guard_block("total", reason=reason)
    assert rig.keys() == []


@pytest.mark.parametrize(
    "reason", ["2026-01-15 10:30:00", "ticket 12, 345", "6 digits 123456", "用户来电", "", "v1.2.3"]
)
def test_a_reason_without_a_number_is_taken(memory_rig: Rig, reason: str) -> None:
    otp = memory_rig.otp()
    otp.unblock(PHONE, actor="u1234567", reason=reason)  # A staff number is no phone number.
    (entry,) = otp.audit().entries
    assert (entry.actor, entry.reason) == ("u1234567", reason)


def test_a_reason_is_one_line_that_can_be_seen(memory_rig: Rig) -> None:
    """A line break, a control and a mark that reverses the direction would forge lines of a log or hide a part."""
    otp = memory_rig.otp()
    otp.unblock(PHONE, actor="ann\x1b[31m", reason="a\r\nb\x00c\u202ed\u2028e  f\ud800\t")
    (entry,) = otp.audit().entries
    assert (entry.actor, entry.reason) == ("ann [31m", "a b c d e f")


@pytest.mark.parametrize("name", ["actor", "reason"])
def test_a_text_is_bounded(memory_rig: Rig, name: str) -> None:
    otp = memory_rig.otp()
    otp.unblock(PHONE, **{name: "字" * 256})
    assert getattr(otp.audit().entries[0], name) == "字" * 256
    for value in ("字" * 257, "x" * 10**6, None, 7, b"x"):
        with pytest.raises(OTPError, match=name):
            otp.unblock(PHONE, **{name: value})
    assert len(otp.audit().entries) == 1


def test_an_actor_that_is_a_number_is_refused(memory_rig: Rig) -> None:
    with pytest.raises(ConfigurationError, match="actor"):
        memory_rig.otp().unblock(PHONE, actor="13800138000")


def test_what_others_wrote_into_the_stream_is_left_out(rig: Rig, otp: Any) -> None:
    """As a later version may: an entry of another form is no error, and unknown fields are skipped."""
    otp.unblock(PHONE, reason="known")
    key = f"{rig.namespace}:{{audit}}:o"
    rig.server.xadd(key, {"another": "form"})
    rig.server.xadd(key, {"operation": "x", "action": "later", "more": "y", "times": "z"})
    rig.server.xadd(key, {"operation": "x", "action": "later", "more": "y"})
    assert [(entry.action, entry.reason) for entry in otp.audit(since=rig.at()).entries] == [
        ("later", ""),
        ("unblocked", "known"),
    ]
