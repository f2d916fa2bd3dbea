"""Receipts, pushed or queried, are stored with the challenge and reported as events. Strangers can change nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, Rig

from otpkit import ConfigurationError, StoreUnavailableError
from otpkit.gateways import Delivery, Failover, Push, Receipt, Receipts
from otpkit.testing import Outbox


class Pushing(Outbox):
    """A gateway whose provider pushes a JSON list of deliveries."""

    name = "pushing"

    def receipts(self, push: Push) -> Receipts:
        """Return the deliveries of a push without any check."""
        told = tuple(Delivery(gateway=self.name, **each) for each in json.loads(push.body))
        return Receipts(told, body=b'{"code":0}')


class Numbered(Pushing):
    """A gateway that knows messages only by its own ids."""

    name = "numbered"
    knows_message_id = True
    can_trace = False


def push(*told: dict[str, str]) -> Push:
    return Push("https://site.example/receipts", {}, json.dumps(told).encode())


def receipt(gateway: Outbox, state: str = "delivered", **changed: str) -> dict[str, str]:
    message = gateway[-1]
    return {"state": state, "phone": message.phone, "send_id": message.send_id} | changed


@pytest.fixture
def pushing() -> Pushing:
    return Pushing()


@pytest.fixture
def otp(rig: Rig, pushing: Pushing) -> Any:
    return rig.heard(gateway=pushing)


@pytest.mark.parametrize(("state", "event"), [("delivered", "delivered"), ("failed", "undelivered")])
def test_a_pushed_receipt_is_kept_with_the_challenge_and_told(
    rig: Rig, otp: Any, pushing: Pushing, state: str, event: str
) -> None:
    """A repeated push creates no second event. The provider gets the answer that it expects."""
    otp.issue(PHONE)
    rig.advance(2.5)
    for _ in range(2):
        answer = otp.receive(push(receipt(pushing, state, result_code="DELIVRD")))
        assert (answer.status, answer.body) == (200, b'{"code":0}')
    assert otp.status(PHONE).delivery == state
    told = [(each.name, each.detail, each.duration_ms) for each in rig.events if each.operation == "receive"]
    assert told == [(event, "pushing DELIVRD", 2500)]
    assert otp.verify(PHONE, pushing[-1].code)


def test_receipts_may_overtake_each_other(otp: Any, pushing: Pushing) -> None:
    """A delivered message stays delivered. A failed one can become delivered."""
    otp.issue(PHONE)
    for state, kept in (("failed", "failed"), ("delivered", "delivered"), ("failed", "delivered")):
        otp.receive(push(receipt(pushing, state)))
        assert otp.status(PHONE).delivery == kept


def test_the_beginning_of_a_send_id_is_enough(otp: Any, pushing: Pushing) -> None:
    """Some providers return no more than 15 characters."""
    otp.issue(PHONE)
    otp.receive(push(receipt(pushing, send_id=pushing[-1].send_id[:15])))
    assert otp.status(PHONE).delivery == "delivered"


@pytest.mark.parametrize(
    "changed",
    [
        {"send_id": "A" * 22},
        {"send_id": "A" * 15},
        {"send_id": "no id"},
        {"send_id": "ü" * 22},
        {"send_id": ""},
        {"phone": OTHER_PHONE},
        {"phone": "nobody"},
        {"phone": ""},
        {"state": "pending"},
        {"state": "unknown"},
    ],
    ids=str,
)
def test_what_strangers_push_changes_nothing(rig: Rig, otp: Any, pushing: Pushing, changed: dict[str, str]) -> None:
    """A push with unknown ids, other phones or nonsense gets the provider's usual answer."""
    otp.issue(PHONE)
    before = rig.stored()
    assert otp.receive(push(receipt(pushing) | changed)).status == 200
    assert otp.status(PHONE).delivery == "accepted"
    assert rig.stored() == before
    assert [event.name for event in rig.events] == ["issued"]


def test_a_message_is_found_by_the_gateways_own_id_where_that_is_all_it_tells(rig: Rig) -> None:
    """Ids are separate for each gateway, so a push finds only messages of its gateway."""
    first, second = Numbered(), Numbered()
    otp = rig.otp(gateway=Failover([first, second]))
    otp.issue(PHONE)
    told = {"state": "delivered", "phone": PHONE, "send_id": "", "message_id": first[-1].send_id}
    otp.receive(push(told), gateway="numbered-2")
    assert otp.status(PHONE).delivery == "accepted"
    otp.receive(push(told), gateway="numbered")
    assert otp.status(PHONE).delivery == "delivered"
    assert otp.delivery(PHONE) == Delivery(state="delivered", gateway="numbered")


