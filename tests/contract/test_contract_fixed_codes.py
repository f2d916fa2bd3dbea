"""Fixed codes for reviewers of app stores: nothing is sent, and all limits apply."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Rig

from otpkit import BlockedError, ConfigurationError, ExpiredCodeError, FixedCode, Policy, RateLimitError, WrongCodeError


@pytest.fixture
def fixed(rig: Rig) -> FixedCode:
    """Return a code that is valid for a day."""
    return FixedCode(PHONE, "246810", rig.at(86400), {"signup", "login"})


def test_nothing_is_sent_and_the_proof_says_so(rig: Rig, fixed: FixedCode) -> None:
    """The proof and the claims of its token have `fixed` set."""
    otp = rig.otp(fixed_codes=[fixed])
    challenge = otp.issue("138 0013 8000")
    assert (challenge.delivery, challenge.sends_left, challenge.expires_in) == ("accepted", 9, 300)
    assert len(rig.outbox) == 0
    proof = otp.verify(PHONE, "246-810")
    assert proof.fixed is True
    assert otp.check(proof.token).fixed is True
    assert otp.redeem(proof.token).fixed is True


def test_other_phones_and_purposes_are_as_ever(rig: Rig, fixed: FixedCode) -> None:
    """A real message is sent, and its proof is not fixed."""
    otp = rig.otp(fixed_codes=[fixed])
    for phone, purpose in ((OTHER_PHONE, "signup"), (PHONE, "payment")):
        otp.issue(phone, purpose)
        assert otp.verify(phone, rig.outbox[-1].code, purpose).fixed is False
    assert len(rig.outbox) == 2


def test_it_is_worth_nothing_before_issue_and_once_after(rig: Rig, fixed: FixedCode) -> None:
    """Like any code, it needs a challenge and verifies once."""
    otp = rig.otp(fixed_codes=[fixed])
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "246810")
    otp.issue(PHONE)
    otp.verify(PHONE, "246810")
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "246810")


def test_all_limits_hold(rig: Rig, fixed: FixedCode) -> None:
    """The limits of sends, addresses and wrong codes and the block apply."""
    policy = Policy(sends="2/hour", ip_sends="1/hour", max_consecutive_failures=2)
    otp = rig.otp(fixed_codes=[fixed], policy=policy)
    otp.issue(PHONE, ip=VISITOR)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, ip=VISITOR)
    assert refused.value.scope == "ip"
    otp.issue(PHONE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.scope == "phone"
    for code in ("111111", "222222"):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, code)
    with pytest.raises(BlockedError):
        otp.verify(PHONE, "246810")


def test_a_resend_is_the_same_challenge(rig: Rig, fixed: FixedCode) -> None:
    """Every code behaves like this."""
    otp = rig.otp(fixed_codes=[fixed])
    first = otp.issue(PHONE)
    rig.advance(60)
    assert otp.issue(PHONE).id == first.id
    assert otp.delivery(PHONE).state == "unknown"


def test_after_its_day_the_phone_is_one_like_any_other(rig: Rig, fixed: FixedCode) -> None:
    """A message with a random code is sent."""
    otp = rig.otp(fixed_codes=[fixed])
    rig.advance(86399)
    otp.issue(PHONE)
    assert len(rig.outbox) == 0
    rig.advance(60)
    otp.issue(PHONE)
    (message,) = rig.outbox
    if message.code != "246810":
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, "246810")
    assert otp.verify(PHONE, message.code).fixed is False


def refused(otp: Any, code: str, error: type[Exception] = ExpiredCodeError, **options: Any) -> None:
    """Assert that a code is refused twice, and that a challenge is shown only if some code could verify."""
    for _ in range(2):
        with pytest.raises(error):
            otp.verify(PHONE, code, **options)
    assert (otp.status(PHONE, **options) is None) is (error is ExpiredCodeError)


@pytest.mark.parametrize("bind", ["", "session"])
def test_removed_code_verifies_no_live_challenge(rig: Rig, fixed: FixedCode, bind: str) -> None:
    """The current configuration decides. A guess is not counted, because no code can be right.

    A resend sends a real code.
    """
    rig.otp(fixed_codes=[fixed]).issue(PHONE, bind=bind)
    elsewhere = FixedCode(OTHER_PHONE, "246810", rig.at(86400), {"signup"})
    for codes in ([], [elsewhere], [FixedCode(PHONE, "246810", rig.at(86400), {"payment"})]):
        refused(rig.otp(fixed_codes=codes), "246810", bind=bind)
    otp = rig.otp()
    assert otp.standing(PHONE).consecutive_failures == 0
    rig.advance(60)
    otp.issue(PHONE, bind=bind)
    assert otp.verify(PHONE, rig.outbox[-1].code, bind=bind).fixed is False


def test_changed_code_replaces_that_of_a_live_challenge(rig: Rig, fixed: FixedCode) -> None:
    """The old code then counts as a wrong code, and the new one verifies."""
    rig.otp(fixed_codes=[fixed]).issue(PHONE)
    otp = rig.otp(fixed_codes=[FixedCode(PHONE, "135790", rig.at(86400), {"signup"})])
    refused(otp, "246810", WrongCodeError)
    assert otp.status(PHONE).attempts_left == 3
    assert otp.standing(PHONE).consecutive_failures == 2
    rig.advance(60)
    assert otp.issue(PHONE).attempts_left == 3
    assert otp.verify(PHONE, "135790").fixed


def test_changed_code_needs_a_challenge_of_a_fixed_code(rig: Rig, fixed: FixedCode) -> None:
    """A challenge whose code was sent is verified by the sent code."""
    rig.otp().issue(PHONE)
    otp, sent = rig.otp(fixed_codes=[fixed]), rig.outbox[-1].code
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, "246810" if sent != "246810" else "246811")
    assert otp.verify(PHONE, sent).fixed is False


def test_code_ends_with_its_until(rig: Rig) -> None:
    """It ends at the exact millisecond of the store's clock. The challenge shows this end when it is issued."""
    otp = rig.otp(fixed_codes=[FixedCode(PHONE, "246810", rig.at(100), {"signup"})])
    assert otp.issue(PHONE).expires_in == 100
    rig.advance(99.999)
    assert otp.status(PHONE).expires_at == rig.at(0.001)
    rig.otp(fixed_codes=[FixedCode(PHONE, "246810", rig.at(100), {"signup"})]).verify(PHONE, "246810")
    rig.advance(60)
    otp = rig.otp(fixed_codes=[FixedCode(PHONE, "246810", rig.at(30), {"signup"})])
    otp.issue(PHONE)
    rig.advance(30)
    refused(otp, "246810")
    assert otp.delivery(PHONE).state == "unknown"


