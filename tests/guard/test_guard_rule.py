"""The rule: what each scope may have unverified, and what happens over that."""

from __future__ import annotations

from typing import Any

import pytest
from guard_rig import ADDRESS, FREE, OTHER_ADDRESS, WIDE, Guarded
from support.rig import DAY, HOUR, MINUTE, outcome, wrong

from otpkit import CaptchaRequiredError, ExpiredCodeError, Policy, RateLimitError
from otpkit.guard.rule import Rule

ASKED = "captcha_required"


def only(**numbers: float) -> Rule:
    """Return a rule in which these numbers alone matter."""
    from dataclasses import replace

    return replace(WIDE, **numbers)  # type: ignore[arg-type]


# Ranges


def test_range_asks_at_its_allowance(guarded: Guarded) -> None:
    otp = guarded.guarded()
    guarded.fill(otp, 6, block=1)
    asked = outcome(otp.issue, guarded.phone(1))
    assert isinstance(asked, CaptchaRequiredError)
    assert (asked.reasons, asked.provider) == (("range",), "fake")
    assert asked.parameters == {"provider": "fake", "purpose": "signup"}
    assert guarded.send(otp, guarded.phone(2)) == "sent"


def test_verified_send_leaves_room_for_two(guarded: Guarded) -> None:
    """It is no longer unverified, and the allowance grows by one."""
    otp = guarded.guarded(rule=only(range_floor=6))
    phones = guarded.fill(otp, 6, block=1)
    guarded.verify(otp, phones[0])
    assert guarded.count(otp, "range", phones[0]) == (5, 1)
    guarded.fill(otp, 2, block=1)
    assert guarded.send(otp, guarded.phone(1)) == ASKED


def test_every_send_of_a_verified_challenge_is_taken_back(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=WIDE)
    phone = guarded.phone(1)
    for _ in range(3):
        assert guarded.send(otp, phone, ip=ADDRESS) == "sent"
        guarded.advance(MINUTE)
    assert guarded.count(otp, "range", phone) == (3, 0)
    assert guarded.count(otp, "region", "CN") == (3, 0)
    guarded.verify(otp, phone, ip=ADDRESS)
    for scope, subject in (("range", phone), ("region", "CN"), ("ip", ADDRESS), ("net", ADDRESS)):
        assert guarded.count(otp, scope, subject) == (0, 3)


def test_range_refuses_far_over_its_allowance(guarded: Guarded) -> None:
    """Then one send passes every ten minutes, with a captcha."""
    otp = guarded.guarded(rule=only(range_floor=2))
    guarded.fill(otp, 2, block=1)
    guarded.fill(otp, 2, block=1, captcha="ok1")
    assert guarded.send(otp, guarded.phone(1)) == ASKED
    assert guarded.send(otp, guarded.phone(1), captcha="ok2") == "sent"
    refused = outcome(otp.issue, guarded.phone(1), captcha="ok3")
    assert isinstance(refused, RateLimitError)
    assert (refused.scope, refused.retry_after, refused.rate) == ("range", 600, None)
    guarded.advance(599)
    assert guarded.send(otp, guarded.phone(1), captcha="ok3") == "range"
    guarded.advance(1)
    assert guarded.send(otp, guarded.phone(1)) == ASKED
    assert guarded.send(otp, guarded.phone(1), captcha="ok3") == "sent"
    assert guarded.send(otp, guarded.phone(1), captcha="ok4") == "range"


def test_range_window_is_a_day(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(range_floor=2))
    guarded.fill(otp, 2, block=1)
    guarded.advance(18 * HOUR - 1)
    assert guarded.send(otp, guarded.phone(1)) == ASKED
    guarded.advance(6 * HOUR + 1)
    assert guarded.send(otp, guarded.phone(1)) == "sent"


