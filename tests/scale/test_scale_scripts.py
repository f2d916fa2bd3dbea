"""The nodes of a phone's keys, and scripts that a server does not know."""

from __future__ import annotations

import pytest
from clusters import Cluster, Watched, slot_of
from counters import STORES, Counter, new_phone, opened, plain, wrong
from nodes import Node, wait_until


async def use(counter: Counter) -> str:
    """Make all common calls, and return the phone."""
    phone = new_phone()
    await counter.issue(phone, ip="198.51.100.9")
    with pytest.raises(Exception, match="Attempts left: 4"):
        await counter.verify(phone, wrong(counter.code(phone)), ip="198.51.100.9")
    proof = await counter.verify(phone, counter.code(phone))
    await counter.redeem(proof.token)
    await counter.issue(phone)
    await counter.status(phone)
    await counter.standing(phone)
    await counter.revoke(phone)
    await counter.unblock(phone)
    return phone


async def test_all_of_a_phone_lies_in_one_slot_and_many_phones_on_all_nodes(
    library: str, cluster: Cluster, namespace: str
) -> None:
    async with opened(library, cluster.url, namespace=namespace) as counter:
        phones = [new_phone() for _ in range(24)]
        for phone in phones:
            assert len({slot_of(key) for key in counter.keys(phone)}) == 1
            await counter.issue(phone)
        kept = [len(list(client.scan_iter(f"{namespace}:*:p"))) for client in plain(cluster.primaries())]
        assert sum(kept) == 24
        assert all(kept)


@pytest.mark.parametrize("store", STORES, indirect=True)
async def test_forgotten_scripts_cost_a_reload(counter: Counter, request: pytest.FixtureRequest) -> None:
    nodes: list[Node] = []
    if "cluster" in request.node.callspec.params["store"]:
        nodes += request.getfixturevalue("cluster_of_process").primaries()
    else:
        nodes.append(request.getfixturevalue("watched_of_process").primary)
    await use(counter)
    for _ in range(3):
        for node in nodes:
            node.ask("SCRIPT", "FLUSH")
        await use(counter)


def promote(heir: Node, old: Node) -> None:
    """Make a replica the primary. On a busy machine an election may fail, and Redis gives up after 5 s."""
    for tries_left in (2, 1, 0):
        heir.ask("CLUSTER", "FAILOVER", "FORCE")
        try:
            wait_until(lambda: heir.is_master and not old.is_master, "the replica is promoted", 6.0)
        except RuntimeError:
            if not tries_left:
                raise
        else:
            return


async def test_a_promoted_replica_of_a_cluster_learns_the_scripts(
    library: str, cluster: Cluster, namespace: str
) -> None:
    async with opened(library, cluster.url, namespace=namespace) as counter:
        phone = await use(counter)
        old = cluster.owner(slot_of(counter.keys(phone)[0]))
        heir = cluster.replica_of(old)
        heir.ask("SCRIPT", "FLUSH")
        promote(heir, old)
        await counter.erase(phone)
        assert (await counter.issue(phone)).delivery == "accepted"
        assert (await counter.verify(phone, counter.code(phone))).phone == phone


async def test_a_promoted_replica_behind_sentinels_learns_the_scripts(
    library: str, watched: Watched, namespace: str
) -> None:
    async with opened(library, watched.url, namespace=namespace) as counter:
        await use(counter)
        old = watched.primary
        for replica in watched.replicas():
            replica.ask("SCRIPT", "FLUSH")
        watched.sentinels[0].ask("SENTINEL", "FAILOVER", "otp")
        wait_until(lambda: old not in watched.primaries_named(), "a replica is promoted", 20.0)
        old.kill()  # It would take some time to notice that it is a replica now.
        await use(counter)
