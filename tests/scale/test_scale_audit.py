"""The audit on a real cluster and behind Sentinels, and a walk through all keys of a cluster."""

from __future__ import annotations

from typing import Any

from clusters import Cluster
from counters import new_phone, opened, result, wrong
from redis import RedisCluster
from redis.cluster import ClusterNode
from redis.crc import key_slot
from support.rig import whole
from support.whole_life import POLICY, live

from otpkit.core.stored import KINDS
from otpkit.doctor.keys import examine_keys

PHONES = ["+8613800138000", "+8613800138001", "+8613900139000", "+8613600136000"]


async def test_actions_and_events_are_in_one_audit(library: str, store: Any, namespace: str) -> None:
    """Its streams lie in a slot of their own, on one node."""
    options: dict[str, Any] = {"namespace": namespace, "policy": whole(max_consecutive_failures=1)}
    async with opened(library, store, **options) as counter:
        phone, other = new_phone(), new_phone()
        await counter.issue(phone)
        await result(counter.verify(phone, wrong(counter.code(phone))))
        await counter.unblock(phone, actor="ann", reason="the user called")
        await counter.erase(other, actor="bob")
        audit = await counter.audit()
        assert sorted(each.action for each in audit.entries) == ["blocked", "erased", "unblocked"]
        assert {each.outcome for each in audit.entries} == {"done", ""}
        assert sorted(each.action for each in (await counter.audit(phone)).entries) == ["blocked", "unblocked"]


async def test_a_walk_finds_all_keys_of_a_cluster(cluster: Cluster, namespace: str) -> None:
    """After every call, each key on each primary is known and has a life. A planted one is found."""
    node: Any = ClusterNode
    with RedisCluster(startup_nodes=[node("127.0.0.1", cluster.nodes[0].port)], protocol=2) as client:
        live(cluster.url, client, namespace, PHONES)
        report = examine_keys(client, namespace, POLICY)
        assert report.findings == ()
        assert set(report.kinds) == {kind.name for kind in KINDS}
        keys = [key for primary in client.get_primaries() for key in client.scan_iter(target_nodes=primary)]
        mine = [key for key in keys if key.startswith(namespace.encode())]
        assert report.keys == len(mine)
        assert len({client.nodes_manager.get_node_from_slot(key_slot(key)).name for key in mine}) > 1
        planted = f"{namespace}:planted"
        client.set(planted, "1")
        assert examine_keys(client, namespace, POLICY).problems == 1
        client.delete(planted)
