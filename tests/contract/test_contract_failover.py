"""Several gateways: failover after a rejection, a pause for a failing gateway, routes by region, and voice calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from support.rig import PHONE, Rig, whole

from otpkit import (
    ConfigurationError,
    FixedCode,
    GatewayRejectedError,
    MalformedCodeError,
    RateLimitError,
    RegionError,
    Template,
)
from otpkit.gateways import Failover, Message, Route
from otpkit.testing import Outbox

MENDABLE = ["account", "configuration", "connection", "quota", "request"]
OFTEN = whole(sends="32/day", ttl=600, max_age=600)
HONG_KONG = "+85251234567"


class TwoWords(Outbox):
    """A gateway whose name is ambiguous in front of the words that follow it."""

    name = "two words"


class Phonebox(Outbox):
    """A gateway that only makes calls."""

    name = "phonebox"
    channels = frozenset({"voice"})


def refusal(category: str, **evidence: Any) -> GatewayRejectedError:
    return GatewayRejectedError("no", gateway="outbox", category=category, **evidence)  # type: ignore[arg-type]


@pytest.fixture
def spare() -> Outbox:
    return Outbox()


@pytest.fixture
def both(rig: Rig, spare: Outbox) -> Any:
    """Return an OTP that uses `rig.outbox` first, then `spare`."""
    return rig.otp(gateway=Failover([rig.outbox, spare]), policy=OFTEN)


@pytest.mark.parametrize("category", MENDABLE)
def test_the_next_gateway_is_tried_after_a_retryable_rejection(
    rig: Rig, both: Any, spare: Outbox, category: str
) -> None:
    """The challenge and `status` name the gateway that sent, and the code is the one in the message."""
    rig.outbox.reject_next(refusal(category))
    challenge = both.issue(PHONE)
    assert (challenge.delivery, challenge.gateway, challenge.sends_left) == ("accepted", "outbox-2", 31)
    assert (len(rig.outbox), len(spare)) == (0, 1)
    assert both.status(PHONE).gateway == "outbox-2"
    assert both.verify(PHONE, spare[-1].code).phone == PHONE


def test_no_other_is_tried_for_a_bad_number(rig: Rig, both: Any, spare: Outbox) -> None:
    """The number is invalid for every gateway."""
    rig.outbox.reject_next(error := refusal("number"))
    with pytest.raises(GatewayRejectedError) as raised:
        both.issue(PHONE)
    assert raised.value is error
    assert len(spare) == 0


def test_a_gateways_own_limit_is_not_got_round(rig: Rig, both: Any, spare: Outbox) -> None:
    """Another gateway would bypass the carriers' protection of a number."""
    rig.outbox.reject_next(refusal("rate_limit"))
    with pytest.raises(RateLimitError) as raised:
        both.issue(PHONE)
    assert raised.value.scope == "gateway"
    assert len(spare) == 0


def test_where_all_reject_nothing_is_left_behind(rig: Rig, both: Any, spare: Outbox) -> None:
    """The last rejection is raised, and all limits are refunded."""
    rig.outbox.reject_next(refusal("account"))
    spare.reject_next(last := refusal("quota", gateway_code="isv.DAY_LIMIT_CONTROL"))
    with pytest.raises(GatewayRejectedError) as raised:
        both.issue(PHONE)
    assert raised.value is last
    assert both.status(PHONE) is None
    assert both.issue(PHONE).sends_left == 31


def test_an_uncertain_send_stays_where_it_is(rig: Rig, both: Any, spare: Outbox) -> None:
    """The message may arrive, so no second one is sent."""
    rig.outbox.lose_next()
    challenge = both.issue(PHONE)
    assert (challenge.delivery, challenge.gateway, len(spare)) == ("uncertain", "outbox", 0)


