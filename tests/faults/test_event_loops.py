"""One AsyncOTP in several event loops, one after another, alternating, and at once: no code is lost."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from support.rig import PHONE, SECRET, TEMPLATE

from otpkit import AsyncOTP, ConfigurationError, Policy
from otpkit.store.loops import abandon_all
from otpkit.testing import Outbox

ROOMY = Policy(sends="32/day")


class Subclass(redis.asyncio.Redis):
    """A subclass of redis-py's client."""


CLIENTS: dict[str, Callable[[str], Any]] = {
    "url": lambda url: url,
    "client": redis.asyncio.Redis.from_url,
    "blocking pool": lambda url: redis.asyncio.Redis.from_pool(
        redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=2)
    ),
    "one connection": lambda url: redis.asyncio.Redis.from_url(url, single_connection_client=True),
    "a subclass": Subclass.from_url,
}


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture(params=[*CLIENTS, "memory", "fake client"])
def place(request: pytest.FixtureRequest, url: str) -> Any:
    if request.param == "memory":
        return "memory://"
    if request.param == "fake client":
        return fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    return CLIENTS[request.param](url)


async def closed(otp: AsyncOTP, place: Any) -> None:
    if not isinstance(place, str):
        # This drops the connections of the other loops. Then the client is closed in its own loop.
        await otp.status(PHONE)
        await place.aclose()
    await otp.close()


async def dropped(client: Any) -> None:
    abandon_all(client)


def test_each_call_in_a_loop_of_its_own(place: Any, namespace: str) -> None:
    outbox = Outbox()
    otp = AsyncOTP(place, outbox, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    for number in range(3):
        assert asyncio.run(otp.issue(PHONE, f"p{number}")).delivery == "accepted"
        proof = asyncio.run(otp.verify(PHONE, outbox[-1].code, f"p{number}"))
        assert asyncio.run(otp.redeem(proof.token, f"p{number}")) == proof
    asyncio.run(closed(otp, place))
    gc.collect()


@pytest.mark.parametrize("way", ["url", "memory"])
def test_loops_in_turn_by_url(way: str, url: str, namespace: str) -> None:
    """Both loops stay open, and each has several connections."""
    outbox = Outbox()
    store = url if way == "url" else "memory://"
    otp = AsyncOTP(store, outbox, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    with asyncio.Runner() as one, asyncio.Runner() as two:

        async def several() -> None:
            await asyncio.gather(*[otp.status(PHONE) for _ in range(5)])

        for number in range(3):
            for runner in (one, two):
                runner.run(several())
            one.run(otp.issue(PHONE, f"p{number}"))
            proof = two.run(otp.verify(PHONE, outbox[-1].code, f"p{number}"))
            assert one.run(otp.redeem(proof.token, f"p{number}")) == proof
        two.run(otp.close())
    gc.collect()


def test_loops_at_once_by_url(url: str, namespace: str) -> None:
    """Each loop runs on a thread of its own and makes many calls. Each call gets its own reply."""
    otp = AsyncOTP(url, Outbox(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    start = threading.Barrier(4)

    async def calls(area: int) -> None:
        for number in range(40):
            phone = f"+86138{area:04d}{number:04d}"
            assert (await otp.issue(phone)).phone == phone
            challenge = await otp.status(phone)
            assert challenge is not None
            assert challenge.phone == phone

    def run(area: int) -> None:
        start.wait()
        asyncio.run(calls(area))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    asyncio.run(otp.close())
    gc.collect()


def test_a_client_in_two_open_loops_is_refused(url: str, namespace: str) -> None:
    """The error comes before Redis is called, so the code is not consumed."""
    outbox = Outbox()
    client = redis.asyncio.Redis.from_url(url)
    otp = AsyncOTP(client, outbox, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)

    async def story() -> None:
        await otp.issue(PHONE)
        with ThreadPoolExecutor(1) as thread:
            attempt = thread.submit(asyncio.run, otp.verify(PHONE, outbox[-1].code))
            await asyncio.to_thread(lambda: attempt.exception(10))
            error = attempt.exception()
            assert isinstance(error, ConfigurationError), error
            assert "URL" in str(error)
        assert await otp.verify(PHONE, outbox[-1].code)
        await client.aclose()

    asyncio.run(story())


def test_a_client_used_elsewhere_meanwhile(url: str, namespace: str) -> None:
    """The application's own commands in other loops leave connections of those loops in the pool."""
    outbox = Outbox()
    client = redis.asyncio.Redis.from_url(url)
    otp = AsyncOTP(client, outbox, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    with asyncio.Runner() as one:

        async def busy() -> None:
            await asyncio.gather(*[client.ping() for _ in range(3)])

        one.run(otp.issue(PHONE))
        one.run(client.aclose())
        asyncio.run(busy())
        assert one.run(otp.verify(PHONE, outbox[-1].code))
        one.run(dropped(client))
    gc.collect()


def test_cancelled_loops_leave_nothing_behind(url: str, namespace: str) -> None:
    """A loop ends while calls are pending. The next loop works, and no connections pile up."""
    otp = AsyncOTP(url, Outbox(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)

    async def unfinished() -> None:
        tasks = [asyncio.ensure_future(otp.status(PHONE)) for _ in range(5)]
        await asyncio.wait(tasks, timeout=0.002)

    for _ in range(20):
        asyncio.run(unfinished())
    assert asyncio.run(otp.status(PHONE)) is None
    with redis.Redis.from_url(url) as client:
        before = len(client.client_list())
    assert before < 20
    asyncio.run(otp.close())
    gc.collect()
