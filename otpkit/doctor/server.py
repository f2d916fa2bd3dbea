"""Interpret the facts of a Redis server. These are pure functions from a `Node` to a `Finding`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otpkit.doctor.findings import Finding, refused, worst
from otpkit.errors import OTPError, StoreUnavailableError

OLDEST: Final = (6, 2)
SLOW_MS: Final = 20.0  # A call takes one to three round trips.
CLOCKS_APART_S: Final = 2.0
FULL: Final = 0.9  # the used part of maxmemory
SLOTS: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The facts of one server. Facts that it refused are empty or None.

    `info` and `cluster` are the replies to INFO and CLUSTER INFO. `config` holds the settings that could be read.
    `name` is the server's address, if there are several servers. `ahead_s` is how many seconds its clock is ahead of
    this host's. `confirming` is how many replicas must confirm each write (`Policy.replicas`).
    """

    name: str = ""
    clustered: bool = False  # The client is a cluster client.
    error: OTPError | None = None
    latency_ms: float = 0.0
    ahead_s: float | None = None
    info: Mapping[str, Any]
    config: Mapping[str, str]
    cluster: Mapping[str, str] | None = None
    confirming: int = 0


def examine_server(nodes: Sequence[Node]) -> list[Finding]:
    """Return the findings of all checks. For each check, it is the worst of all nodes."""
    found = [worst([(node.name, reached(node)) for node in nodes])]
    if answering := [node for node in nodes if node.error is None]:
        found += [worst([(node.name, _apply(name, node)) for node in answering]) for name in CHECKS]
    return found


def reached(node: Node) -> Finding:
    """Report if the server responds."""
    if node.error is None:
        return Finding("redis", "ok", "The server responds.")
    return unreached(node.error)


def unreached(error: OTPError) -> Finding:
    """Report an error that came before any response."""
    remedy = "Check that the server runs, and that OTPKIT_REDIS_URL points to it."
    if isinstance(error, StoreUnavailableError):
        return Finding("redis", "problem", error.problem, remedy)
    return refused("redis", error, remedy)


def version(node: Node) -> Finding:
    """Check the version of Redis or Valkey. Valkey reports the Redis version it is compatible with, beside its own."""
    valkey, redis = node.info.get("valkey_version"), str(node.info.get("redis_version", ""))
    name = f"Valkey {valkey}" if valkey else f"Redis {redis}"
    numbers = tuple(map(int, re.findall(r"\d+", redis)[:2]))
    if not numbers:
        return Finding("version", "warning", "The server does not report it.", "Use Redis 6.2 or later, or Valkey.")
    if numbers < OLDEST:
        remedy = "Upgrade to Redis 6.2 or later, or to Valkey."
        return Finding("version", "problem", f"{name}, which is too old.", remedy)
    return Finding("version", "ok", f"{name}.")


def latency(node: Node) -> Finding:
    """Check the time of a round trip."""
    found = f"{node.latency_ms:.1f} ms for a PING, the median of several."
    if node.latency_ms <= SLOW_MS:
        return Finding("latency", "ok", found)
    return Finding(
        "latency",
        "warning",
        found,
        "Run Redis closer to the application: every call waits for one to three round trips.",
    )


def clock(node: Node) -> Finding:
    """Check that the clocks of server and host agree."""
    if node.ahead_s is None:
        return Finding("clock", "warning", "The server refused TIME, so the clocks can't be compared.", _ALLOW)
    if abs(node.ahead_s) <= CLOCKS_APART_S:
        return Finding("clock", "ok", f"The clocks of server and host agree within {CLOCKS_APART_S:.0f} s.")
    side = "ahead of" if node.ahead_s > 0 else "behind"
    return Finding(
        "clock",
        "warning",
        f"The server's clock is {abs(node.ahead_s):.1f} s {side} this host's. Codes, limits and `redeem` use the "
        "server's clock; `check` and the gateway's records use the host's.",
        "Synchronize both clocks with NTP.",
    )


def eviction(node: Node) -> Finding:
    """Check if Redis may evict keys that have not expired."""
    policy, most = str(node.info.get("maxmemory_policy", "")), int(node.info.get("maxmemory", 0))
    if not policy:
        return Finding("eviction", "warning", "The server does not report it.", "Set maxmemory-policy noeviction.")
    if policy != "noeviction":
        # A block has no TTL, so policies for keys with a TTL (volatile-…) don't evict it.
        dropped = "codes, limits and blocks" if policy.startswith("allkeys") else "codes and limits"
        return Finding(
            "eviction",
            "problem" if most else "warning",
            f"maxmemory-policy is {policy}. "
            + ("When memory is full" if most else "maxmemory is 0 now; if it is set and memory is full")
            + f", Redis evicts {dropped} early, and the guard's counts.",
            "Set maxmemory-policy noeviction. A full Redis then refuses new codes, but loses no limit.",
        )
    if most and int(node.info.get("used_memory", 0)) > FULL * most:
        return Finding(
            "eviction",
            "warning",
            f"noeviction, and over {FULL:.0%} of maxmemory is used. When it is full, no code can be issued.",
            "Raise maxmemory.",
        )
    return Finding("eviction", "ok", "noeviction: no key is evicted early.")


