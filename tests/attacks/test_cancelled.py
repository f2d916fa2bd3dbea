"""A cancelled call does nothing further: the send stays, is uncertain after 30 s, and never counts as rejected."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from support.callers import calling
from support.proxied import Proxied, staged
from support.proxy import Fault, Proxy
from support.rig import PHONE, wrong

from otpkit import AsyncOTP
from otpkit.effects import Call, Flow
from otpkit.gateways import Gateway, Message, Receipt
from otpkit.testing import MovableClock

WAIT_S = 10


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def opened(server_url: str, namespace: str, clock: MovableClock) -> Callable[..., Any]:
    """Return a function that opens an AsyncOTP with a gateway and collects its events."""

    def opened(gateway: Any, events: list[Any]) -> Any:
        return calling("async-url", server_url, gateway, namespace=namespace, clock=clock, on_event=events.append)

    return opened


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def assert_abandoned(otp: Any, clock: MovableClock, events: list[Any]) -> None:
    """Assert that the send is pending for 30 s, then uncertain, that it is counted, and that it caused no event."""
    assert (await otp.status(PHONE)).delivery == "pending"
    clock.advance(29)
    assert (await otp.status(PHONE)).delivery == "pending"
    clock.advance(1)
    challenge = await otp.status(PHONE)
    assert (challenge.delivery, challenge.sends_left) == ("uncertain", 31)
    assert [event.name for event in events] == []


async def test_cancelled_in_an_async_gateway(opened: Any, clock: MovableClock) -> None:
    """The message may still arrive, and then its code is right."""
    began, sent, events = asyncio.Event(), [], []

    async def gateway(message: Message) -> None:
        sent.append(message)
        began.set()
        await asyncio.sleep(WAIT_S * 10)

    async with opened(gateway, events) as otp:
        task = asyncio.ensure_future(otp.issue(PHONE))
        await asyncio.wait_for(began.wait(), WAIT_S)
        await cancelled(task)
        await assert_abandoned(otp, clock, events)
        assert await otp.verify(PHONE, sent[0].code)


async def test_cancelled_while_a_thread_sends(opened: Any, clock: MovableClock) -> None:
    """The thread can't be stopped. Its later result or error has no effect."""
    began, go, ended, events = threading.Event(), threading.Event(), threading.Event(), []

    def gateway(message: Message) -> None:
        began.set()
        go.wait(WAIT_S)
        ended.set()
        raise OSError(message.code)

    async with opened(gateway, events) as otp:
        task = asyncio.ensure_future(otp.issue(PHONE))
        assert await asyncio.to_thread(began.wait, WAIT_S)
        await cancelled(task)
        go.set()
        assert await asyncio.to_thread(ended.wait, WAIT_S)
        await assert_abandoned(otp, clock, events)


class Steps(Gateway):
    """A gateway with two steps. It records if the second was reached, and the error raised into it."""

    name = "steps"

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.seen: list[str] = []

    def send(self, message: Message) -> Flow[Receipt]:
        try:
            yield Call(self._first, message)
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        self.seen.append("went on")
        return Receipt(self.name)

    async def _first(self, message: Message) -> None:
        self.began.set()
        await asyncio.sleep(WAIT_S * 10)


async def test_cancelled_in_a_gateway_of_several_steps(opened: Any, clock: MovableClock) -> None:
    """No further step runs, and the flow is closed like any generator."""
    gateway, events = Steps(), []
    async with opened(gateway, events) as otp:
        task = asyncio.ensure_future(otp.issue(PHONE))
        await asyncio.wait_for(gateway.began.wait(), WAIT_S)
        await cancelled(task)
        assert set(gateway.seen) <= {"GeneratorExit", "CancelledError"}
        await assert_abandoned(otp, clock, events)


async def test_a_cancellation_that_was_swallowed_is_one(opened: Any, clock: MovableClock) -> None:
    """A gateway, or Python 3.11's `wait_for` in redis-py, may swallow it. The call ends anyway, and does not settle."""
    began, events = asyncio.Event(), []

    async def gateway(message: Message) -> None:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(WAIT_S * 10)

    async with opened(gateway, events) as otp:
        task = asyncio.ensure_future(otp.issue(PHONE))
        await asyncio.wait_for(began.wait(), WAIT_S)
        await cancelled(task)
        await assert_abandoned(otp, clock, events)