def test_small_plan_is_never_refused_by_range(fast: Guarded) -> None:
    """Iceland has fewer than 1,000 ranges of its mobiles' length."""
    pytest.importorskip("phonenumbers")
    policy = Policy(regions={"CN", "IS", "GB"}, ip_sends=None, sends="32/day")
    otp = fast.guarded(policy, rule=only(range_floor=1))
    for number in range(6):
        fast.send(otp, f"+35461123{number:02d}", captcha=f"ok{number}")
        fast.send(otp, f"+4474001234{number:02d}", captcha=f"ok gb {number}")
    assert fast.send(otp, "+3546112399") == ASKED
    assert fast.send(otp, "+447400123499") == "range"


# Addresses and networks


def test_address_asks_then_refuses(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(address_floor=2))
    guarded.fill(otp, 2, ip=ADDRESS)
    assert guarded.send(otp, guarded.phone(), ip=ADDRESS) == ASKED
    assert guarded.send(otp, guarded.phone(), ip=OTHER_ADDRESS) == "sent"
    for number in range(5):
        assert guarded.send(otp, guarded.phone(), ip=ADDRESS, captcha=f"ok{number}") == "sent"
    assert guarded.send(otp, guarded.phone(), ip=ADDRESS, captcha="ok") == "guard_ip"
    guarded.advance(HOUR)
    assert guarded.send(otp, guarded.phone(), ip=ADDRESS) == "sent"


def test_address_that_verified_today_is_not_refused(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(address_floor=2))
    phones = guarded.fill(otp, 1, ip=ADDRESS)
    guarded.verify(otp, phones[0], ip=ADDRESS)
    guarded.advance(20 * HOUR)
    guarded.fill(otp, 2, ip=ADDRESS)
    for number in range(9):
        assert guarded.send(otp, guarded.phone(), ip=ADDRESS, captcha=f"ok{number}") == "sent"
    assert guarded.send(otp, guarded.phone(), ip=ADDRESS) == ASKED


def test_network_asks_and_never_refuses(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(network_floor=4))
    for number in range(4):
        guarded.fill(otp, 1, ip=f"198.51.100.{number}")
    assert guarded.send(otp, guarded.phone(), ip="198.51.100.200") == ASKED
    assert guarded.send(otp, guarded.phone(), ip="198.51.101.200") == "sent"
    for number in range(20):
        assert guarded.send(otp, guarded.phone(), ip=f"198.51.100.{number}", captcha=f"ok{number}") == "sent"


@pytest.mark.parametrize("form", ["::ffff:198.51.100.7", "64:ff9b::198.51.100.7", "2002:c633:6407::1"])
def test_address_in_an_ipv6_form_is_the_ipv4_address(fast: Guarded, form: str) -> None:
    otp = fast.guarded(rule=WIDE)
    fast.fill(otp, 1, ip=form)
    assert fast.count(otp, "ip", ADDRESS) == (1, 0)


def test_private_address_counts_nowhere(fast: Guarded) -> None:
    otp = fast.guarded(rule=only(address_floor=1, network_floor=1))
    fast.fill(otp, 3, ip="10.0.0.1")


def test_verified_elsewhere_never_falls_below_zero(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=WIDE)
    phones = guarded.fill(otp, 1, ip=ADDRESS)
    guarded.verify(otp, phones[0], ip=OTHER_ADDRESS)
    assert guarded.count(otp, "ip", ADDRESS) == (1, 0)
    assert guarded.count(otp, "ip", OTHER_ADDRESS) == (0, 1)


# Regions and all sends


def test_region_asks_for_twenty_minutes_and_for_a_day(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(short_floor=5, day_floor=8))
    guarded.fill(otp, 5)
    assert guarded.send(otp, guarded.phone()) == ASKED
    guarded.advance(20 * MINUTE)
    guarded.fill(otp, 3)
    guarded.advance(20 * MINUTE)
    asked = outcome(otp.issue, guarded.phone())
    assert asked.reasons == ("region",)
    guarded.advance(24 * HOUR)
    assert guarded.send(otp, guarded.phone()) == "sent"


def test_send_with_a_captcha_counts_in_no_region(guarded: Guarded) -> None:
    """Neither as unverified nor, once verified, as verified."""
    otp = guarded.guarded(rule=only(short_floor=1))
    guarded.fill(otp, 1)
    phones = [guarded.phone() for _ in range(4)]
    assert [guarded.send(otp, phone, captcha=f"ok{i}") for i, phone in enumerate(phones)] == ["sent"] * 4
    assert guarded.count(otp, "region", "CN") == (1, 0)
    guarded.verify(otp, phones[0])
    assert guarded.count(otp, "region", "CN") == (1, 0)
    assert guarded.count(otp, "range", phones[0]) == (0, 1)


