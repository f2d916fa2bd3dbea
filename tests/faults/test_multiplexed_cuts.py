"""Connections are cut at every byte under 64 tasks: each gets its own reply or an error, and nothing runs twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from support.callers import BROAD, loaded, result
from support.echoes import echo, echo_all, storing, texts, until
from support.rig import SECRET, TEMPLATE
from support.wire import Wire

from otpkit import AsyncOTP, Challenge, ExpiredCodeError, Proof, StoreUnavailableError, UsedTokenError
from otpkit.store.aio import AsyncStore
from otpkit.testing import Outbox

TASKS = 64
CALL_S = 3.5
STEP = 7
"""The suite cuts at every seventh byte, from a random start. With 1, it cuts at every byte."""


@pytest.fixture(params=["valkey", "redis"])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with Wire(request.getfixturevalue(f"{request.param}_url")) as wire:
        yield wire


@pytest.fixture
async def store(wire: Wire) -> AsyncIterator[AsyncStore]:
    async with storing(wire.url) as store:
        yield store


async def length(wire: Wire, store: AsyncStore) -> tuple[int, int]:
    """Return the number of bytes of all requests and of all replies."""
    wire.requests = wire.replies = before = 1 << 40
    assert await echo_all(store, texts(TASKS)) == texts(TASKS)
    return before - wire.requests, before - wire.replies


@pytest.mark.parametrize("direction", ["requests", "replies"])
async def test_cut_at_every_byte(wire: Wire, store: AsyncStore, direction: str) -> None:
    """The cuts cover two requests and all replies. Every call is repeated on one other connection."""
    sizes = await length(wire, store)
    end = sizes[0] * 2 // TASKS if direction == "requests" else sizes[1]
    begin = random.randrange(STEP)
    for place in range(begin, end, STEP):
        opened = wire.opened
        setattr(wire, direction, place)
        async with asyncio.timeout(CALL_S):
            assert await echo_all(store, texts(TASKS, f"{place}.")) == texts(TASKS, f"{place}.")
        assert wire.opened == opened + 1, place
        assert await echo(store, "next") == "next"
    assert wire.open == 1


@pytest.mark.parametrize("direction", ["requests", "replies"])
async def test_cut_at_every_byte_of_connecting(wire: Wire, store: AsyncStore, direction: str) -> None:
    """Meanwhile 64 tasks wait for the connection."""
    for place in range(0, 400, STEP):
        wire.reset_all()
        await asyncio.sleep(0.002)
        setattr(wire, direction, place)
        async with asyncio.timeout(CALL_S):
            assert await echo_all(store, texts(TASKS)) == texts(TASKS), place


async def test_cut_again_and_again(wire: Wire, store: AsyncStore) -> None:
    """Each attempt is cut. Every call ends with its own reply or an error, and the next one works."""
    for number in range(20):
        wire.replies = 40 * number
        cutting = asyncio.ensure_future(_keep_cutting(wire))
        async with asyncio.timeout(CALL_S):
            calls = [result(echo(store, text)) for text in texts(TASKS)]
            outcomes = await asyncio.gather(*calls)
        cutting.cancel()
        wire.replies = 1 << 60
        for text, outcome in zip(texts(TASKS), outcomes, strict=True):
            assert outcome == text or isinstance(outcome, StoreUnavailableError)
        assert await echo(store, "next") == "next"


async def _keep_cutting(wire: Wire) -> None:
    while True:
        await asyncio.sleep(0.004)
        wire.reset_all()


@pytest.fixture
def options(namespace: str) -> dict[str, Any]:
    return {"template": TEMPLATE, "secret": SECRET, "policy": BROAD, "namespace": namespace}


@pytest.mark.parametrize("direction", ["requests", "replies"])
async def test_cut_among_verifications(
    wire: Wire, valkey_url: str, redis_url: str, options: dict[str, Any], direction: str
) -> None:
    """At any cut, a code is verified once and a proof redeemed once, and no caller gets another's reply."""
    outbox = Outbox()
    with loaded(valkey_url), loaded(redis_url):
        async with AsyncOTP(wire.url, outbox, **options) as otp:
            for number in range(12):
                phones = [f"+86138{number:04d}{each:04d}" for each in range(TASKS // 2)]
                setattr(wire, direction, 211 * number)
                issued = await asyncio.gather(*[result(otp.issue(phone)) for phone in phones])
                assert {type(each) for each in issued} == {Challenge}
                assert [each.phone for each in issued] == phones
                codes = {message.phone: message.code for message in outbox}
                setattr(wire, direction, 197 * number)
                twice = [*phones, *phones]
                async with asyncio.timeout(2 * CALL_S):
                    told = await asyncio.gather(*[result(otp.verify(phone, codes[phone])) for phone in twice])
                assert {type(each) for each in told} == {Proof, ExpiredCodeError}
                proofs = [each for each in told if isinstance(each, Proof)]
                assert sorted(proof.phone for proof in proofs) == phones
                assert all(proof.phone == phone for proof, phone in zip(told, twice, strict=True) if proof in proofs)
                setattr(wire, direction, 173 * number)
                redeemed = await asyncio.gather(*[result(otp.redeem(proof.token)) for proof in proofs * 2])
                assert Counter(map(type, redeemed)) == {Proof: len(phones), UsedTokenError: len(phones)}
            assert len(outbox) == 12 * TASKS // 2


async def test_one_connection_after_faults(wire: Wire, valkey_url: str, redis_url: str, store: AsyncStore) -> None:
    """The server lists one connection of this store after any cut."""
    for place in range(0, 500, 50):
        wire.replies = place
        await echo_all(store, texts(TASKS))
    url = next(url for url in (valkey_url, redis_url) if wire.upstream_path in url)
    with redis.Redis.from_url(url) as client:
        await until(lambda: sum(row["cmd"].startswith("eval") for row in client.client_list()) == 1)
