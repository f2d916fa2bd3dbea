"""Send: a message with a code that another system keeps, within the limits of `issue`, and without a challenge."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, VISITOR, Killed, Rig, whole, wrong

from otpkit import (
    BlockedError,
    Budget,
    CaptchaRequiredError,
    ConfigurationError,
    ExpiredCodeError,
    FixedCode,
    GatewayRejectedError,
    Guard,
    RateLimitError,
    Sent,
    Template,
    WrongCodeError,
)
from otpkit.gateways import Failover
from otpkit.guard.rule import Rule
from otpkit.testing import Outbox

CODE = "4711"
ROOMY = whole(sends="32/day")


def test_a_given_code_is_sent_and_can_not_be_verified(rig: Rig, otp: Any) -> None:
    """The result says what became of the message. Its id is that of the gateway's message."""
    sent = otp.send("138 0013 8000", "signup", CODE)
    (message,) = rig.outbox
    assert (message.phone, message.code, message.params["code"]) == (PHONE, CODE, CODE)
    assert sent == Sent(
        id=message.send_id,
        phone=PHONE,
        purpose="signup",
        delivery="accepted",
        gateway="outbox",
        resend_at=rig.at(60),
        resend_in=60,
        sends_left=9,
    )
    assert otp.status(PHONE) is None
    for code in ("004711", "000000"):
        with pytest.raises(ExpiredCodeError):
            otp.verify(PHONE, code)
    assert otp.standing(PHONE).failures_left == otp.standing(OTHER_PHONE).failures_left


def test_nothing_stored_depends_on_the_code(rig: Rig) -> None:
    """Two messages that differ in their code leave the same record behind."""
    otp = rig.otp(policy=ROOMY)
    records = []
    for code in ("123456", "654321"):
        otp.send(PHONE, "signup", code)
        (name,) = rig.stored(":p")
        fields = rig.server.hgetall(name)
        records.append({key: value for key, value in fields.items() if key[:1] == b"c"})
        assert not any(code.encode() in key + value for key, value in fields.items())
        otp.erase(PHONE)
    assert records[0] == records[1]


def test_a_live_code_of_issue_stays_as_it_is(rig: Rig) -> None:
    """Both count towards the phone's limits, in either order, and the code verifies."""
    otp = rig.otp(policy=whole(sends="3/day"))
    otp.send(PHONE, "signup", CODE)
    challenge = otp.issue(PHONE)
    code = rig.outbox[-1].code
    assert otp.send(PHONE, "signup", CODE).sends_left == 0
    assert otp.status(PHONE).id == challenge.id
    with pytest.raises(RateLimitError) as limited:
        otp.send(PHONE, "signup", CODE)
    assert (limited.value.scope, limited.value.challenge) == ("phone", None)
    assert otp.delivery(PHONE).gateway == "outbox"
    assert otp.verify(PHONE, code).phone == PHONE


def test_a_repeat_sends_nothing_and_returns_the_first_outcome(rig: Rig, otp: Any) -> None:
    """This holds for another code too. A key of `issue` is another one."""
    first = otp.send(PHONE, "signup", CODE, idempotency_key="a form")
    rig.advance(20)
    again = otp.send(PHONE, "signup", "815815", idempotency_key="a form")
    assert (again.id, again.delivery, again.replayed, again.resend_in) == (first.id, "accepted", True, 40)
    rig.advance(40)
    assert otp.issue(PHONE, idempotency_key="a form").replayed is False
    assert len(rig.outbox) == 2


def test_fifty_parallel_calls_with_one_key_send_one_message(rig: Rig) -> None:
    """Each of them has the id of the message."""
    otp = rig.otp(policy=ROOMY)
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(otp.send, PHONE, "signup", CODE, idempotency_key="one") for _ in range(50)]
    found = [call.result() for call in calls]
    assert {each.id for each in found} == {rig.outbox[0].send_id}
    assert sum(not each.replayed for each in found) == len(rig.outbox) == 1