@pytest.mark.parametrize(
    ("second", "outcome", "gateway"), [("accepts", "accepted", "outbox-2"), ("rejects", "uncertain", "outbox")]
)
def test_the_next_one_gets_the_same_code_after_an_uncertain_send_where_that_is_asked_for(
    rig: Rig, spare: Outbox, second: str, outcome: str, gateway: str
) -> None:
    """The option permits a second message.

    A later rejection does not change the outcome: the first message may arrive.
    """
    otp = rig.otp(gateway=Failover([rig.outbox, spare], on_uncertain="next"), policy=OFTEN)
    otp.issue(PHONE)
    rig.outbox.lose_next()
    if second == "rejects":
        spare.reject_next(refusal("number"))
    challenge = otp.issue(PHONE)
    assert (challenge.delivery, challenge.gateway) == (outcome, gateway)
    assert [message.code for message in spare] == [rig.outbox[0].code] * (second == "accepts")
    assert otp.verify(PHONE, rig.outbox[0].code)


def test_where_all_are_uncertain_the_first_is_the_one_that_may_have_served(rig: Rig, spare: Outbox) -> None:
    """Delivery queries go to the first gateway."""
    otp = rig.otp(gateway=Failover([rig.outbox, spare], on_uncertain="next"), policy=OFTEN)
    rig.outbox.lose_next()
    spare.lose_next()
    challenge = otp.issue(PHONE)
    assert (challenge.delivery, challenge.gateway) == ("uncertain", "outbox")


def test_the_gateway_of_a_send_is_forgotten_with_it(rig: Rig, both: Any) -> None:
    """The next send after a day removes the entry."""
    both.issue(PHONE)
    rig.advance(2 * 86_400)
    both.issue(PHONE)
    (key,) = rig.stored(":p")
    assert sorted(chr(name[0]) for name in rig.server.hkeys(key)) == ["c", "g", "s"]


def test_one_that_keeps_failing_rests_in_all_processes(rig: Rig, both: Any, spare: Outbox) -> None:
    """Three failures in a row pause a gateway for a minute.

    Then it is tried again, and one success resets the count.
    """
    for number in range(3):
        rig.outbox.reject_next(refusal("account"))
        assert both.issue(f"+861380000000{number}").gateway == "outbox-2"
    elsewhere = rig.otp(gateway=Failover([rig.outbox, spare]), policy=OFTEN)
    assert elsewhere.issue(PHONE).gateway == "outbox-2"
    rig.advance(60)
    rig.outbox.reject_next(refusal("account"))
    assert elsewhere.issue(PHONE).gateway == "outbox-2"
    assert both.issue(PHONE).gateway == "outbox-2"  # The trial failed, so it is paused again.
    rig.advance(60)
    for _ in range(2):
        assert both.issue(PHONE).gateway == "outbox"
    rig.outbox.reject_next(refusal("account"))
    both.issue(PHONE)
    assert both.issue(PHONE).gateway == "outbox"


@pytest.mark.parametrize("category", ["number", "rate_limit", "configuration", "request"])
def test_what_concerns_one_message_sends_no_gateway_to_rest(rig: Rig, both: Any, spare: Outbox, category: str) -> None:
    """A stranger can repeat errors about a number, a region, a template or a text.

    They do not concern other messages.
    """
    for number in range(3):
        rig.outbox.reject_next(refusal(category))
        with suppress(GatewayRejectedError, RateLimitError):
            both.issue(f"+861380000000{number}")
    assert both.issue(PHONE).gateway == "outbox"


@pytest.mark.parametrize(
    ("category", "concerns", "served_by"),
    [
        *(("account", None, "outbox-2"), ("quota", None, "outbox-2"), ("connection", None, "outbox-2")),
        *(("account", "message", "outbox"), ("quota", "message", "outbox"), ("connection", "message", "outbox")),
        *(("configuration", "gateway", "outbox-2"), ("request", "gateway", "outbox-2")),
    ],
)
def test_what_a_rejection_concerns_decides_whether_it_counts(
    rig: Rig, both: Any, category: str, concerns: str | None, served_by: str
) -> None:
    for number in range(3):
        rig.outbox.reject_next(refusal(category, concerns=concerns))
        assert both.issue(f"+861380000000{number}").gateway == "outbox-2"
    assert both.issue(PHONE).gateway == served_by


