"""One AsyncOTP in several event loops, on clusters and Sentinels: no code is lost."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis.asyncio
import redis.asyncio.sentinel
from clusters import MASTER_NAME, Cluster, Watched
from redis.asyncio.cluster import ClusterNode
from support.rig import PHONE, SECRET, TEMPLATE, whole

from otpkit import AsyncOTP
from otpkit.store.loops import abandon_all
from otpkit.testing import Outbox

ROOMY = whole(sends="32/day")


def cluster_client(cluster: Cluster) -> Any:
    return redis.asyncio.RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", cluster.nodes[0].port)])


def sentinel_client(watched: Watched) -> Any:
    kind: Any = redis.asyncio.sentinel.Sentinel
    return kind([("127.0.0.1", node.port) for node in watched.sentinels]).master_for(MASTER_NAME)


CLIENTS: dict[str, Callable[[Any], Any]] = {"cluster": cluster_client, "sentinel": sentinel_client}


@pytest.fixture(params=["cluster-url", "cluster-client", "sentinel-url", "sentinel-client"])
def place(request: pytest.FixtureRequest) -> Any:
    kind, _, way = request.param.partition("-")
    found = request.getfixturevalue("cluster" if kind == "cluster" else "watched")
    return found.url if way == "url" else CLIENTS[kind](found)


@pytest.fixture(params=["cluster", "watched"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param).url
    return found


def test_each_call_in_a_loop_of_its_own(place: Any, namespace: str) -> None:
    outbox = Outbox()
    otp = AsyncOTP(place, outbox, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    for number in range(3):
        assert asyncio.run(otp.issue(PHONE, f"p{number}", ip="203.0.113.7")).delivery == "accepted"
        proof = asyncio.run(otp.verify(PHONE, outbox[-1].code, f"p{number}", ip="203.0.113.7"))
        assert asyncio.run(otp.redeem(proof.token, f"p{number}")) == proof

    async def close() -> None:
        await otp.close()
        if not isinstance(place, str):
            abandon_all(place)  # Close the connections that earlier loops left in the user's client.
            await place.aclose()

    asyncio.run(close())
    gc.collect()


def test_loops_at_once_by_url(url: str, namespace: str) -> None:
    """Each loop runs on its own thread. Each call gets its own reply."""
    otp = AsyncOTP(url, Outbox(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    start = threading.Barrier(3)

    async def calls(area: int) -> None:
        for number in range(20):
            phone = f"+86138{area:04d}{number:04d}"
            assert (await otp.issue(phone)).phone == phone
            challenge = await otp.status(phone)
            assert challenge is not None
            assert challenge.phone == phone

    def run(area: int) -> None:
        start.wait()
        asyncio.run(calls(area))

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(run, range(3)))
    asyncio.run(otp.close())
    gc.collect()