async def test_a_task_that_outlived_an_earlier_cancellation_may_still_call(opened: Any) -> None:
    """A task that catches its own cancellation can call `issue` for its clean-up."""

    async def stubborn(otp: Any) -> Any:
        try:
            await asyncio.sleep(WAIT_S * 10)
        except asyncio.CancelledError:
            return await otp.issue(PHONE)

    async with opened(lambda _: None, []) as otp:
        task = asyncio.ensure_future(stubborn(otp))
        await asyncio.sleep(0)
        task.cancel()
        assert (await task).delivery == "accepted"


async def test_a_timeout_around_issue_is_a_cancellation(opened: Any, clock: MovableClock) -> None:
    """`asyncio.timeout` cancels the call, and the send becomes uncertain."""
    events: list[Any] = []

    async def gateway(message: Message) -> None:
        limit.reschedule(asyncio.get_running_loop().time())
        await asyncio.sleep(WAIT_S * 10)

    async with opened(gateway, events) as otp:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                await otp.issue(PHONE)
        await assert_abandoned(otp, clock, events)


@pytest.fixture(params=["valkey async-client", "redis async-url"])
def seat(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return a server's URL and an async kind of caller, because only tasks can be cancelled."""
    server, kind = request.param.split()
    return request.getfixturevalue(f"{server}_url"), kind


@pytest.fixture
async def stage(proxy: Proxy, seat_url: str, kind: str, namespace: str) -> AsyncIterator[Proxied]:
    async with staged(kind, proxy, seat_url, namespace) as stage:
        yield stage


async def _cancel_in(stage: Proxied, script: str, call: Any) -> None:
    """Cancel a call after the server has run its script, while the proxy holds the reply back."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(call)
    cancel = (loop.call_later, 0.02, task.cancel)
    stage.proxy.expect(script, Fault("delay", seconds=WAIT_S, between=lambda: loop.call_soon_threadsafe(*cancel)))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_while_reserving(stage: Proxied) -> None:
    """The send may be reserved, but no message is sent."""
    await _cancel_in(stage, "reserve", stage.caller.issue(PHONE))
    assert len(stage.outbox) == 0
    assert (await stage.caller.status(PHONE)).delivery == "pending"
    stage.clock.advance(30)
    assert (await stage.caller.status(PHONE)).delivery == "uncertain"
    assert (len(stage.outbox), stage.kept()[0]) == (0, {"s": 1, "c": 1})


async def test_cancelled_while_settling(stage: Proxied) -> None:
    """The message was sent, and its code verifies."""
    await _cancel_in(stage, "settle", stage.caller.issue(PHONE))
    assert (await stage.caller.status(PHONE)).delivery == "accepted"
    assert await stage.caller.verify(PHONE, stage.code)


async def test_cancelled_while_undoing(stage: Proxied) -> None:
    """The undo happens once."""
    stage.outbox.reject_next()
    await _cancel_in(stage, "undo", stage.caller.issue(PHONE))
    assert await stage.caller.status(PHONE) is None
    assert (await stage.caller.issue(PHONE)).sends_left == 31


async def test_cancelled_while_verifying(stage: Proxied) -> None:
    """With a key, the repeated form gets the proof. Without one, the code is consumed. Each call counts once."""
    await stage.caller.issue(PHONE)
    await _cancel_in(stage, "verify", stage.caller.verify(PHONE, wrong(stage.code)))
    assert (await stage.caller.status(PHONE)).attempts_left == 4
    await _cancel_in(stage, "verify", stage.caller.verify(PHONE, stage.code, idempotency_key="form"))
    proof = await stage.caller.verify(PHONE, stage.code, idempotency_key="form")
    await _cancel_in(stage, "redeem", stage.caller.redeem(proof.token, idempotency_key="form"))
    assert await stage.caller.redeem(proof.token, idempotency_key="form") == proof


async def test_a_cancelled_call_spoils_no_other(stage: Proxied) -> None:
    """The connection with a partly read reply is not used by the next caller."""
    assert isinstance(stage.caller.otp, AsyncOTP)
    for number in range(5):
        await _cancel_in(stage, "status", stage.caller.status(PHONE))
        phone = f"+861380013{number:04d}"
        assert (await stage.caller.issue(phone)).phone == phone
        assert (await stage.caller.verify(phone, stage.code)).phone == phone