@pytest.mark.parametrize("category", ["number", "rate_limit"])
def test_an_answer_about_a_phone_breaks_a_row_of_failures(rig: Rig, both: Any, category: str) -> None:
    """The gateway works: its answer was about a phone."""
    for number, each in enumerate(["account", "account", category, "account", "account"]):
        rig.outbox.reject_next(refusal(each))
        with suppress(GatewayRejectedError, RateLimitError):
            both.issue(f"+861380000000{number}")
    assert both.issue(PHONE).gateway == "outbox"


def test_what_concerns_one_message_breaks_no_row_of_failures(rig: Rig, both: Any) -> None:
    """Such a rejection may happen before any request to the gateway."""
    for number, each in enumerate(["account", "account", "configuration", "account"]):
        rig.outbox.reject_next(refusal(each))
        both.issue(f"+861380000000{number}")
    assert both.issue(PHONE).gateway == "outbox-2"


def test_a_gateway_that_rests_serves_where_no_other_does(rig: Rig, spare: Outbox) -> None:
    """The pause changes only the order of the gateways."""
    otp = rig.otp(gateway=Failover([rig.outbox, spare], rest_after=1), policy=OFTEN)
    rig.outbox.reject_next(refusal("account"))
    otp.issue(PHONE)
    spare.reject_next(refusal("account"))
    assert otp.issue(PHONE).gateway == "outbox"


def test_events_name_the_gateways_that_failed_and_served(rig: Rig, spare: Outbox) -> None:
    """The events contain the gateway's code."""
    otp = rig.heard(gateway=Failover([rig.outbox, spare]), policy=OFTEN)
    rig.outbox.reject_next(refusal("account", gateway_code="isv.OUT_OF_SERVICE"))
    otp.issue(PHONE)
    assert [(event.name, event.outcome, event.detail) for event in rig.events] == [
        ("gateway_failed", "account", "outbox isv.OUT_OF_SERVICE"),
        ("issued", "accepted", "outbox-2"),
    ]


def test_each_gateway_may_have_templates_and_a_name_of_its_own(rig: Rig, spare: Outbox) -> None:
    """A template that one provider approved is not valid at another."""
    other = Route(spare, template={"signup": Template("T-2", "spare", {"1": "{code}"})}, name="second")
    otp = rig.otp(gateway=Failover([rig.outbox, other]), policy=OFTEN)
    rig.outbox.reject_next(refusal("account"))
    assert otp.issue(PHONE).gateway == "second"
    assert (spare[-1].template.code, dict(spare[-1].params)) == ("T-2", {"1": spare[-1].code})
    with pytest.raises(ConfigurationError, match="login"):
        otp.issue(PHONE, "login")


def test_a_region_has_gateways_of_its_own(rig: Rig, spare: Outbox) -> None:
    """`*` stands for all other regions."""
    policy = whole(regions={"CN", "HK"})
    otp = rig.otp(gateway={"CN": rig.outbox, "*": Route(spare, name="abroad")}, policy=policy)
    assert otp.issue(PHONE).gateway == "outbox"
    assert otp.issue(HONG_KONG).gateway == "abroad"
    assert (rig.outbox[-1].phone, spare[-1].phone) == (PHONE, HONG_KONG)
    with pytest.raises(RegionError):
        otp.issue("+12015550123")


def test_voice_speaks_the_live_code_within_the_same_limits(rig: Rig) -> None:
    """The call has the same challenge, code and life as the message. A gateway without voice is skipped."""
    calls = Phonebox()
    otp = rig.otp(gateway=Failover([rig.outbox, calls]))
    first = otp.issue(PHONE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, channel="voice")
    rig.advance(refused.value.retry_after)
    second = otp.issue(PHONE, channel="voice")
    assert (second.id, second.gateway, second.sends_left) == (first.id, "phonebox", 8)
    assert (calls[-1].code, calls[-1].channel) == (rig.outbox[-1].code, "voice")
    assert rig.outbox[-1].channel == "sms"
    assert otp.verify(PHONE, calls[-1].code)


