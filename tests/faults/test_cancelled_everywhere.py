"""A task is cancelled at each await: the state stays consistent, no send counts as rejected, and the pool works."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest
from support.callers import calling, loaded
from support.rig import PHONE, whole, wrong

from otpkit import AsyncOTP, Challenge, ExpiredCodeError
from otpkit.gateways import Message
from otpkit.testing import MovableClock

MANY = 200  # Awaits. Every call has fewer.
FEW = 2  # Connections, or commands at once. With so few, a lost one is noticed.


class Stepped:
    """A coroutine whose task is cancelled when it yields to the event loop for the `number`th time."""

    def __init__(self, call: Coroutine[Any, Any, Any], number: int) -> None:
        self._call, self._number = call, number
        self.cancelled = False

    def __await__(self) -> Generator[Any, Any, Any]:
        waits, reply, failure = 0, None, None
        while True:
            try:
                waited = self._call.send(reply) if failure is None else self._call.throw(failure)
            except StopIteration as stop:
                return stop.value
            waits, failure = waits + 1, None
            if waits == self._number:
                self.cancelled = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                reply = yield waited
            except BaseException as error:
                failure = error

    async def run(self) -> Any:
        return await self


async def cancelled_at(number: int, call: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a call that ended before its `number`th await, or None if it was cancelled there."""
    stepped = Stepped(call, number)
    try:
        outcome = await asyncio.ensure_future(stepped.run())
    except asyncio.CancelledError:
        assert stepped.cancelled
        return None
    assert not stepped.cancelled, "a cancellation was lost"
    return outcome


class FewConnections:
    """An AsyncOTP with few connections, its sent messages, and its clock."""

    def __init__(self, otp: AsyncOTP, sent: list[Message], clock: MovableClock) -> None:
        self.otp, self.sent, self.clock = otp, sent, clock

    async def is_sound(self) -> None:
        """Check that all connections work, and that each caller gets its own reply."""
        phones = [f"+861380013{number:04d}" for number in range(4 * FEW)]
        issued = await asyncio.gather(*[self.otp.issue(phone) for phone in phones])
        assert [challenge.phone for challenge in issued] == phones
        await asyncio.gather(*[self.otp.erase(phone) for phone in phones])


@pytest.fixture(params=["shared connection", "pool"])
def way(request: pytest.FixtureRequest) -> str:
    """Return the kind of connection. Without hiredis, each call uses a connection of the pool."""
    return str(request.param)


@pytest.fixture(params=["valkey", "redis"])
async def few(
    request: pytest.FixtureRequest, namespace: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FewConnections]:
    monkeypatch.setattr("otpkit.store.retry.MAX_CONNECTIONS", FEW)
    monkeypatch.setattr("otpkit.store.endpoint.MAX_UNANSWERED", FEW)
    monkeypatch.setattr("otpkit.store.aio.IS_POSSIBLE", way == "shared connection")
    sent: list[Message] = []
    clock = MovableClock()

    async def gateway(message: Message) -> None:
        sent.append(message)
        await asyncio.sleep(0)

    url = request.getfixturevalue(f"{request.param}_url")
    options: dict[str, Any] = {"namespace": namespace, "clock": clock, "policy": whole()}
    with loaded(url, whole()):
        async with calling("async-url", url, gateway, **options) as caller:
            yield FewConnections(caller.otp, sent, clock)


async def each_await(few: FewConnections, cold: bool, story: Callable[[int], Awaitable[Any]]) -> None:
    """Run a story with a cancellation at each await in turn, until it ends earlier."""
    for number in itertools.count(1):
        assert number < MANY
        if cold:
            await disconnect(few.otp)
        outcome = await story(number)
        await few.is_sound()
        await few.otp.erase(PHONE)
        few.sent.clear()
        if outcome is not None:
            assert number > 1
            return


async def disconnect(otp: AsyncOTP) -> None:
    """Close the idle connections, so that the next call must connect."""
    store: Any = otp._store
    for binding in store._bindings.values():
        binding.endpoint(None).abandon()
        await binding.client.connection_pool.disconnect()


@pytest.fixture(params=["known connections", "new connections"])
def cold(request: pytest.FixtureRequest) -> bool:
    """Return whether the cancelled call must connect first."""
    return request.param == "new connections"


async def test_issue_cancelled_at_every_await(few: FewConnections, cold: bool) -> None:
    """The result is either nothing reserved and nothing sent, or one send that can be verified."""

    async def story(number: int) -> Any:
        outcome = await cancelled_at(number, few.otp.issue(PHONE))
        challenge = await few.otp.status(PHONE)
        assert len(few.sent) <= 1
        if challenge is None:
            assert not few.sent
            return outcome
        assert challenge.delivery in ({"pending", "accepted"} if few.sent else {"pending"})
        assert challenge.sends_left == 9
        few.clock.advance(30)
        later = await few.otp.status(PHONE)
        assert isinstance(later, Challenge)
        assert later.delivery == ("uncertain" if challenge.delivery == "pending" else "accepted")
        if few.sent:
            assert await few.otp.verify(PHONE, few.sent[0].code)
        return outcome

    await each_await(few, cold, story)


async def test_verify_cancelled_at_every_await(few: FewConnections, cold: bool) -> None:
    """The code is either consumed or not. With a key, the same form gets its proof when it is sent again."""

    async def story(number: int) -> Any:
        await few.otp.issue(PHONE)
        code = few.sent[-1].code
        await cancelled_at(number, few.otp.verify(PHONE, wrong(code)))
        challenge = await few.otp.status(PHONE)
        assert challenge is not None
        assert challenge.attempts_left in {4, 5}
        outcome = await cancelled_at(number, few.otp.verify(PHONE, code, idempotency_key="form"))
        proof = await few.otp.verify(PHONE, code, idempotency_key="form")
        with pytest.raises(ExpiredCodeError):
            await few.otp.verify(PHONE, code)
        await cancelled_at(number, few.otp.redeem(proof.token, idempotency_key="form"))
        assert await few.otp.redeem(proof.token, idempotency_key="form") == proof
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few.otp, "verify", _quiet(few.otp.verify))
        await each_await(few, cold, story)


def _quiet(verify: Any) -> Any:
    """Wrap `verify` so that it returns a WrongCodeError. Other errors are raised."""
    from otpkit import WrongCodeError

    async def quiet(*args: Any, **options: Any) -> Any:
        try:
            return await verify(*args, **options)
        except WrongCodeError as error:
            return error

    return quiet


async def test_a_crowd_of_which_many_are_cancelled(few: FewConnections) -> None:
    """Half of them are cancelled at any await. The others get their results, and no permit is lost."""
    for delay in range(20):
        tasks = [asyncio.ensure_future(few.otp.status(PHONE)) for _ in range(40)]
        for _ in range(delay):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
        assert {type(outcome) for outcome in outcomes[1::2]} == {type(None)}
    await few.is_sound()