def test_region_is_never_refused(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(short_floor=1, day_floor=1))
    guarded.fill(otp, 1)
    for number in range(40):
        assert guarded.send(otp, guarded.phone(), captcha=f"ok{number}") == "sent"
    assert guarded.send(otp, guarded.phone()) == ASKED


def test_total_counts_the_regions_in_use(fast: Guarded) -> None:
    pytest.importorskip("phonenumbers")
    policy = Policy(regions={"CN", "HK", "GB"}, ip_sends=None, sends="32/day")
    otp = fast.guarded(policy, rule=only(short_floor=3))
    fast.send(otp, "+85251234567")
    assert fast.look(otp, "total").regions == 1
    fast.fill(otp, 3)
    assert fast.look(otp, "total").regions == 2
    assert outcome(otp.issue, fast.phone()).reasons == ("region",)
    assert fast.send(otp, "+85251234568") == "sent"
    assert fast.send(otp, "+85251234569") == "sent"
    assert outcome(otp.issue, "+447400123456").reasons == ("total",)


def test_share_is_learned_from_closed_days(fast: Guarded) -> None:
    """0.28 in the first week; then the median, each day at most 1.1 times the day before."""
    otp = fast.guarded(rule=WIDE)
    fast.advance(HOUR)  # A day is closed 15 minutes after its end.
    shares = []
    for _ in range(9):
        phones = fast.fill(otp, 10)
        for phone in phones[:8]:
            fast.verify(otp, phone)
        fast.advance(DAY)
        shares.append(fast.look(otp, "region", "CN").share)
    assert shares[:6] == [2800] * 6
    assert shares[6:] == [2500] * 3
    for _ in range(9):
        fast.fill(otp, 10)
        fast.advance(DAY)
    share = fast.look(otp, "region", "CN").share
    assert 2500 < share <= 2500 * 1.1**9
    assert fast.look(otp, "region", "CN").days == 14


# Guesses


def test_guesses_ask_and_leave_two_attempts(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(guesses_floor=3), fallback="allow")
    phones = guarded.fill(otp, 3)
    for phone in phones:
        code = next(message.code for message in guarded.outbox if message.phone == phone)
        for step in (1, 2):
            outcome(otp.verify, phone, wrong(code, step))
    assert guarded.look(otp, "region", "CN").guesses == 3
    assert outcome(otp.issue, guarded.phone()).reasons == ("guesses",)
    assert otp.issue(guarded.phone(), captcha="ok").attempts_left == 5
    guarded.captcha.is_silent = True
    assert otp.issue(guarded.phone(), captcha="ok2").attempts_left == 2
    asked = outcome(otp.issue, guarded.phone(), known=True)
    assert isinstance(asked, CaptchaRequiredError)
    assert otp.issue(guarded.phone(), captcha="ok3", known=True).attempts_left == 5
    guarded.verify(otp, phones[0])
    assert guarded.look(otp, "region", "CN").guesses == 2
    assert guarded.send(otp, guarded.phone()) == "sent"


def test_two_attempts_are_two(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(guesses_floor=0), fallback="allow")
    guarded.captcha.is_silent = True
    phone = guarded.phone()
    assert otp.issue(phone, captcha="ok").attempts_left == 2
    code = guarded.outbox[-1].code
    assert outcome(otp.verify, phone, wrong(code)).attempts_left == 1
    assert outcome(otp.verify, phone, wrong(code)).attempts_left == 0
    assert isinstance(outcome(otp.verify, phone, code), ExpiredCodeError)


# Exemptions


def test_known_number_is_asked_where_others_are_refused(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(range_floor=1))
    guarded.fill(otp, 1, block=1)
    guarded.fill(otp, 2, block=1, captcha="ok")
    assert guarded.send(otp, guarded.phone(1), captcha="ok1") == "range"
    assert guarded.send(otp, guarded.phone(1), known=True) == ASKED
    assert guarded.send(otp, guarded.phone(1), known=True, captcha="ok1") == "sent"