def test_after_a_rejection_the_quota_and_the_key_are_free(rig: Rig, rejected: Any) -> None:
    """An uncertain message stays counted, and so does one to a number that can't be reached, as for `issue`."""
    otp = rig.otp(policy=whole(sends="2/day", ip_sends="2/day"))
    rejected("account")
    with pytest.raises(GatewayRejectedError):
        otp.send(PHONE, "signup", CODE, ip=VISITOR, idempotency_key="a form")
    assert rig.kinds() == {}
    rig.outbox.lose_next()
    sent = otp.send(PHONE, "signup", CODE, ip=VISITOR, idempotency_key="a form")
    assert (sent.delivery, sent.sends_left, sent.replayed) == ("uncertain", 1, False)
    rejected("number")
    with pytest.raises(GatewayRejectedError):
        otp.send(PHONE, "signup", CODE, ip=VISITOR)
    with pytest.raises(RateLimitError) as limited:
        otp.send(PHONE, "signup", CODE)
    assert limited.value.scope == "phone"
    with pytest.raises(RateLimitError) as limited:
        otp.send(OTHER_PHONE, "signup", CODE, ip=VISITOR)
    assert limited.value.scope == "ip"


def test_a_carrier_limit_is_a_limit(memory_rig: Rig) -> None:
    """It waits as `issue` does, and names no challenge, though one of `issue` is live."""
    otp = memory_rig.otp(policy=ROOMY)
    otp.issue(PHONE)
    memory_rig.outbox.reject_next(GatewayRejectedError("asked", gateway="outbox", category="rate_limit"))
    with pytest.raises(RateLimitError) as limited:
        otp.send(PHONE, "signup", CODE)
    assert (limited.value.scope, limited.value.retry_after, limited.value.challenge) == ("gateway", 60, None)


def test_a_second_message_goes_on_behind_the_silent_gateway(memory_rig: Rig) -> None:
    """The gateways' order follows the phone's latest message of the purpose, as for the same code of `issue`."""
    first, second = Outbox(), Outbox()
    otp = memory_rig.otp(gateway=Failover([first, second], undelivered_after=30), policy=ROOMY)
    otp.send(PHONE, "signup", CODE)
    memory_rig.advance(10)
    otp.send(PHONE, "signup", CODE)
    memory_rig.advance(31)
    assert otp.send(PHONE, "signup", "4712").gateway == "outbox-2"
    assert (len(first), [message.code for message in second]) == (2, ["4712"])


def test_the_budget_and_the_guard_hold_for_it(memory_rig: Rig) -> None:
    """A message whose code another system verifies counts as unverified."""
    otp = memory_rig.otp(
        policy=ROOMY,
        guard=Guard(mode="enforce", rule=Rule(range_floor=2)),
        budgets=[Budget("0.15 CNY/day", hourly=1, keep=0)],
        prices={"CN": "0.05 CNY"},
    )
    otp.send(PHONE, "signup", CODE)
    otp.send(PHONE, "signup", CODE)
    assert str(otp.spending()[0].left).startswith("0.05")
    with pytest.raises(CaptchaRequiredError):
        otp.send(PHONE, "signup", CODE)
    otp.send(OTHER_PHONE, "signup", CODE)
    with pytest.raises(RateLimitError) as limited:
        otp.send(OTHER_PHONE, "signup", CODE)
    assert (limited.value.scope, limited.value.challenge) == ("budget", None)


def test_events_and_figures_know_the_message(memory_rig: Rig) -> None:
    """A message is `sent`, a repeat `replayed`, an error `refused`. All have the purpose, and none has the code."""
    otp = memory_rig.heard()
    sent = otp.send(PHONE, "login", "c0de4711", ip=VISITOR, idempotency_key="a form")
    otp.send(PHONE, "login", "c0de4711", ip=VISITOR, idempotency_key="a form")
    with pytest.raises(RateLimitError):
        otp.send(PHONE, "login", "c0de4711", ip=VISITOR)
    found = [(each.name, each.operation, each.purpose, each.outcome) for each in memory_rig.events]
    assert found == [("replayed", "send", "login", "accepted"), ("refused", "send", "login", "rate_limit")]
    (event,) = memory_rig.sends
    assert (event.operation, event.outcome, event.operation_id) == ("send", "accepted", sent.id)
    assert memory_rig.events[0].operation_id == sent.id
    assert "c0de4711" not in repr((memory_rig.events, memory_rig.sends, sent))
    assert PHONE[3:-4] not in repr(sent)
    total = otp.stats(1).total
    assert (total.sent, total.relayed, total.limited) == (1, 1, {"phone": 1})