def persistence(node: Node) -> Finding:
    """Check which data a restart loses."""
    info, config = node.info, node.config
    if "aof_enabled" not in info:
        return Finding("persistence", "warning", "The server does not report it.", _PERSIST)
    has_aof, saves = bool(info["aof_enabled"]), config.get("save")
    if has_aof and info.get("aof_last_write_status", "ok") != "ok":
        return Finding("persistence", "problem", "The last write to the append-only file failed.", _DISK)
    if saves and info.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding("persistence", "problem", "The last snapshot failed; Redis may refuse writes.", _DISK)
    if has_aof:
        return _append_only(config.get("appendfsync", ""))
    if saves:
        found = f"Only snapshots: a crash loses all live codes, limits and blocks since the last one. {_TWICE}"
    elif saves is None:
        found = (
            "No append-only file, and the server does not report if it takes snapshots. A crash loses all live codes, "
            f"limits and blocks, or those since the last snapshot. {_TWICE}"
        )
    else:
        found = (
            "None: a restart loses all live codes, limits and blocks. Older codes and proofs are then worthless, but a "
            "blocked phone is no longer blocked, and every limit starts again."
        )
    return Finding("persistence", "warning", found, _PERSIST)


def replication(node: Node) -> Finding:
    """Check that this is the primary, and which data a failover loses."""
    info = node.info
    if "sentinel" in {info.get("redis_mode"), info.get("server_mode")}:
        remedy = "Use redis+sentinel://host:port/name, with the name of its primary."
        return Finding("replication", "problem", "This is a Sentinel, which stores no data.", remedy)
    if info.get("role") == "slave":
        return Finding(
            "replication",
            "problem",
            "This is a replica: it accepts no writes.",
            "Point OTPKIT_REDIS_URL to the primary, or let redis+sentinel:// find it.",
        )
    if "role" not in info:
        return Finding(
            "replication", "warning", "The server does not report it.", "Make sure that this is the primary."
        )
    return _primary(node, int(info.get("connected_slaves", 0)))


def cluster(node: Node) -> Finding:
    """Check that a cluster is complete, and that the client is a cluster client."""
    if not int(node.info.get("cluster_enabled", 0)):
        return Finding("cluster", "ok", "This is not a cluster.")
    if not node.clustered:
        return Finding(
            "cluster", "problem", "This is one node of a cluster. It serves only a part of the phones.", _CLUSTER_URL
        )
    if node.cluster is None:
        return Finding("cluster", "warning", "The server refused CLUSTER INFO.", _ALLOW)
    served = int(node.cluster.get("cluster_slots_ok", 0))
    if node.cluster.get("cluster_state") != "ok":
        return Finding(
            "cluster",
            "problem",
            f"Its state is {node.cluster.get('cluster_state')}: {served} of {SLOTS} slots are served.",
            "Restore the missing nodes, or move their slots to other nodes: `redis-cli --cluster check`.",
        )
    if served < SLOTS:
        return Finding(
            "cluster",
            "warning",
            f"{served} of {SLOTS} slots are served: some phones can't be verified.",
            "Find the failing nodes: `redis-cli --cluster check`.",
        )
    return Finding("cluster", "ok", f"{node.cluster.get('cluster_size')} primaries serve all slots.")


CHECKS: Final[Mapping[str, Callable[[Node], Finding]]] = {
    check.__name__: check for check in (version, latency, clock, eviction, persistence, replication, cluster)
}
_WITHOUT_INFO: Final = {"latency", "clock"}

_ALLOW = "Allow it for the user of OTPKIT_REDIS_URL."
_DISK = "Check the server's disk and its log."
_PERSIST = "Set appendonly yes, with appendfsync everysec or always."
_TWICE = "A used code or a redeemed proof may then be accepted a second time."
_CLUSTER_URL = "Use redis+cluster:// in OTPKIT_REDIS_URL."


def _apply(name: str, node: Node) -> Finding:
    if not node.info and name not in _WITHOUT_INFO:
        return Finding(name, "warning", "The server refused INFO, so this can't be checked.", _ALLOW)
    return CHECKS[name](node)


def _append_only(fsync: str) -> Finding:
    if fsync == "always":
        return Finding(
            "persistence", "ok", "Append-only file, flushed to disk with every command: a crash loses nothing."
        )
    lost = {
        "everysec": "flushed to disk every second: a crash of the machine may lose the last one or two seconds.",
        "no": "flushed to disk by the operating system: a crash of the machine may lose half a minute.",
    }.get(fsync, "and the server does not report how often it is flushed: a crash may lose some seconds.")
    remedy = "Set appendfsync always if that matters more than speed."
    if fsync != "everysec":
        remedy = "Set appendfsync everysec, or always if that matters more than speed."
    return Finding("persistence", "warning", f"Append-only file, {lost} {_TWICE}", remedy)


def _primary(node: Node, replicas: int) -> Finding:
    keeping_up = node.info.get("min_slaves_good_slaves")  # The server reports it only while the setting is in force.
    wanted = int(node.config.get("min-replicas-to-write", 1))
    has = f"A primary with {replicas} {'replica' if replicas == 1 else 'replicas'}"
    if keeping_up is not None and int(keeping_up) < wanted:
        return Finding(
            "replication",
            "problem",
            f"{has}, of which {keeping_up} keep up. min-replicas-to-write is {wanted}, so it accepts no writes.",
            "Restore the replicas, or lower min-replicas-to-write.",
        )
    if replicas and keeping_up is None and not node.confirming:
        return Finding(
            "replication",
            "warning",
            f"{has}, and no min-replicas-to-write: a failover loses writes that no replica has received. {_TWICE}",
            'Set "replicas": 1 in OTPKIT_POLICY, or pass Policy(replicas=1), and set min-replicas-to-write 1.',
        )
    if not replicas and node.clustered:
        return Finding(
            "replication", "warning", f"{has}: if it fails, its slots are lost.", "Add a replica to every primary."
        )
    rule = "" if keeping_up is None else f"; it accepts writes while at least {wanted} keep up"
    return Finding("replication", "ok", f"{has}{rule}.")