def test_a_call_can_be_the_last_resort_of_a_message(rig: Rig) -> None:
    """A list with text gateways first and a voice gateway last is used in this order."""
    otp = rig.otp(gateway=Failover([rig.outbox, calls := Phonebox()]))
    rig.outbox.reject_next(refusal("account"))
    assert otp.issue(PHONE).gateway == "phonebox"
    assert calls[-1].channel == "voice"


def test_voice_without_a_gateway_that_calls_is_a_configuration_error(rig: Rig, otp: Any) -> None:
    """The error comes before anything is reserved. An unknown channel is a configuration error too."""
    for channel, said in (("voice", "AliyunVoice"), ("fax", "channel")):
        with pytest.raises(ConfigurationError, match=said):
            otp.issue(PHONE, channel=channel)
    assert otp.issue(PHONE).sends_left == 9


def test_no_gateway_sends_a_fixed_code(rig: Rig, spare: Outbox) -> None:
    """No gateway is called, for any configuration."""
    fixed = FixedCode(PHONE, code="135790", until=rig.at() + timedelta(days=1), purposes={"signup"})
    otp = rig.otp(gateway=Failover([rig.outbox, spare]), fixed_codes=[fixed])
    assert otp.issue(PHONE).gateway == "fixed"
    assert otp.status(PHONE).gateway == "fixed"
    assert otp.delivery(PHONE).state == "unknown"
    assert (len(rig.outbox), len(spare)) == (0, 0)


def test_gateways_at_once_send_one_message(rig: Rig, both: Any, spare: Outbox) -> None:
    """Fifty concurrent clicks send one message, also when the first gateway is down."""
    otp = rig.otp(gateway=Failover([rig.outbox, spare]))
    for _ in range(50):
        rig.outbox.reject_next(refusal("account"))

    def once(_: int) -> object:
        try:
            return otp.issue(PHONE).gateway
        except RateLimitError as error:
            return error.scope

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(once, range(50)))
    assert sorted(map(str, outcomes)) == ["outbox-2", *["phone"] * 49]
    assert len(spare) == 1