@pytest.mark.parametrize("safe", [{"safe_phones": ["138 0001 9999"]}, {"safe_networks": ["198.51.100.0/24"]}])
def test_safe_send_is_neither_judged_nor_counted(guarded: Guarded, safe: dict[str, Any]) -> None:
    rule = Rule(range_floor=1, address_floor=1, network_floor=1, short_floor=0, day_floor=0)
    otp = guarded.guarded(rule=rule, **safe)
    assert guarded.send(otp, "+8613800019999", ip=ADDRESS) == "sent"
    assert guarded.count(otp, "range", "+8613800019999") == (0, 0)
    assert guarded.count(otp, "region", "CN") == (0, 0)
    assert guarded.send(otp, guarded.phone(1), ip="203.0.113.1") == ASKED


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("10.0.0.0/8", "10.1.2.3"),
        ("192.168.0.0/16", "192.168.7.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("fd00::/8", "fd12::1"),
        ("10.0.0.0/8", "::ffff:10.1.2.3"),
        ("::ffff:10.0.0.0/104", "10.1.2.3"),
        ("2001:db8::7", "2001:db8::7"),
        ("64:ff9b::203.0.113.0/120", "203.0.113.9"),
        ("203.0.113.0/24", "64:ff9b::203.0.113.9"),
    ],
)
def test_visitor_from_a_safe_network_is_safe(guarded: Guarded, network: str, address: str) -> None:
    """Also from a private one, whose addresses are not counted, and from one IPv6 address of a /64."""
    otp = guarded.guarded(rule=only(short_floor=0, day_floor=0), safe_networks=[network])
    assert guarded.send(otp, guarded.phone(), ip=address) == "sent"
    assert guarded.send(otp, guarded.phone(), ip="8.8.8.8") == ASKED
    if address == "2001:db8::7":
        assert guarded.send(otp, guarded.phone(), ip="2001:db8::8") == ASKED


def test_valid_device_is_exempt_from_region_with_few_unverified(guarded: Guarded) -> None:
    """The sends before its verification do not count."""
    phone, unguarded = guarded.phone(), guarded.heard(policy=FREE)
    otp = guarded.guarded(rule=only(short_floor=0, day_floor=0))
    assert guarded.send(unguarded, phone) == "sent"
    device = unguarded.verify(phone, guarded.outbox[-1].code).device
    guarded.advance(1)
    for _ in range(4):
        assert guarded.send(otp, phone, device=device) == "sent"
    assert guarded.send(otp, phone, device=device) == ASKED
    assert guarded.send(otp, phone) == ASKED
    assert guarded.count(otp, "region", "CN") == (0, 0)


# What is counted


def test_refused_attempt_adds_nothing(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(range_floor=1))
    phones = guarded.fill(otp, 1, block=1)
    before = guarded.count(otp, "range", phones[0])
    kept = [key for key in guarded.stored() if not key.endswith((":notes", ":since"))]
    for _ in range(5):
        assert guarded.send(otp, guarded.phone(1)) == ASKED
    assert guarded.count(otp, "range", phones[0]) == before
    assert [key for key in guarded.stored() if not key.endswith((":notes", ":since"))] == kept


@pytest.mark.parametrize("category", ["number", "account", "rate_limit"])
def test_rejection_takes_back_once(guarded: Guarded, category: Any) -> None:
    from otpkit import GatewayRejectedError

    otp = guarded.guarded(rule=WIDE)
    phone = guarded.phone(1)
    guarded.fill(otp, 1, block=1)
    guarded.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", category=category))
    assert guarded.send(otp, phone, ip=ADDRESS) != "sent"
    assert guarded.count(otp, "range", phone) == (1, 0)
    assert guarded.count(otp, "region", "CN") == (1, 0)
    assert guarded.count(otp, "ip", ADDRESS) == (0, 0)


