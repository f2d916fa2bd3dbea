"""A shared connection that the server closes, or that its loop, its process or its owner leaves: none stays open."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest
import redis
import uvloop
from mortal import Mortal
from support.echoes import ECHO, awaits_replies, echo, echo_all, endpoint_of, storing, texts, until
from support.servers import find_redis
from support.wire import Wire

from otpkit.effects import RunScript
from otpkit.store.aio import AsyncStore
from otpkit.store.retry import RetryBudget

CHILD_S = 20
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    """Yield a loop that the test runs and may close."""
    loop = LOOPS[request.param]()
    yield loop
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.fixture(autouse=True)
def no_leaks(valkey_url: str) -> Iterator[None]:
    """Fail if a connection stays open: in this process, where it warns when it is collected, or at the server."""
    gc.collect()
    with redis.Redis.from_url(valkey_url) as client:
        before = len(client.client_list())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
            gc.collect()
        for _ in range(200):
            if len(client.client_list()) <= before:
                break
            threading.Event().wait(0.01)
        assert len(client.client_list()) <= before


def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Return a list that records each failed attempt."""
    noted: list[float | None] = []
    pause_s = RetryBudget.pause_s

    def noting(budget: RetryBudget, error: BaseException, answered: float) -> float | None:
        noted.append(pause_s(budget, error, answered))
        return noted[-1]

    monkeypatch.setattr(RetryBudget, "pause_s", noting)
    return noted