WRONG: dict[str, Any] = {
    "one gateway": lambda: Failover([Outbox()]),
    "no list": lambda: Failover(Outbox()),
    "one twice": lambda: Failover([same := Outbox(), same]),
    "nine": lambda: Failover([Outbox() for _ in range(9)]),
    "on_uncertain": lambda: Failover([Outbox(), Outbox()], on_uncertain="again"),  # type: ignore[arg-type]
    "rest": lambda: Failover([Outbox(), Outbox()], rest=0),
    "rest_after": lambda: Failover([Outbox(), Outbox()], rest_after=0),
    "undelivered_after": lambda: Failover([Outbox(), Outbox()], undelivered_after=-1),
    "name": lambda: Route(Outbox(), name="Two Words"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_failover_that_can_not_be_is_an_error_when_it_is_built(wrong: str) -> None:
    """The error names the field."""
    with pytest.raises(ConfigurationError):
        WRONG[wrong]()


CHOICES: dict[str, Any] = {
    "a gateway that is none": lambda: Failover([Outbox(), 7]),  # type: ignore[list-item]
    "a class": lambda: Failover([Outbox, Outbox()]),  # type: ignore[list-item]
    "a region that is not allowed": lambda: {"CN": Outbox(), "US": Outbox()},
    "a region without a gateway": lambda: {"HK": Outbox()},
    "no region": dict,
    "a name that can not be kept": TwoWords,
    "a template that is none": lambda: Route(Outbox(), template="SMS_1"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("choice", CHOICES)
def test_gateways_that_can_not_be_are_an_error_when_the_otp_is_built(rig: Rig, choice: str) -> None:
    """The error comes when the OTP is built, not when the first message is sent."""
    with pytest.raises(ConfigurationError):
        rig.otp(gateway=CHOICES[choice](), policy=whole(regions={"CN", "HK"}))


def test_a_route_names_a_gateway_whose_own_name_will_not_do(rig: Rig) -> None:
    """The route keeps its own name for the gateway."""
    otp = rig.otp(gateway=Failover([Route(TwoWords(), name="words"), rig.outbox]))
    assert otp.issue(PHONE).gateway == otp.delivery(PHONE).gateway == "words"


def test_a_gateway_refuses_a_template_that_it_can_not_send_when_the_otp_is_built(rig: Rig) -> None:
    """The gateway's own template and each purpose's template are checked."""

    class Picky(Outbox):
        def check(self, template: Template) -> None:
            if template.body is None:
                raise ConfigurationError("Template.body is missing.")

    spoken = Template("T-2", "otpkit", body="code ${code}")
    rig.otp(gateway=Failover([rig.outbox, Route(Picky(), template=spoken)]))
    for gateway in (Picky(), Failover([rig.outbox, Picky()]), {"CN": Picky()}):
        with pytest.raises(ConfigurationError, match="body"):
            rig.otp(gateway=gateway)
        with pytest.raises(ConfigurationError, match="body"):
            rig.otp(gateway=gateway, template={"signup": spoken, "login": Template("T-3", "otpkit")})


def test_its_repr_shows_no_arguments(spare: Outbox) -> None:
    """The arguments of a `partial` may contain a secret."""
    assert "a secret" not in repr(Failover([partial(print, "a secret"), spare]))


def test_a_function_may_be_one_of_several(rig: Rig) -> None:
    """Any error that is not a rejection makes the send uncertain."""
    sent: list[Message] = []

    def broken(message: Message) -> None:
        sent.append(message)
        raise RuntimeError(message.code)

    otp = rig.otp(gateway=Failover([broken, rig.outbox], on_uncertain="next"))
    assert otp.issue(PHONE).gateway == "outbox"
    assert sent[-1].code == rig.outbox[-1].code


def test_a_function_may_raise_what_ends_generators(rig: Rig) -> None:
    """`next()` on an empty list raises StopIteration.

    It makes the send uncertain like other errors, and no caller hangs.
    """

    def exhausted(message: Message) -> object:
        return next(iter([]))

    assert rig.otp(gateway=exhausted).issue(PHONE).delivery == "uncertain"


@pytest.fixture
def overdue(rig: Rig, spare: Outbox) -> Any:
    """Return an OTP that counts messages as overdue after 20 s."""
    return rig.otp(gateway=Failover([rig.outbox, spare], undelivered_after=20), policy=OFTEN)


def test_resend_uses_next_gateway_after_undelivered_send(rig: Rig, overdue: Any, spare: Outbox) -> None:
    """Each resend after 20 s without a receipt goes to the other gateway. The code stays the same."""
    assert overdue.issue(PHONE).gateway == "outbox"
    rig.advance(19)
    assert overdue.issue(PHONE).gateway == "outbox"
    rig.advance(20)
    assert overdue.issue(PHONE).gateway == "outbox-2"
    rig.advance(20)
    assert overdue.issue(PHONE).gateway == "outbox"
    assert len({message.code for message in [*rig.outbox, *spare]}) == 1


def test_what_was_delivered_is_not_overdue(rig: Rig, overdue: Any, spare: Outbox) -> None:
    """Another challenge of the same phone is not overdue either. A failed message is overdue at once."""
    overdue.issue(PHONE)
    assert overdue.delivery(PHONE).state == "delivered"
    rig.advance(30)
    assert overdue.issue(PHONE).gateway == "outbox"
    rig.advance(30)
    assert overdue.issue(PHONE, "login").gateway == "outbox"
    rig.outbox.delivery = "failed"
    assert overdue.delivery(PHONE, "login").state == "failed"
    assert overdue.issue(PHONE, "login").gateway == "outbox-2"
    with pytest.raises(MalformedCodeError):
        overdue.verify(PHONE, "")