def test_uncertain_send_counts(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=WIDE)
    guarded.outbox.lose_next()
    phone = guarded.phone(1)
    guarded.send(otp, phone)
    assert guarded.count(otp, "range", phone) == (1, 0)


def test_uncertain_send_of_an_open_gateway_does_not_count(guarded: Guarded) -> None:
    from otpkit.gateways import Failover

    def dead(message: Any) -> None:
        raise TimeoutError

    def other(message: Any) -> None:
        raise TimeoutError

    otp = guarded.heard(policy=FREE, guard=guarded.guard(rule=WIDE), gateway=Failover([dead, other], rest_after=2))
    phones = [guarded.phone(1) for _ in range(8)]
    for phone in phones:
        assert otp.issue(phone).delivery == "uncertain"
    # Each gateway's circuit opens after two failures; from then on nothing more is counted.
    assert guarded.count(otp, "range", phones[0]) == (4, 0)
    assert guarded.count(otp, "region", "CN") == (4, 0)


def test_fixed_code_counts_neither_way(guarded: Guarded) -> None:
    from otpkit import FixedCode

    fixed = FixedCode("13800013333", "123456", guarded.at(DAY), {"signup"})
    otp = guarded.heard(policy=FREE, guard=guarded.guard(rule=only(range_floor=1)), fixed_codes=[fixed])
    otp.issue("13800013333")
    assert guarded.count(otp, "range", "13800013333") == (0, 0)
    otp.verify("13800013333", "123456")
    assert guarded.count(otp, "range", "13800013333") == (0, 0)


def test_counted_at_the_start_of_the_challenge(guarded: Guarded) -> None:
    """A resend in the next window leaves with the first send."""
    otp = guarded.guarded(rule=WIDE)
    guarded.advance(6 * HOUR - guarded.clock.now % (6 * HOUR) - 30)
    phone = guarded.phone(1)
    guarded.send(otp, phone)
    guarded.advance(60)
    guarded.send(otp, phone)
    assert guarded.count(otp, "range", phone) == (2, 0)
    guarded.advance(18 * HOUR)
    # On a cluster, the range counts the send before the phone's own node says when its challenge began.
    assert guarded.count(otp, "range", phone) == (int(otp._config.clustered), 0)


# Modes


def test_observe_reports_and_refuses_nothing(guarded: Guarded) -> None:
    otp = guarded.guarded(mode="observe", rule=only(range_floor=1))
    guarded.fill(otp, 5, block=1)
    told = guarded.told("guard")
    assert [(event.outcome, event.detail) for event in told] == [("observed", "range")] * 4
    assert told[-1].reasons == ("range", "refused")


def test_report_says_since_when_a_guard_observes(guarded: Guarded) -> None:
    """Weeks later too, and without decisions; a guard that enforces ends it."""
    observer, enforcer = guarded.guarded(mode="observe", rule=only(range_floor=1)), guarded.guarded(rule=WIDE)
    began = guarded.at(0)
    assert observer.guard_report().observing_since == began
    guarded.advance(20 * DAY)
    guarded.fill(observer, 3, block=1)
    assert observer.guard_report().observing_since == began
    assert enforcer.guard_report().observing_since is None
    guarded.advance(DAY)
    off = guarded.guarded(mode="off")
    assert off.guard_report().observing_since is None
    assert observer.guard_report().observing_since == guarded.at(0)


def test_off_counts_nothing_and_takes_back(guarded: Guarded) -> None:
    otp, off = guarded.guarded(rule=WIDE), guarded.guarded(mode="off", rule=WIDE)
    phones = guarded.fill(otp, 2, block=1)
    guarded.fill(off, 3, block=1)
    assert guarded.count(otp, "range", phones[0]) == (2, 0)
    guarded.verify(off, phones[0])
    assert guarded.count(otp, "range", phones[0]) == (1, 1)


def test_ask_always_asks_everybody(guarded: Guarded) -> None:
    otp = guarded.guarded(ask="always")
    asked = outcome(otp.issue, guarded.phone())
    assert asked.reasons == ("always",)
    assert guarded.send(otp, guarded.phone(), captcha="ok") == "sent"


