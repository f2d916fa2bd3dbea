"""Many calls for a slow gateway: a message is sent while its code lives, or certainly not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from support.callers import result
from support.rig import SECRET, TEMPLATE, outcome, whole
from support.transports import ON_UVLOOP, opened

from otpkit import OTP, AsyncOTP, Challenge, ConfigurationError, GatewayRejectedError
from otpkit.effects import Call, Flow, HttpRequest, NotConnected
from otpkit.gateways import Delivery, Failover, Gateway, Message, Receipt
from otpkit.testing import MovableClock, Outbox
from otpkit.transport.lanes import THREADS

POLICY = whole(sends="32/day", ttl=30)
CROWD = THREADS + 20
PHONES = [f"+86138{number:08d}" for number in range(CROWD)]


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


class Slow:
    """A gateway function that hangs until the test releases it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.busy, self.go_on = threading.Event(), threading.Event()

    def __call__(self, message: Message) -> None:
        self.sent.append(message.phone)
        if len(self.sent) == THREADS:
            self.busy.set()
        self.go_on.wait(20)


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.go_on.set()


def build(url: str, gateway: Any, namespace: str, **options: Any) -> AsyncOTP:
    return AsyncOTP(url, gateway, TEMPLATE, SECRET, namespace=namespace, **({"policy": POLICY} | options))


async def crowd(otp: AsyncOTP, slow: Slow) -> list[Any]:
    """Return the outcomes of many concurrent issues. The gateway continues when all refusals have come."""
    tasks = [asyncio.ensure_future(result(otp.issue(phone))) for phone in PHONES]
    await asyncio.wait(tasks, timeout=4)
    slow.go_on.set()
    return await asyncio.gather(*tasks)


async def test_a_message_without_a_thread_is_rejected_and_undone(url: str, namespace: str, slow: Slow) -> None:
    """The rejection comes after `gateway_wait`, and all limits are refunded. The same call then succeeds."""
    async with build(url, slow, namespace, gateway_wait=0.3) as otp:
        outcomes = await crowd(otp, slow)
        accepted = [each for each in outcomes if isinstance(each, Challenge)]
        refused = [each for each in outcomes if isinstance(each, GatewayRejectedError)]
        assert (len(accepted), len(refused), len(slow.sent)) == (THREADS, CROWD - THREADS, THREADS)
        assert {each.delivery for each in accepted} == {"accepted"}
        assert {(each.category, each.gateway) for each in refused} == {("connection", "function")}
        for phone in set(PHONES) - set(slow.sent):
            assert await otp.status(phone) is None
            assert (await otp.standing(phone)).sends_left == 32
        lost = next(phone for phone in PHONES if phone not in slow.sent)
        assert (await otp.issue(lost)).delivery == "accepted"


async def test_the_next_gateway_serves_those_without_a_thread(url: str, namespace: str, slow: Slow) -> None:
    """Each gateway has its own threads."""
    outbox = Outbox()
    async with build(url, Failover([slow, outbox]), namespace, gateway_wait=0.3) as otp:
        outcomes = await crowd(otp, slow)
        assert all(isinstance(each, Challenge) for each in outcomes), outcomes
        assert {*slow.sent, *(message.phone for message in outbox)} == set(PHONES)
        assert len(slow.sent) + len(outbox) == CROWD


async def test_a_hung_gateway_holds_up_no_other(url: str, namespace: str, slow: Slow) -> None:
    """The other gateway serves another region."""
    quick: list[Message] = []
    policy = whole(sends="32/day", regions={"CN", "HK"})
    gateway = {"CN": slow, "HK": quick.append}
    async with build(url, gateway, namespace, policy=policy, gateway_wait=20) as otp:
        tasks = [asyncio.ensure_future(otp.issue(phone)) for phone in PHONES]
        await asyncio.to_thread(slow.busy.wait, 10)
        began = time.monotonic()
        await otp.issue("+85251234567")
        assert time.monotonic() - began < 2
        slow.go_on.set()
        await asyncio.gather(*tasks)
        assert (len(slow.sent), len(quick)) == (CROWD, 1)


class Traced(Gateway):
    """A gateway that sends at once and hangs when it is queried."""

    name = "traced"
    can_trace = True

    def __init__(self, slow: Slow) -> None:
        self.slow, self.sent = slow, 0

    def send(self, message: Message) -> Flow[Receipt]:
        yield Call(self._send, message)
        return Receipt(self.name)

    def _send(self, _: Message) -> None:
        self.sent += 1

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        yield Call(lambda _: self.slow.go_on.wait(20), None)
        return Delivery(state="delivered", gateway=self.name)