def test_longer_until_is_in_force_at_once(rig: Rig) -> None:
    """It applies to a live challenge too."""
    rig.otp(fixed_codes=[FixedCode(PHONE, "246810", rig.at(10), {"signup"})]).issue(PHONE)
    otp = rig.otp(fixed_codes=[FixedCode(PHONE, "246810", rig.at(86400), {"signup"})])
    rig.advance(20)
    assert otp.status(PHONE).expires_in == 280
    assert otp.verify(PHONE, "246810").fixed


def test_ended_code_is_no_challenge_in_a_refusal(rig: Rig, fixed: FixedCode) -> None:
    """A refusal by a limit then shows no form for the code.

    Neither does an earlier answer that an idempotency key finds.
    """
    rig.otp(fixed_codes=[fixed]).issue(PHONE, idempotency_key="form")
    otp = rig.otp(policy=Policy(sends="1/day", failures="1/day"))
    with pytest.raises(RateLimitError) as limited:
        otp.issue(PHONE)
    assert limited.value.challenge is None
    again = otp.issue(PHONE, idempotency_key="form")
    assert (again.replayed, again.expires_in, again.attempts_left) == (True, 0, 0)


def test_ended_code_is_refused_by_the_servers_own_time(rig: Rig) -> None:
    """The caller passes no clock, and the visitor's address has limits."""
    if rig.store_url == "memory://":
        pytest.skip("the embedded store has the clock of this host")
    until = datetime.now(UTC) + timedelta(seconds=1.5)
    code = FixedCode(PHONE, "246810", until, {"signup"})
    otp = rig.otp(fixed_codes=[code], clock=None)
    otp.issue(PHONE, ip=VISITOR)
    otp.issue(OTHER_PHONE, ip=VISITOR)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, "111111", ip=VISITOR)
    time.sleep(max(0, (until - datetime.now(UTC)).total_seconds()) + 0.1)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "246810", ip=VISITOR)