def test_without_a_guard_nothing_is_kept(guarded: Guarded) -> None:
    otp = guarded.otp(policy=FREE)
    guarded.fill(otp, 2, ip=ADDRESS)
    assert [key for key in guarded.stored() if not key.endswith(":p")] == []
    assert "u" not in guarded.kinds()


# Operators


def test_allow_outranks_a_refusal(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(range_floor=1))
    guarded.fill(otp, 1, block=1)
    phone = guarded.phone(1)
    assert guarded.send(otp, phone) == ASKED
    otp.guard_allow("range", phone, seconds=3600)
    guarded.fill(otp, 5, block=1)
    guarded.advance(3600)
    assert guarded.send(otp, guarded.phone(1), captcha="ok") == "sent"
    assert guarded.send(otp, guarded.phone(1), captcha="ok1") == "range"


@pytest.mark.parametrize("scope", ["range", "ip", "net", "region"])
def test_block_outranks_known_and_safe(guarded: Guarded, scope: str) -> None:
    phone = guarded.phone(1)
    otp = guarded.guarded(rule=WIDE, safe_phones=[phone])
    subject = {"range": phone, "region": "CN"}.get(scope, ADDRESS)
    otp.guard_block(scope, subject, seconds=600)
    refused = outcome(otp.issue, phone, ip=ADDRESS, known=True, captcha="ok")
    assert isinstance(refused, RateLimitError)
    assert (refused.scope, refused.retry_after) == ({"ip": "guard_ip", "net": "guard_ip"}.get(scope, scope), 600)
    otp.guard_clear(scope, subject)
    assert guarded.send(otp, phone, ip=ADDRESS) == "sent"
    outcomes = [event.outcome for event in guarded.told("guard") if event.operation.startswith("guard_")]
    assert outcomes == ["blocked", "cleared"]


def test_report_says_who_is_over_and_why(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(range_floor=2))
    phones = guarded.fill(otp, 2, block=1)
    for _ in range(3):
        guarded.send(otp, guarded.phone(1))
    report = otp.guard_report()
    found = {each.scope: each for each in report.scopes}
    assert (found["range"].captcha, found["range"].over) == (3, 1)
    (subject,) = found["range"].subjects
    assert (subject.unverified, subject.verified, subject.allowance, subject.decisions) == (2, 0, 2.0, 3)
    assert "138" not in subject.name
    (alone,) = otp.guard_report(phone=phones[0]).scopes[0].subjects
    assert alone.name == subject.name
    guarded.advance(2 * DAY)
    assert otp.guard_report(hours=24).scopes[0].captcha == 0


# The order


def test_limits_of_the_phone_come_first(guarded: Guarded) -> None:
    """And a captcha's answer is not used up by them."""
    otp = guarded.guarded(Policy(ip_sends=None), rule=only(range_floor=1))
    phones = guarded.fill(otp, 1, block=1)
    assert guarded.send(otp, phones[0], captcha="ok") == "phone"
    assert guarded.send(otp, guarded.phone(1), captcha="ok") == "sent"


def test_idempotent_replay_comes_first(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(range_floor=1))
    guarded.fill(otp, 1, block=1)
    phone = guarded.phone(1)
    first = otp.issue(phone, captcha="ok", idempotency_key="form")
    again = otp.issue(phone, captcha="ok", idempotency_key="form")
    assert (again.replayed, again.id) == (True, first.id)


def test_keys_have_a_life_and_are_short(guarded: Guarded) -> None:
    otp = guarded.guarded(rule=only(range_floor=1))
    phones = guarded.fill(otp, 1, block=1, ip=ADDRESS)
    guarded.send(otp, guarded.phone(1), ip=ADDRESS)
    guarded.verify(otp, phones[0], ip=ADDRESS)
    lives = {key: guarded.server.pttl(key) for key in guarded.stored()}
    assert all(0 < life <= 21 * DAY * 1000 for life in lives.values())
    narrow = [key for key in lives if key.endswith(":u")]
    assert len(narrow) == 3
    assert all(DAY * 1000 <= lives[key] <= 2 * DAY * 1000 for key in narrow)
    assert all(len(guarded.server.get(key)) == 32 for key in narrow)
