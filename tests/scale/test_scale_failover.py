"""A primary is killed while sixteen callers work: their errors, the length of the outage, and the lost data."""

from __future__ import annotations

import asyncio
import gc

import pytest
from clusters import Cluster, Watched
from counters import opened
from nodes import wait_until
from storm import raging, storm_policy

from otpkit import StoreUnavailableError

BACK_WITHIN = 25.0  # Seconds. A failover takes two to five.


@pytest.mark.parametrize("replicas", [0, 1])
async def test_a_clusters_primary_is_killed(library: str, cluster: Cluster, namespace: str, replicas: int) -> None:
    """Its replica takes over. With `replicas=1`, its slots work again when it has a replica of its own."""
    async with opened(library, cluster.url, namespace=namespace, policy=storm_policy(replicas)) as counter:
        async with raging(counter) as storm:
            await asyncio.sleep(0.8)
            victim = cluster.primaries()[0]
            heir = cluster.replica_of(victim)
            storm.breaks()
            victim.kill()
            await asyncio.to_thread(wait_until, lambda: heir.is_master, "the replica is promoted")
            victim.start()  # A supervisor restarts it like this. It becomes the replica.
            await storm.quiet(BACK_WITHIN)
        await storm.audit()
        storm.require_sound()
        assert storm.outage, "no call failed"
        if replicas:
            assert (storm.accepted_twice, storm.limits_exceeded) == (0, 0), storm


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # The reason is at the end of the test.
@pytest.mark.parametrize("replicas", [0, 1])
async def test_the_primary_behind_sentinels_is_killed(
    library: str, watched: Watched, namespace: str, replicas: int
) -> None:
    async with opened(library, watched.url, namespace=namespace, policy=storm_policy(replicas)) as counter:
        async with raging(counter) as storm:
            await asyncio.sleep(0.8)
            storm.breaks()
            watched.primary.kill()
            await asyncio.sleep(1)
            await storm.quiet(BACK_WITHIN)
        await storm.audit()
        storm.require_sound()
        assert storm.outage, "no call failed"
        if replicas:
            assert (storm.accepted_twice, storm.limits_exceeded) == (0, 0), storm
    gc.collect()  # redis.asyncio may leave connections to the dead primary to the garbage collector.


async def test_a_cluster_that_hangs_is_given_up_in_time(library: str, cluster: Cluster, namespace: str) -> None:
    """All nodes are frozen, before the first call and after it. Each caller gets an error within seconds."""
    async with opened(library, cluster.url, namespace=namespace) as known, opened(library, cluster.url) as fresh:
        await known.issue("13800138000")
        for node in cluster.nodes:
            node.pause()
        try:
            for counter in (known, fresh):
                async with asyncio.timeout(8):
                    calls = [counter.verify("13800138000", "123456") for _ in range(16)]
                    answers = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
        finally:
            for node in cluster.nodes:
                node.resume()
        wait_until(lambda: len(cluster.primaries()) == 3, "the nodes answer")