async def test_questions_hold_up_no_message(url: str, namespace: str, slow: Slow) -> None:
    """A query without a free thread returns the recorded state."""
    gateway = Traced(slow)
    async with build(url, gateway, namespace, gateway_wait=0.3) as otp:
        await otp.issue(PHONES[0])
        questions = [asyncio.ensure_future(otp.delivery(PHONES[0])) for _ in range(CROWD)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await otp.issue(PHONES[1])
        assert time.monotonic() - began < 2
        await asyncio.wait(questions, timeout=1)
        slow.go_on.set()
        states = [delivery.state for delivery in await asyncio.gather(*questions)]
        assert (states.count("unknown"), states.count("delivered")) == (CROWD - THREADS, THREADS)


async def test_a_call_cancelled_while_it_waits_is_never_made(url: str, namespace: str, slow: Slow) -> None:
    """The message of a cancelled call is never sent."""
    async with build(url, slow, namespace, gateway_wait=20) as otp:
        tasks = [asyncio.ensure_future(otp.issue(phone)) for phone in PHONES]
        await asyncio.to_thread(slow.busy.wait, 10)
        await asyncio.sleep(0.1)
        for phone, task in zip(PHONES, tasks, strict=True):
            if phone not in slow.sent:
                task.cancel()
        await asyncio.sleep(0.1)
        slow.go_on.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(each, asyncio.CancelledError) for each in outcomes) == CROWD - THREADS
        assert len(slow.sent) == THREADS


async def test_no_message_waits_beyond_its_codes_life(
    url: str, namespace: str, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds for any `gateway_wait`. The code lives for 30 s, and 28.5 s of them must be left when it is sent."""
    monkeypatch.setattr("otpkit.core.issue._LEAST_LIFE_S", 28.5)
    async with build(url, slow, namespace, gateway_wait=3600) as otp:
        outcomes = await crowd(otp, slow)
        refused = [each for each in outcomes if isinstance(each, GatewayRejectedError)]
        assert len(refused) >= CROWD - THREADS
        assert {each.category for each in refused} == {"connection"}
        assert len(slow.sent) == CROWD - len(refused)


@pytest.mark.parametrize("wait", [-1, float("nan"), float("inf"), "5", None, True])
def test_the_wait_is_a_number_of_seconds(wait: Any) -> None:
    with pytest.raises(ConfigurationError, match="gateway_wait"):
        AsyncOTP("memory://", Outbox(), TEMPLATE, SECRET, gateway_wait=wait)


Gateways = Callable[[MovableClock, list[str]], Any]


def rejecting(clock: MovableClock, sent: list[str]) -> Any:
    def gateway(_: Message) -> None:
        sent.append("first")
        clock.advance(25)
        raise GatewayRejectedError("no", gateway="first", category="quota")

    return gateway


def losing(clock: MovableClock, sent: list[str]) -> Any:
    def gateway(_: Message) -> None:
        sent.append("first")
        clock.advance(25)
        raise OSError

    return gateway


@pytest.mark.parametrize("first", [rejecting, losing])
@pytest.mark.parametrize("library", ["sync", "async"])
async def test_a_failover_too_slow_for_its_code_stops(library: str, first: Gateways) -> None:
    """The first gateway's outcome is reported. The second gateway is not called."""
    clock, sent, outbox = MovableClock(), list[str](), Outbox()
    gateway = Failover([first(clock, sent), outbox], on_uncertain="next")
    arguments: Any = ("memory://", gateway, TEMPLATE, SECRET)
    if library == "sync":
        with OTP(*arguments, policy=POLICY, clock=clock) as otp:
            told = outcome(otp.issue, PHONES[0])
    else:
        async with AsyncOTP(*arguments, policy=POLICY, clock=clock) as async_otp:
            told = await result(async_otp.issue(PHONES[0]))
    assert (sent, len(outbox)) == (["first"], 0)
    if first is rejecting:
        assert isinstance(told, GatewayRejectedError)
        assert told.category == "quota"
    else:
        assert told.delivery == "uncertain"


@pytest.mark.parametrize("transport_kind", ON_UVLOOP)
def test_a_request_that_connected_too_late_is_not_written(transport_kind: str) -> None:
    """Nothing is written after the latest allowed time, for any time that connecting took."""
    import socket

    with opened(transport_kind) as make, socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        transport = make()
        with pytest.raises(NotConnected):
            transport.exchange(
                HttpRequest(method="POST", url=url, timeout=(1, 1), body=b"x"), latest=time.monotonic() - 0.001
            )
        connection, _ = server.accept()
        with connection:
            transport.close()
            assert connection.recv(1) == b""


async def test_closed_while_calls_wait_for_a_thread(url: str, namespace: str, slow: Slow) -> None:
    """They count as calls in progress, and end normally."""
    otp = build(url, slow, namespace, gateway_wait=20)
    tasks = [asyncio.ensure_future(otp.issue(phone)) for phone in PHONES]
    await asyncio.to_thread(slow.busy.wait, 10)
    await otp.close()
    slow.go_on.set()
    assert {each.delivery for each in await asyncio.gather(*tasks)} == {"accepted"}
    assert len(slow.sent) == CROWD