def test_a_gateway_is_asked_by_its_own_id_of_the_message(rig: Rig) -> None:
    """The query goes to the gateway that sent the message."""
    asked: list[tuple[str, str]] = []

    class Asked(Outbox):
        knows_message_id = True

        def trace(self, phone: str, send_id: str, sent_at: Any, message_id: str = "") -> Any:
            asked.append((send_id, message_id))
            return super().trace(phone, send_id, sent_at, message_id)

    first, second = Asked(), Asked()
    otp = rig.otp(gateway=Failover([first, second]))
    first.reject_next()
    otp.issue(PHONE)
    assert otp.delivery(PHONE) == Delivery(state="delivered", gateway="outbox-2")
    assert asked == [(second[-1].send_id, second[-1].send_id)]
    assert otp.status(PHONE).delivery == "delivered"


def test_what_a_push_told_is_known_where_the_gateway_can_not_be_asked(rig: Rig) -> None:
    """Without a push, the delivery is unknown: accepted does not mean delivered."""
    otp = rig.otp(gateway=(numbered := Numbered()))
    otp.issue(PHONE)
    assert otp.delivery(PHONE).state == "unknown"
    otp.receive(push(receipt(numbered)))
    assert otp.delivery(PHONE) == Delivery(state="delivered", gateway="numbered")


def test_an_answer_that_knows_less_than_a_push_does_not_replace_it(otp: Any, pushing: Pushing) -> None:
    """The gateway's records may be older than its push."""
    otp.issue(PHONE)
    for pushed, asked, known in (
        ("failed", "pending", "failed"),
        ("failed", "delivered", "delivered"),
        ("delivered", "pending", "delivered"),
        ("delivered", "failed", "delivered"),
    ):
        otp.receive(push(receipt(pushing, pushed)))
        pushing.delivery = asked  # type: ignore[assignment]
        assert (otp.delivery(PHONE).state, otp.status(PHONE).delivery) == (known, known)


def test_a_failure_at_another_gateway_than_the_one_that_served_says_nothing(rig: Rig) -> None:
    """After an uncertain send, both gateways have the message. If one of them delivers it, it is delivered."""
    first, second = Pushing(), Pushing()
    otp = rig.heard(gateway=Failover([first, second], on_uncertain="next"))
    first.lose_next()
    assert otp.issue(PHONE).gateway == "pushing-2"
    otp.receive(push(receipt(second, "failed")), gateway="pushing")
    assert otp.status(PHONE).delivery == "accepted"
    assert "undelivered" not in [event.name for event in rig.events]
    otp.receive(push(receipt(second, "failed")), gateway="pushing-2")
    assert otp.status(PHONE).delivery == "failed"
    otp.receive(push(receipt(second)), gateway="pushing")
    assert otp.status(PHONE).delivery == "delivered"


@pytest.mark.parametrize("odd", ["\ud800", "号" * 30, " ", "a\nb", "x" * 60, None], ids=lambda odd: ascii(odd)[:12])
def test_an_id_of_a_message_that_can_not_be_kept_is_none(rig: Rig, odd: Any) -> None:
    """The message was sent. No value in Redis exceeds 64 bytes, and no push is refused because of such an id."""

    class Odd(Numbered):
        def send(self, message: Any) -> Any:
            yield from super().send(message)
            return Receipt(self.name, odd)

    otp = rig.otp(gateway=Odd())
    assert otp.issue(PHONE).delivery == "accepted"
    assert otp.receive(push({"state": "delivered", "phone": PHONE, "message_id": odd})).status == 200
    assert otp.status(PHONE).delivery == "accepted"
    values = rig.server.hvals(*rig.stored(":p"))
    assert max(map(len, values)) <= 64


def test_a_push_of_many_receipts_takes_few_connections(rig: Rig, pushing: Pushing) -> None:
    """A client that was passed in has a limited pool. A push that fails would be repeated forever."""
    otp = rig.otp(gateway=pushing, redis=rig.client(max_connections=20))
    otp.issue(PHONE)
    crowd = [receipt(pushing, phone=f"+86139{number:08d}") for number in range(300)]
    assert otp.receive(push(*crowd, receipt(pushing))).status == 200
    assert otp.status(PHONE).delivery == "delivered"


@pytest.mark.parametrize("size", [999, 1001, 2600])
def test_no_row_of_a_long_push_is_lost(memory_rig: Rig, pushing: Pushing, size: int) -> None:
    """The first and the last row count too: the provider got its answer and does not repeat any row."""
    otp = memory_rig.otp(gateway=pushing)
    for phone in (PHONE, OTHER_PHONE):
        otp.issue(phone)
    crowd = [receipt(pushing, phone=f"+86139{number:08d}") for number in range(size - 2)]
    first, last = (
        {"state": "delivered", "phone": each.phone, "send_id": each.send_id} for each in (pushing[0], pushing[1])
    )
    otp.receive(push(first, *crowd, last))
    assert [otp.status(phone).delivery for phone in (PHONE, OTHER_PHONE)] == ["delivered", "delivered"]


