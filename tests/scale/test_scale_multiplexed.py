"""One connection to each node: in a cluster whose slots move, and behind Sentinels during a failover."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Counts
from typing import Any

from clusters import MASTER_NAME, Cluster, Watched, slot_of
from counters import Counter, new_phone, opened, result
from nodes import Node, wait_until
from support.rig import whole

from otpkit import Challenge, Proof, StoreUnavailableError
from otpkit.store.aio import AsyncStore

TASKS = 64
ROOMY = whole(sends="32/day")


def named(node: Node, name: str) -> list[str]:
    """Return the last command of each connection of this name on a node."""
    rows = [dict(pair.partition("=")[::2] for pair in row.split()) for row in node.ask("CLIENT", "LIST").splitlines()]
    return [row["cmd"] for row in rows if row["name"] == name]


def shared(counter: Counter) -> dict[str, int]:
    """Return the number of shared connections that are open to each node."""
    store: Any = counter.otp._store
    assert isinstance(store, AsyncStore)
    (binding,) = store._bindings.values()
    return {name: len([e for e in end._open if not e.has_ended]) for name, end in binding._endpoints.items()}


def accepted(nodes: list[Node]) -> int:
    """Return the number of connections that nodes have accepted in all."""
    return sum(int(node.info("stats")["total_connections_received"]) for node in nodes if node.runs)


async def test_slot_moves_under_many_tasks(cluster: Cluster, namespace: str) -> None:
    """After MOVED, ASK and TRYAGAIN every caller gets its own reply.

    Each node has one connection, and few were opened.
    """
    async with opened("async", f"{cluster.url}?client_name={namespace}", namespace=namespace, policy=ROOMY) as counter:
        first = new_phone()
        slot = slot_of(counter.keys(first)[0])
        phones = [first]
        while len(phones) < 6:
            if slot_of(counter.keys(phone := new_phone())[0]) == slot:
                phones.append(phone)
        others = [new_phone() for _ in range(TASKS)]
        await asyncio.gather(*map(counter.issue, phones + others))
        source = cluster.owner(slot)
        target = next(node for node in cluster.primaries() if node is not source)
        before = accepted(cluster.nodes)
        moving = asyncio.ensure_future(
            asyncio.to_thread(cluster.move_slot, slot, source, target, lambda: time.sleep(0.05))
        )
        told: Counts[type] = Counts()
        while not moving.done():
            asked = (phones * TASKS)[:TASKS] + others
            for phone, challenge in zip(
                asked, await asyncio.gather(*[result(counter.status(p)) for p in asked]), strict=True
            ):
                told[type(challenge)] += 1
                assert isinstance(challenge, StoreUnavailableError) or challenge.phone == phone
        await moving
        assert told[Challenge] > 10 * told[StoreUnavailableError]
        proofs = await asyncio.gather(*[counter.verify(phone, counter.code(phone)) for phone in phones])
        assert {type(proof) for proof in proofs} == {Proof}
        assert set(shared(counter).values()) == {1}
        made = accepted(cluster.nodes) - before
        asked_by_test = 60  # Each `ask` of the move opens a connection too.
        assert made < asked_by_test + 20, made
        for node in cluster.primaries():
            assert sum(command.startswith("eval") for command in named(node, namespace)) <= 1
        cluster.move_slot(slot, target, source)


async def test_failover_behind_sentinels(watched: Watched, namespace: str) -> None:
    """READONLY from the old primary leads to the new one. One connection is used, and the callers opened few."""
    async with opened("async", f"{watched.url}?client_name={namespace}", namespace=namespace, policy=ROOMY) as counter:
        phones = [new_phone() for _ in range(TASKS)]
        await asyncio.gather(*map(counter.issue, phones))
        old = watched.primary
        before = accepted(watched.servers)
        watched.sentinels[0].ask("SENTINEL", "FAILOVER", MASTER_NAME)
        is_over = asyncio.Event()

        async def fail_over() -> None:
            await asyncio.to_thread(
                wait_until, lambda: old not in watched.primaries_named() and not old.is_master, "the failover", 30.0
            )
            is_over.set()

        failing = asyncio.ensure_future(fail_over())
        while not is_over.is_set():
            await asyncio.gather(*[result(counter.status(phone)) for phone in phones])
        await failing
        for _ in range(100):
            if {type(told) for told in await asyncio.gather(*[result(counter.issue(p)) for p in phones])} == {
                Challenge
            }:
                break
            await asyncio.sleep(0.2)
        assert set(shared(counter).values()) == {1}
        assert len(named(watched.primary, namespace)) == 1
        made = accepted(watched.servers) - before
        print(f"{made} connections in the failover")
        assert made < 400, made
