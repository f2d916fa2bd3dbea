"""The queue of a shared connection: a limited number of commands at once, in order, and no caller is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.echoes import Text, echo, echo_all, endpoint_of, storing, texts
from support.wire import Wire

from otpkit.store import endpoint as endpoint_module
from otpkit.store import multiplexed, retry
from otpkit.store.aio import AsyncStore
from otpkit.store.binding import Binding
from otpkit.store.endpoint import MAX_UNANSWERED, Endpoint, SharedLease
from otpkit.store.protocol import ASKING, Crowded
from otpkit.store.retry import RetryBudget

PING = ("PING",)
CROWD = 2000


@pytest.fixture(params=["valkey", "redis"])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with Wire(request.getfixturevalue(f"{request.param}_url")) as wire:
        yield wire


@pytest.fixture
async def store(wire: Wire) -> AsyncIterator[AsyncStore]:
    async with storing(wire.url) as store:
        yield store


class Load:
    """Records the highest number of commands that were sent and not yet answered."""

    def __init__(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        send = multiplexed.MultiplexedConnection._send

        def watched(connection: multiplexed.MultiplexedConnection) -> None:
            self.most = max(self.most, connection.load)
            send(connection)

        monkeypatch.setattr(multiplexed.MultiplexedConnection, "_send", watched)


async def test_burst_is_served_in_order(wire: Wire, store: AsyncStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more commands than the limit are unanswered at once."""
    load, served = Load(endpoint_of(store), monkeypatch), []

    async def call(text: str) -> None:
        served.append(await echo(store, text))

    await asyncio.gather(*map(call, texts(CROWD)))
    assert served == texts(CROWD)
    assert load.most == MAX_UNANSWERED
    assert wire.opened == 1


async def test_burst_that_asks_for_an_unknown_script(wire: Wire, store: AsyncStore, namespace: str) -> None:
    """The first callers send the script's text at once.

    They do not queue behind callers with the same error to come.
    """
    script = Text("new", f"return ARGV[1] -- {namespace}")
    wire.asked.clear()
    calls = [echo(store, text, script) for text in texts(CROWD)]
    assert await asyncio.gather(*calls) == texts(CROWD)
    assert wire.asked.count(b"EVALSHA") <= CROWD + MAX_UNANSWERED
    assert wire.opened == 1


async def test_burst_whose_connection_is_lost(wire: Wire, store: AsyncStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent commands are repeated, queued ones keep their order, and the limit still holds."""
    load = Load(endpoint_of(store), monkeypatch)
    wire.flows.clear()
    crowd = asyncio.ensure_future(echo_all(store, texts(CROWD)))
    await asyncio.sleep(0.05)
    wire.reset_all()
    wire.flows.set()
    assert await crowd == texts(CROWD)
    assert load.most == MAX_UNANSWERED
    assert wire.opened == 2


async def test_burst_of_which_half_is_cancelled(wire: Wire, store: AsyncStore) -> None:
    """They are cancelled in the queue, before the write, and after it. The others are served in order."""
    for turns in range(12):
        served = []

        async def call(text: str, served: list[str] = served) -> None:
            served.append(await echo(store, text))

        names = texts(5 * MAX_UNANSWERED, f"{turns}.")
        tasks = [asyncio.ensure_future(call(text)) for text in names]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [text for text in served if text in names[1::2]] == names[1::2]
        assert endpoint_of(store).is_idle
    assert wire.opened == 1


async def test_all_on_their_way_are_cancelled(wire: Wire, store: AsyncStore) -> None:
    """Their places become free when their replies arrive."""
    wire.flows.clear()
    names = texts(3 * MAX_UNANSWERED)
    tasks = [asyncio.ensure_future(echo(store, text)) for text in names]
    await asyncio.sleep(0.05)
    for task in tasks[:MAX_UNANSWERED]:
        task.cancel()
    wire.flows.set()
    assert await asyncio.gather(*tasks[MAX_UNANSWERED:]) == names[MAX_UNANSWERED:]
    assert endpoint_of(store).is_idle


async def test_waits_that_time_out_keep_their_place(
    wire: Wire, store: AsyncStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that came later is served later, for any length of the queue."""
    monkeypatch.setattr(endpoint_module, "MAX_UNANSWERED", 1)
    monkeypatch.setattr(retry, "TOTAL_S", retry.ANSWER_S + 0.5)  # Then a wait of half a second counts as one attempt.
    wire.drip_s = 0.001
    served = []

    async def call(text: str) -> None:
        served.append(await echo(store, text))

    async with asyncio.TaskGroup() as group:
        for text in texts(50, "early"):
            group.create_task(call(text))
        for text in texts(50, "later"):
            await asyncio.sleep(0.008)
            group.create_task(call(text))
    assert served == [*texts(50, "early"), *texts(50, "later")]


async def test_connecting_fails_while_a_crowd_waits(wire: Wire, store: AsyncStore) -> None:
    """Every call ends, the number of attempts is small, and the next callers are served."""
    wire.is_refusing = True
    wire.reset_all()
    await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        await echo_all(store, texts(CROWD // 4))
    assert wire.opened < CROWD // 10
    wire.is_refusing = False
    assert await echo_all(store, texts(CROWD)) == texts(CROWD)
    assert endpoint_of(store).is_idle


async def test_place_before_another_node_is_given_back(
    wire: Wire, store: AsyncStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot may move to another node while a caller waits for its node.

    The next caller in that node's queue is admitted.
    """
    monkeypatch.setattr(endpoint_module, "MAX_UNANSWERED", 1)
    binding: Binding = store._bindings[asyncio.get_running_loop()]
    endpoints = {name: Endpoint(binding.loop, binding.client.connection_pool.make_connection) for name in "ab"}
    lease = SharedLease(lambda node: endpoints[node], RetryBudget())
    lease._budget.begin()
    lease.node = "a"
    first, third = endpoints["a"].place(), endpoints["a"].place()
    endpoints["a"].queue(first)
    entering = asyncio.ensure_future(lease.enter(1))
    await asyncio.sleep(0)
    endpoints["a"].queue(third)
    await asyncio.sleep(0)
    endpoints["a"].leave(first)
    assert await entering
    lease.node = "b"
    assert await lease.say(PING) in {b"PONG", "PONG"}
    assert third.done()
    for endpoint in endpoints.values():
        await endpoint.close()


async def test_full_endpoint_is_said_at_once(wire: Wire, store: AsyncStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator then waits within its time limit."""
    monkeypatch.setattr(endpoint_module, "MAX_UNANSWERED", 1)
    endpoint = endpoint_of(store)
    first = endpoint.place()
    endpoint.queue(first)
    lease = SharedLease(lambda _: endpoint, RetryBudget())
    lease._budget.begin()
    with pytest.raises(Crowded):
        await lease.say(PING)
    assert await lease.say(ASKING) is None
    assert await lease.say(PING)  # A redirection by another node is exempt from the limit.
    endpoint.leave(first)
    assert await lease.say(PING)
