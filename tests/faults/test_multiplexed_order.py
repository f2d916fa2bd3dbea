"""The order of replies on a shared connection: with cancelled tasks, with late and slow replies, and with garbage."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
from support.callers import BROAD, loaded, result
from support.echoes import SEEN, awaits_replies, echo, echo_all, echo_or_error, endpoint_of, storing, texts, until
from support.rig import SECRET, TEMPLATE
from support.wire import Wire

from otpkit import AsyncOTP, ConfigurationError, ExpiredCodeError, Proof, StoreUnavailableError
from otpkit.store.aio import AsyncStore
from otpkit.testing import Outbox

TASKS = 64
CALL_S, SLACK_S = 3.0, 1.5
GARBAGE = {
    "page": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "noise": b"\x00\xff\x17",
    "no number": b":one\r\n",
    "a map without end": b"%-7\r\n",
    "MOVED to nowhere": b"-MOVED\r\n",
    "nil": b"$-1\r\n",
    "nested": b"*1\r\n*1\r\n:1\r\n",
}
REPLIES = {"an error": b"-\r\n", "a text": b"+OK\r\n", "a number": b":1\r\n", "a list": b"*2\r\n:7\r\n+proved\r\n"}
"""Complete replies. They lack the operation that begins each reply of a script, so they are recognised."""


@pytest.fixture(params=["valkey", "redis"])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with Wire(request.getfixturevalue(f"{request.param}_url")) as wire:
        yield wire


@pytest.fixture
async def store(wire: Wire) -> AsyncIterator[AsyncStore]:
    async with storing(wire.url) as store:
        yield store


def asked_for(store: AsyncStore, names: list[str]) -> list[asyncio.Task[str]]:
    """Return tasks that send each name concurrently."""
    return [asyncio.ensure_future(echo(store, name)) for name in names]


async def told(tasks: list[asyncio.Task[str]], names: list[str], but: int) -> None:
    """Wait for all tasks. Each has its own reply, except the cancelled one."""
    await asyncio.wait(tasks)
    assert tasks[but].cancelled()
    assert [task.result() for task in tasks if task is not tasks[but]] == names[:but] + names[but + 1 :]


async def test_one_of_many_is_cancelled_at_each_turn(wire: Wire, store: AsyncStore) -> None:
    """It is cancelled before the write, after it, or when its reply has just arrived."""
    for turns in range(8):
        for but in (0, 31, 63):
            names = texts(TASKS, f"{turns}.{but}.")
            tasks = asked_for(store, names)
            for _ in range(turns):
                await asyncio.sleep(0)
            if not tasks[but].cancel():
                continue
            await told(tasks, names, but)
    assert wire.opened == 1


async def test_one_of_many_is_cancelled_while_its_reply_drips(wire: Wire, store: AsyncStore) -> None:
    """It is cancelled at each byte of its reply and of its neighbours' replies."""
    wire.drip_s = 0.001
    for delay in range(0, 60, 3):
        names = texts(TASKS // 4, f"{delay}.")
        tasks = asked_for(store, names)
        await asyncio.sleep(0.001 * delay)
        if tasks[2].cancel():
            await told(tasks, names, 2)
    assert wire.opened == 1


async def test_cancelled_command_is_not_sent(wire: Wire, store: AsyncStore) -> None:
    """A command that was already sent may run. Its reply is dropped."""
    for turns in range(6):
        names = texts(8, f"sent{turns}.")
        tasks = [asyncio.ensure_future(echo(store, name, SEEN, "seen")) for name in names]
        for _ in range(turns):
            await asyncio.sleep(0)
        is_sent = awaits_replies(store)
        tasks[3].cancel()
        await told(tasks, names, 3)
        assert await echo(store, "next") == "next"
        assert (names[3].encode() in wire.asked) == is_sent


async def test_late_reply_is_not_the_next_callers(wire: Wire, store: AsyncStore) -> None:
    """Cancelled callers keep their place in the order."""
    wire.flows.clear()
    tasks = asked_for(store, texts(TASKS, "late"))
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    after = asyncio.ensure_future(echo_all(store, texts(TASKS, "after")))
    await asyncio.sleep(0.02)
    wire.flows.set()
    assert await after == texts(TASKS, "after")
    assert wire.opened == 1


async def test_silent_connection_is_given_up(wire: Wire, store: AsyncStore) -> None:
    """After a second without a reply, all callers retry on the next connection."""
    wire.flows.clear()
    began = time.monotonic()
    crowd = asyncio.ensure_future(echo_all(store, texts(TASKS)))
    await until(lambda: wire.opened == 2)
    assert 0.9 < time.monotonic() - began < 1 + SLACK_S
    wire.flows.set()
    assert await crowd == texts(TASKS)
    assert (wire.opened, wire.open) == (2, 1)


async def test_silent_server_is_given_up_within_bounds(wire: Wire, store: AsyncStore) -> None:
    """Every caller gets an error within its three seconds."""
    wire.flows.clear()

    async def timed(text: str) -> float:
        began = time.monotonic()
        assert isinstance(await echo_or_error(store, text), StoreUnavailableError)
        return time.monotonic() - began

    took = await asyncio.gather(*map(timed, texts(3 * TASKS)))
    assert max(took) < CALL_S + SLACK_S
    wire.flows.set()
    assert await echo(store, "next") == "next"
    assert endpoint_of(store).is_idle


async def test_dripping_replies_keep_their_order(wire: Wire, store: AsyncStore) -> None:
    """Replies arrive byte by byte, and the oldest one is complete in time."""
    wire.drip_s = 0.001
    assert await echo_all(store, texts(TASKS)) == texts(TASKS)
    assert wire.opened == 1


async def test_reply_that_drips_for_ever_is_given_up(wire: Wire, store: AsyncStore) -> None:
    """The time limit applies to the whole reply, not to each byte."""
    wire.drip_s = 0.4
    began = time.monotonic()
    outcomes = await echo_all(store, texts(8))
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
    assert time.monotonic() - began < CALL_S + SLACK_S
    wire.drip_s = 0.0
    assert await echo(store, "next") == "next"


async def test_blocked_loop_finds_its_replies(wire: Wire, store: AsyncStore) -> None:
    """Code blocks the loop for longer than a reply's time limit. The replies have arrived, so no attempt fails."""
    tasks = asked_for(store, texts(TASKS))
    await until(lambda: awaits_replies(store))
    loop = asyncio.get_running_loop()
    loop.call_soon(time.sleep, 1.2)
    await asyncio.wait(tasks)
    assert [task.result() for task in tasks] == texts(TASKS)
    assert wire.opened == 1


@pytest.mark.parametrize("garbage", (GARBAGE | REPLIES).values(), ids=GARBAGE | REPLIES)
async def test_idle_connection_that_speaks_is_given_up(
    wire: Wire, store: AsyncStore, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is replaced before the next call, which does not fail, and asyncio logs no error."""
    wire.say(garbage)
    await asyncio.sleep(0.05)
    assert await echo_all(store, texts(TASKS)) == texts(TASKS)
    assert wire.opened == 2
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_reply_left_over_from_connecting(wire: Wire, store: AsyncStore) -> None:
    """It would reach the first caller, so the connection is not used."""
    wire.reset_all()
    await until(lambda: not wire.open)
    wire.greeting = b"+OK\r\n" * 8  # redis-py takes some of them as the replies to its own commands while it connects.
    assert await echo_all(store, texts(TASKS)) == texts(TASKS)
    assert (wire.opened, wire.open) == (3, 1)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_for_replies_ends_the_connection(
    wire: Wire, store: AsyncStore, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Every caller retries or gets an error."""
    wire.flows.clear()
    crowd = [asyncio.ensure_future(_outcome(store, text)) for text in texts(TASKS)]
    await asyncio.sleep(0.05)
    wire.say(garbage)
    await asyncio.sleep(0.05)
    wire.flows.set()
    outcomes = await asyncio.gather(*crowd)
    if garbage.startswith(b"-MOVED"):
        assert wire.opened == 2
    for text, outcome in zip(texts(TASKS), outcomes, strict=True):
        assert outcome == text or isinstance(outcome, (StoreUnavailableError, ConfigurationError)), outcome
    assert await echo(store, "next") == "next"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
async def test_reply_too_many_is_told_by_its_operation(
    wire: Wire, valkey_url: str, redis_url: str, namespace: str, reply: bytes
) -> None:
    """The surplus reply reaches no caller as a proof, and no code is accepted twice."""
    outbox = Outbox()
    phones = [f"+86138{number:08d}" for number in range(TASKS)]
    with loaded(valkey_url), loaded(redis_url):
        async with AsyncOTP(wire.url, outbox, TEMPLATE, SECRET, policy=BROAD, namespace=namespace) as otp:
            await asyncio.gather(*map(otp.issue, phones))
            codes = {message.phone: message.code for message in outbox}
            wire.flows.clear()
            calls = [asyncio.ensure_future(result(otp.verify(phone, codes[phone]))) for phone in phones]
            await asyncio.sleep(0.05)
            wire.say(reply)
            await asyncio.sleep(0.02)
            wire.flows.set()
            proofs = await asyncio.gather(*calls)
            failed = [each for each in proofs if not isinstance(each, Proof)]
            assert len(failed) <= reply.startswith(b"-")  # An error reply may be the server's own.
            for phone, proof in zip(phones, proofs, strict=True):
                assert proof in failed or proof.phone == phone
            again = [await result(otp.verify(phone, codes[phone])) for phone in phones]
            assert {type(each) for each in again} == {ExpiredCodeError}


async def _outcome(store: AsyncStore, text: str) -> object:
    try:
        return await echo(store, text)
    except (StoreUnavailableError, ConfigurationError) as error:
        return error


@pytest.mark.parametrize("push", [b">2\r\n+message\r\n+hello\r\n", b">1\r\n+invalidate\r\n"])
async def test_pushes_between_replies_are_skipped(wire: Wire, push: bytes) -> None:
    """RESP3 pushes arrive before the first reply, between replies, and when no reply is due."""
    async with storing(f"{wire.url}?protocol=3") as store:
        for _ in range(5):
            wire.say(push)
            assert await echo_all(store, texts(TASKS)) == texts(TASKS)
        wire.say(push)
        await asyncio.sleep(0.02)
        assert await echo(store, "next") == "next"
        assert wire.opened == 1