@pytest.mark.parametrize("way", ["close_all", "reset_all"])
async def test_closed_idle_connection_costs_nothing(valkey_url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may close it at any moment, also between the check and the write."""
    failed = pauses(monkeypatch)
    async with Wire(valkey_url) as wire, storing(wire.url) as store:
        for turns in range(12):
            getattr(wire, way)()
            for _ in range(turns):
                await asyncio.sleep(0)
            assert await echo_all(store, texts(8)) == texts(8)
            if turns < 4:
                failed.clear()  # The command may have been written before the end was noticed.
        assert failed == []


def test_connection_closed_while_the_loop_stood_still(
    loop: asyncio.AbstractEventLoop, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is not running then. The next call notices the end before it writes."""
    failed = pauses(monkeypatch)
    store = AsyncStore(f"{valkey_url}&client_name=idle")
    with redis.Redis.from_url(valkey_url) as client:
        for number in range(3):
            assert loop.run_until_complete(echo(store, f"{number}")) == f"{number}"
            for row in client.client_list():
                if row["name"] == "idle":
                    client.client_kill_filter(_id=row["id"])
    assert failed == []
    loop.run_until_complete(store.close())


async def test_killed_server_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call after the restart succeeds without a failed attempt."""
    with Mortal(find_redis() or "") as server:
        async with storing(server.url) as store:
            for _ in range(3):
                server.kill()
                server.restart()
                failed = pauses(monkeypatch)
                assert await echo_all(store, texts(64)) == texts(64)
                assert failed == []


def test_close_in_its_own_loop(loop: asyncio.AbstractEventLoop, valkey_url: str) -> None:
    async def scene() -> None:
        async with storing(valkey_url) as store:
            await echo_all(store, texts(200))

    loop.run_until_complete(scene())


def test_close_while_replies_are_due(loop: asyncio.AbstractEventLoop, valkey_url: str) -> None:
    """A retired connection still waits for the reply of a cancelled call. `close` closes it too."""

    async def scene() -> None:
        async with Wire(valkey_url) as wire:
            async with storing(wire.url) as store:
                wire.drip_s = 30
                cancelled = asyncio.ensure_future(echo(store, "cancelled"))
                await until(lambda: awaits_replies(store))
                await asyncio.sleep(0.05)
                current = endpoint_of(store).current
                assert current is not None
                current.retire()
                cancelled.cancel()
                wire.drip_s = 0.0
                assert await echo(store, "new") == "new"
                assert wire.open == 2
            await until(lambda: not wire.open)

    loop.run_until_complete(scene())


def test_close_from_another_loop(loop: asyncio.AbstractEventLoop, valkey_url: str) -> None:
    """A loop that runs in another thread closes its own connections.

    Those of a stopped or closed loop are closed here.
    """
    store = AsyncStore(valkey_url)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    still = asyncio.new_event_loop()
    still.run_until_complete(echo(store, "still"))
    asyncio.run_coroutine_threadsafe(echo_all(store, texts(50)), loop).result(10)
    asyncio.run(_call_and_close(store))
    still.run_until_complete(still.shutdown_asyncgens())
    still.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


async def _call_and_close(store: AsyncStore) -> None:
    await echo_all(store, texts(50))
    await store.close()


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("is_cold", [False, True], ids=["open", "connecting"])
@pytest.mark.parametrize("is_uvloop", [False, True], ids=LOOPS)
def test_end_of_asyncio_run(valkey_url: str, is_uvloop: bool, is_cold: bool, turns: int) -> None:
    """The connection is closed with the loop, with any number of pending calls. The store works in the next loop."""
    store = AsyncStore(valkey_url)

    async def scene() -> None:
        if not is_cold:
            await echo_all(store, texts(50))
        tasks.extend(asyncio.ensure_future(echo(store, text)) for text in texts(150))
        await _turns(turns)

    tasks: list[asyncio.Task[str]] = []
    for _ in range(3):
        with asyncio.Runner(loop_factory=LOOPS["uvloop" if is_uvloop else "asyncio"]) as runner:
            runner.run(scene())
    gc.collect()


@pytest.mark.parametrize("is_busy", [False, True])
def test_loop_that_was_closed_under_it(valkey_url: str, is_busy: bool) -> None:
    """The loop was closed without notice. The next call in another loop closes the first loop's connection."""
    store = AsyncStore(valkey_url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(echo(store, "first"))
    if is_busy:
        task = loop.create_task(echo(store, "never"))
        loop.run_until_complete(_turns(3))
        task.cancel()
        loop.run_until_complete(_turns(1))
    loop.close()
    assert asyncio.run(echo(store, "second")) == "second"
    asyncio.run(store.close())


def test_loop_that_was_closed_while_a_connection_ended(valkey_url: str) -> None:
    """The transport is already aborted, but the closed loop can't close its socket."""
    store = AsyncStore(valkey_url)

    async def scene() -> None:
        await echo(store, "first")
        connection = endpoint_of(store).current
        assert connection is not None
        connection.end(redis.ConnectionError("given up"))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(scene())
    loop.close()
    assert asyncio.run(echo(store, "second")) == "second"
    asyncio.run(store.close())


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_two_loops_in_two_threads(valkey_url: str) -> None:
    """Each loop has its own connection and its own replies."""
    store = AsyncStore(f"{valkey_url}&client_name=two")
    start, counted = threading.Barrier(3), []

    async def scene(area: str) -> None:
        for number in range(30):
            assert await echo_all(store, texts(20, f"{area}{number}.")) == texts(20, f"{area}{number}.")
        await asyncio.to_thread(start.wait, 30)
        await asyncio.to_thread(start.wait, 30)

    threads = [threading.Thread(target=asyncio.run, args=(scene(area),)) for area in "ab"]
    for thread in threads:
        thread.start()
    start.wait(30)
    with redis.Redis.from_url(valkey_url) as client:
        counted.append(sum(row["name"] == "two" for row in client.client_list()))
    start.wait(30)
    for thread in threads:
        thread.join()
    assert counted == [2]
    asyncio.run(store.close())


def test_fork_with_replies_due(valkey_url: str) -> None:
    """Parent and child continue, each on its own connections."""
    store = AsyncStore(valkey_url)

    async def parent() -> None:
        await echo(store, "warm")
        names = texts(64, "parent")
        tasks = [asyncio.ensure_future(echo(store, name)) for name in names]
        await until(lambda: awaits_replies(store))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            status = 1
            try:
                signal.alarm(CHILD_S)
                asyncio.events._set_running_loop(None)
                store.after_fork()
                status = 0 if asyncio.run(echo_all(store, texts(64, "child"))) == texts(64, "child") else 1
            finally:
                os._exit(status)
        assert await asyncio.gather(*tasks) == names
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert await echo(store, "next") == "next"
        await store.close()

    asyncio.run(parent())


async def test_idle_for_longer_than_the_health_check(valkey_url: str) -> None:
    """A connection that was idle for longer than `health_check_interval` of the URL is not used."""
    async with Wire(valkey_url) as wire, storing(f"{wire.url}?health_check_interval=1") as store:
        assert await echo(store, "one") == "one"
        opened = wire.opened
        await asyncio.sleep(1.1)
        assert await echo_all(store, texts(8)) == texts(8)
        assert (wire.opened, wire.open) == (opened + 1, 1)


async def test_replicas_are_waited_for_elsewhere(valkey_url: str) -> None:
    """WAIT blocks a connection, so it uses one of the pool."""
    async with Wire(valkey_url) as wire, storing(wire.url) as store:
        with pytest.raises(Exception, match="0 of 1 replicas"):
            await asyncio.gather(
                store.run(RunScript(ECHO, ("echo",), ("one",), replicas=1), RetryBudget()),
                echo_all(store, texts(20)),
            )
        assert wire.opened == 2