def test_a_code_may_be_written_as_people_type_it(rig: Rig) -> None:
    """Spaces and hyphens are removed from the configured and the entered code."""
    otp = rig.otp(fixed_codes=[FixedCode("138 0013 8000", "246 810", rig.at(86400), {"signup"})])
    otp.issue(PHONE)
    assert otp.verify(PHONE, "246810").fixed


def test_ninety_days_is_the_longest(rig: Rig) -> None:
    """The check is exact to the second, when the code is built."""
    rig.otp(fixed_codes=[FixedCode(PHONE, "246810", rig.at() + timedelta(days=90), {"signup"})])
    with pytest.raises(ConfigurationError, match=r"until.*90 days"):
        rig.build(fixed_codes=[FixedCode(PHONE, "246810", rig.at() + timedelta(days=90, seconds=1), {"signup"})])


def test_the_servers_time_decides_about_the_ninety_days(rig: Rig) -> None:
    """A host whose clock runs ahead can't use a code for longer."""
    otp = rig.otp(fixed_codes=[FixedCode(PHONE, "246810", rig.at() + timedelta(days=90), {"signup"})])
    rig.advance(-1)
    with pytest.raises(ConfigurationError, match="until"):
        otp.issue(PHONE)
    assert rig.stored() == []


@pytest.mark.parametrize(
    ("phone", "code", "purposes", "match"),
    [
        (PHONE, "1234567", {"signup"}, "6 ASCII digits"),
        (PHONE, "abcdef", {"signup"}, "6 ASCII digits"),
        ("12345", "123456", {"signup"}, "FixedCode"),
        (PHONE, "123456", "signup", "purposes"),
        (PHONE, "123456", set(), "purposes"),
    ],
)
def test_what_can_not_work_is_refused_when_built(
    memory_rig: Rig, phone: str, code: str, purposes: Any, match: str
) -> None:
    """A wrong length, other characters than digits, a missing phone and missing purposes are errors."""
    with pytest.raises(ConfigurationError, match=match):
        memory_rig.build(fixed_codes=[FixedCode(phone, code, memory_rig.at(60), purposes)])


def test_two_for_the_same_phone_and_purpose_are_refused(memory_rig: Rig, is_async: bool) -> None:
    """It would be unclear which one applies."""
    until = memory_rig.at(60)
    both = [FixedCode(PHONE, "111111", until, {"signup"}), FixedCode("138-0013-8000", "222222", until, {"signup"})]
    with pytest.raises(ConfigurationError, match="twice"):
        memory_rig.build(fixed_codes=both)


def test_a_naive_until_is_refused() -> None:
    """A time without a zone is ambiguous."""
    with pytest.raises(ConfigurationError, match="until"):
        FixedCode(PHONE, "246810", datetime(2030, 1, 1), {"signup"})  # noqa: DTZ001
    assert "246810" not in repr(FixedCode(PHONE, "246810", datetime(2030, 1, 1, tzinfo=UTC), {"signup"}))