def test_conversion_and_its_cost_leave_out_what_another_system_verifies(rig: Rig) -> None:
    """Also a message that may have been sent."""
    silent, second = Outbox(), Outbox()
    otp = rig.otp(gateway=Failover([silent, second]), prices={"*": "1 CNY"}, policy=ROOMY)
    silent.lose_next()
    otp.send(PHONE, "login", CODE)
    silent.reject_next()
    otp.issue(OTHER_PHONE)
    otp.verify(OTHER_PHONE, second[-1].code)
    total = otp.stats(1).total
    assert (total.sent, total.relayed, total.uncertain) == (2, 1, 1)
    assert (total.cost, total.relayed_cost, total.cost_per_verified) == (Decimal(2), Decimal(1), Decimal(1))
    assert total.conversion == 1


def test_a_template_has_the_minutes_of_the_other_system(memory_rig: Rig) -> None:
    """Without them, they are those of the policy."""
    template = Template("T1", params={"code": "{code}", "min": "{minutes}"})
    otp = memory_rig.otp(template={"login": template}, policy=ROOMY)
    otp.send(PHONE, "login", CODE)
    otp.send(PHONE, "login", CODE, minutes=15)
    assert [message.params["min"] for message in memory_rig.outbox] == ["5", "15"]
    with pytest.raises(ConfigurationError, match="no template"):
        otp.send(PHONE, "signup", CODE)


def test_a_reviewers_fixed_code_does_not_stop_it(memory_rig: Rig) -> None:
    """The other system's code is sent to any phone."""
    fixed = FixedCode(PHONE, "135790", memory_rig.at(3600), {"signup"})
    otp = memory_rig.otp(fixed_codes=[fixed], budgets=[Budget("9 CNY/day")], prices={"CN": "1 CNY"})
    otp.send(PHONE, "signup", CODE)
    assert memory_rig.outbox[0].code == CODE
    assert otp.spending()[0].spent == 1


@pytest.mark.parametrize(
    "bad",
    [{"code": "123"}, {"code": "1" * 11}, {"code": "12 34"}, {"code": "１２３４"}, {"code": None}, {"minutes": 0}],
)
def test_a_code_is_a_short_text_of_digits_or_letters(memory_rig: Rig, bad: Any) -> None:
    """The error comes before anything is stored, and does not show the code."""
    otp = memory_rig.otp()
    with pytest.raises(ConfigurationError) as refused:
        otp.send(**({"phone": PHONE, "template": "signup", "code": CODE} | bad))
    assert str(bad.get("code")) not in str(refused.value)
    assert memory_rig.stored() == []


def test_a_message_that_dies_half_way_is_uncertain_and_expires(rig: Rig) -> None:
    """The key of the call still finds it, so that a retry sends nothing. All that is stored has a life."""

    def die(_: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        rig.otp(gateway=die).send(PHONE, "signup", CODE, idempotency_key="a form")
    rig.advance(90)
    again = rig.otp().send(PHONE, "signup", CODE, idempotency_key="a form")
    assert (again.delivery, again.replayed, len(rig.outbox)) == ("uncertain", True, 0)
    assert all(0 < life <= 86_430_000 for life in rig.lives().values())


def test_a_block_holds_for_it(memory_rig: Rig) -> None:
    """Wrong codes of `issue` refuse messages to the phone, as those of `issue`."""
    otp = memory_rig.otp(policy=whole(max_consecutive_failures=1))
    otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(memory_rig.outbox[0].code))
    with pytest.raises(BlockedError):
        otp.send(PHONE, "signup", CODE)