def test_a_long_push_is_repeated_whole_where_the_store_goes_away_halfway(rig: Rig, pushing: Pushing) -> None:
    """Status 503 makes the provider repeat it. Rows that are already recorded change nothing the second time."""
    client = rig.client(rig.breakable)
    otp = rig.otp(gateway=pushing, redis=client)
    for phone in (PHONE, OTHER_PHONE):
        otp.issue(phone)
    first, last = (
        {"state": "delivered", "phone": each.phone, "send_id": each.send_id} for each in (pushing[0], pushing[1])
    )
    crowd = [{"state": "pending", "phone": PHONE, "send_id": "A" * 22}] * 600
    otp.receive(push(first, *crowd))
    client.broken = True
    with pytest.raises(StoreUnavailableError):
        otp.receive(push(first, *crowd, last))
    client.broken = False
    otp.receive(push(first, *crowd, last))
    assert [otp.status(phone).delivery for phone in (PHONE, OTHER_PHONE)] == ["delivered", "delivered"]


def test_a_push_that_is_refused_is_logged_once_in_a_while(memory_rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the gateway's reason, and there is one event.

    A stranger who repeats the push must not fill the log.
    """

    class Refusing(Pushing):
        def receipts(self, push: Push) -> Receipts:
            return Receipts((), 403, problem="its signature is another's: check public_url")

    otp = memory_rig.heard(gateway=Refusing())
    for _ in range(50):
        assert otp.receive(push()).status == 403
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "pushing" in record.getMessage()
    assert "its signature is another's: check public_url" in record.getMessage()
    assert [(event.name, event.operation, event.detail) for event in memory_rig.events] == [
        ("push_refused", "receive", "pushing")
    ]
    memory_rig.clock.advance(61)
    otp.receive(push())
    assert len(caplog.records) == 2


def test_what_the_gateway_says_is_told_although_it_can_not_be_kept(rig: Rig) -> None:
    """Redis fails during the query to the gateway. The gateway's answer is returned anyway."""
    client = rig.client(rig.breakable)

    class Last(Outbox):
        def trace(self, *args: Any) -> Any:
            client.broken = True
            return super().trace(*args)

    otp = rig.otp(gateway=Last(), redis=client)
    otp.issue(PHONE)
    assert otp.delivery(PHONE).state == "delivered"
    client.broken = False
    assert otp.status(PHONE).delivery == "accepted"


def test_a_receipt_before_the_settlement_stands(rig: Rig) -> None:
    """A quick provider delivers the message before its acceptance is recorded."""

    class Quick(Pushing):
        def send(self, message: Any) -> Any:
            result = yield from super().send(message)
            told.append(otp.flows.receive(push(receipt(self)), ""))
            yield from told[-1]
            return result

    told: list[Any] = []
    otp: Any = rig.otp(gateway=Quick())
    otp.flows = getattr(otp, "target", otp)._flows
    otp.issue(PHONE)
    assert otp.status(PHONE).delivery == "delivered"


def test_a_gateway_without_pushes_and_one_that_there_is_not_are_configuration_errors(
    rig: Rig, pushing: Pushing
) -> None:
    """The error names the gateway and lists the valid ones."""
    otp = rig.otp(gateway=Failover([rig.outbox, pushing]))
    for name, said in (("outbox", "outbox"), ("other", "outbox, pushing"), ("", "outbox, pushing")):
        with pytest.raises(ConfigurationError, match=said):
            otp.receive(push(), gateway=name)


def test_a_gateway_without_pushes_is_asked_only_where_it_can_be(rig: Rig) -> None:
    """The remedy must be possible: a gateway function has no queries either."""
    for gateway, said in ((rig.outbox, "Call OTP.delivery"), (lambda _: None, "it has no queries either")):
        with pytest.raises(ConfigurationError, match=said):
            rig.otp(gateway=gateway).receive(push())


def test_a_push_is_to_come_again_where_the_store_is_away(rig: Rig, pushing: Pushing) -> None:
    """Status 503 of the error makes the provider push again."""
    client = rig.client(rig.breakable)
    otp = rig.otp(gateway=pushing, redis=client)
    otp.issue(PHONE)
    told = push(receipt(pushing))
    client.broken = True
    with pytest.raises(StoreUnavailableError) as away:
        otp.receive(told)
    assert away.value.status == 503
    client.broken = False
    otp.receive(told)
    assert otp.status(PHONE).delivery == "delivered"
