"""What the facts of a Redis server mean: pure functions from a `Node` to a `Finding`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from otpkit.doctor.findings import Finding, refused, worst
from otpkit.errors import OTPError, StoreUnavailableError

OLDEST: Final = (6, 2)
SLOW_MS: Final = 20.0  # a call takes one to three round trips
CLOCKS_APART_S: Final = 2.0
FULL: Final = 0.9  # of maxmemory
SLOTS: Final = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One server: what it says of itself. What it refused to say is empty or None.

    `info` and `cluster` are the answers to INFO and CLUSTER INFO, `config` what could be read of its settings. `name`
    is its address, where there are several. `ahead_s` is by how many seconds its clock is before this host's.
    `confirming` is how many replicas must confirm each write, as `Policy.replicas` says.
    """

    name: str = ""
    clustered: bool = False  # whether the client is one for clusters
    error: OTPError | None = None
    latency_ms: float = 0.0
    ahead_s: float | None = None
    info: Mapping[str, Any]
    config: Mapping[str, str]
    cluster: Mapping[str, str] | None = None
    confirming: int = 0


def examine_server(nodes: Sequence[Node]) -> list[Finding]:
    """Return what every check found, the worst of all nodes."""
    found = [worst([(node.name, reached(node)) for node in nodes])]
    if answering := [node for node in nodes if node.error is None]:
        found += [worst([(node.name, _apply(name, node)) for node in answering]) for name in CHECKS]
    return found


def reached(node: Node) -> Finding:
    """Whether it answers."""
    if node.error is None:
        return Finding("redis", "ok", "It answers.")
    return unreached(node.error)


def unreached(error: OTPError) -> Finding:
    """What an error says that came before any answer."""
    remedy = "See that the server runs, and that OTPKIT_REDIS_URL leads to it."
    if isinstance(error, StoreUnavailableError):
        return Finding("redis", "problem", error.problem, remedy)
    return refused("redis", error, remedy)


def version(node: Node) -> Finding:
    """Redis, or Valkey, which gives the version of Redis that it is compatible with beside its own."""
    valkey, redis = node.info.get("valkey_version"), str(node.info.get("redis_version", ""))
    name = f"Valkey {valkey}" if valkey else f"Redis {redis}"
    numbers = tuple(map(int, re.findall(r"\d+", redis)[:2]))
    if not numbers:
        return Finding("version", "warning", "It does not say.", "Use Redis 6.2 or later, or Valkey.")
    if numbers < OLDEST:
        remedy = "Upgrade to Redis 6.2 or later, or to Valkey."
        return Finding("version", "problem", f"{name}, which is too old.", remedy)
    return Finding("version", "ok", f"{name}.")


def latency(node: Node) -> Finding:
    """How long a round trip takes."""
    found = f"{node.latency_ms:.1f} ms for a PING, the median of several."
    if node.latency_ms <= SLOW_MS:
        return Finding("latency", "ok", found)
    return Finding(
        "latency", "warning", found, "Run Redis nearer to the application: every call waits for one to three of these."
    )


def clock(node: Node) -> Finding:
    """Whether server and host agree on the time."""
    if node.ahead_s is None:
        return Finding("clock", "warning", "It refused TIME, so the clocks can't be compared.", _ALLOW)
    if abs(node.ahead_s) <= CLOCKS_APART_S:
        return Finding("clock", "ok", f"The server's and this host's agree, within {CLOCKS_APART_S:.0f} s.")
    side = "ahead of" if node.ahead_s > 0 else "behind"
    return Finding(
        "clock",
        "warning",
        f"The server's is {abs(node.ahead_s):.1f} s {side} this host's. Codes, limits and redeem go by the server's; "
        "check and the gateway's records by the host's.",
        "Let NTP keep both.",
    )


def eviction(node: Node) -> Finding:
    """Whether Redis may drop what it is told to keep."""
    policy, most = str(node.info.get("maxmemory_policy", "")), int(node.info.get("maxmemory", 0))
    if not policy:
        return Finding("eviction", "warning", "It does not say.", "Set maxmemory-policy noeviction.")
    if policy != "noeviction":
        # A block has no end of its own, so the policies for keys that have one spare it.
        dropped = "codes, limits and blocks" if policy.startswith("allkeys") else "codes and limits"
        return Finding(
            "eviction",
            "problem" if most else "warning",
            f"maxmemory-policy is {policy}: "
            + ("when" if most else "once there is a maxmemory, which is 0 now, and")
            + f" memory is full, it drops {dropped} before their time.",
            "Set maxmemory-policy noeviction: a full Redis then refuses new codes, and forgets no limit.",
        )
    if most and int(node.info.get("used_memory", 0)) > FULL * most:
        return Finding(
            "eviction",
            "warning",
            f"noeviction, and over {FULL:.0%} of maxmemory is used: when it is full, no code can be issued.",
            "Raise maxmemory.",
        )
    return Finding("eviction", "ok", "noeviction: nothing is dropped before its time.")


def persistence(node: Node) -> Finding:
    """What a restart forgets."""
    info, config = node.info, node.config
    if "aof_enabled" not in info:
        return Finding("persistence", "warning", "It does not say.", _PERSIST)
    has_aof, saves = bool(info["aof_enabled"]), config.get("save")
    if has_aof and info.get("aof_last_write_status", "ok") != "ok":
        return Finding("persistence", "problem", "The last write of the append-only file failed.", _DISK)
    if saves and info.get("rdb_last_bgsave_status", "ok") != "ok":
        return Finding("persistence", "problem", "The last snapshot failed; Redis may refuse writes.", _DISK)
    if has_aof:
        return _append_only(config.get("appendfsync", ""))
    if saves:
        found = f"Snapshots alone: a crash forgets all since the last one: live codes, limits and blocks. {_TWICE}"
    elif saves is None:
        found = (
            "No append-only file, and it does not say whether there are snapshots: a crash forgets all, or all since "
            f"the last one: live codes, limits and blocks. {_TWICE}"
        )
    else:
        found = (
            "None: a restart forgets all: live codes, limits and blocks. No code or proof from before is good then, "
            "but a blocked phone is free, and every limit starts anew."
        )
    return Finding("persistence", "warning", found, _PERSIST)


def replication(node: Node) -> Finding:
    """Whether this is the primary, and what a failover forgets."""
    info = node.info
    if "sentinel" in {info.get("redis_mode"), info.get("server_mode")}:
        remedy = "Write redis+sentinel://host:port/name, with the name of its primary."
        return Finding("replication", "problem", "This is a Sentinel, which keeps no data.", remedy)
    if info.get("role") == "slave":
        return Finding(
            "replication",
            "problem",
            "This is a replica: it takes no writes.",
            "Point OTPKIT_REDIS_URL at the primary, or let redis+sentinel:// find it.",
        )
    if "role" not in info:
        return Finding("replication", "warning", "It does not say.", "Make sure that this is the primary.")
    return _primary(node, int(info.get("connected_slaves", 0)))


def cluster(node: Node) -> Finding:
    """Whether a cluster is whole, and spoken to as one."""
    if not int(node.info.get("cluster_enabled", 0)):
        return Finding("cluster", "ok", "It is none.")
    if not node.clustered:
        return Finding(
            "cluster", "problem", "This is one node of a cluster, which serves some phones alone.", _CLUSTER_URL
        )
    if node.cluster is None:
        return Finding("cluster", "warning", "It refused CLUSTER INFO.", _ALLOW)
    served = int(node.cluster.get("cluster_slots_ok", 0))
    if node.cluster.get("cluster_state") != "ok":
        return Finding(
            "cluster",
            "problem",
            f"Its state is {node.cluster.get('cluster_state')}: {served} of {SLOTS} slots are served.",
            "Bring the missing nodes back, or give their slots to others: `redis-cli --cluster check`.",
        )
    if served < SLOTS:
        return Finding(
            "cluster",
            "warning",
            f"{served} of {SLOTS} slots are served: some phones can't be verified.",
            "Look for failing nodes: `redis-cli --cluster check`.",
        )
    return Finding("cluster", "ok", f"It is whole: {node.cluster.get('cluster_size')} primaries serve all slots.")


CHECKS: Final[Mapping[str, Callable[[Node], Finding]]] = {
    check.__name__: check for check in (version, latency, clock, eviction, persistence, replication, cluster)
}
_WITHOUT_INFO: Final = {"latency", "clock"}

_ALLOW = "Allow it to the user of OTPKIT_REDIS_URL."
_DISK = "Look at the server's disk and its log."
_PERSIST = "Set appendonly yes, with appendfsync everysec or always."
_TWICE = "A code that was used, and a proof that was redeemed, may then be good once more."
_CLUSTER_URL = "Write redis+cluster:// in OTPKIT_REDIS_URL."


def _apply(name: str, node: Node) -> Finding:
    if not node.info and name not in _WITHOUT_INFO:
        return Finding(name, "warning", "It refused INFO, so this can't be told.", _ALLOW)
    return CHECKS[name](node)


def _append_only(fsync: str) -> Finding:
    if fsync == "always":
        return Finding(
            "persistence", "ok", "Append-only file, flushed to the disk with every command: a crash forgets nothing."
        )
    lost = {
        "everysec": "flushed to the disk every second: a crash of the machine may forget the last one or two.",
        "no": "flushed to the disk when the system likes: a crash of the machine may forget half a minute.",
    }.get(fsync, "and it does not say how often it is flushed: a crash of the machine may forget some seconds.")
    remedy = "Set appendfsync always where that matters more than speed."
    if fsync != "everysec":
        remedy = "Set appendfsync everysec, or always where that matters more than speed."
    return Finding("persistence", "warning", f"Append-only file, {lost} {_TWICE}", remedy)


def _primary(node: Node, replicas: int) -> Finding:
    keeping_up = node.info.get("min_slaves_good_slaves")  # said only where the setting is in force
    wanted = int(node.config.get("min-replicas-to-write", 1))
    has = f"A primary with {replicas} {'replica' if replicas == 1 else 'replicas'}"
    if keeping_up is not None and int(keeping_up) < wanted:
        return Finding(
            "replication",
            "problem",
            f"{has}, of which {keeping_up} keep up; min-replicas-to-write asks for {wanted}, so it takes no writes.",
            "Bring the replicas back, or lower min-replicas-to-write.",
        )
    if replicas and keeping_up is None and not node.confirming:
        return Finding(
            "replication",
            "warning",
            f"{has}, and no min-replicas-to-write: a failover forgets what had not reached one. {_TWICE}",
            'Set "replicas": 1 in OTPKIT_POLICY, or pass Policy(replicas=1); and set min-replicas-to-write 1.',
        )
    if not replicas and node.clustered:
        return Finding(
            "replication", "warning", f"{has}: if it is lost, so are its slots.", "Give every primary a replica."
        )
    rule = "" if keeping_up is None else f"; it takes writes while {wanted} or more keep up"
    return Finding("replication", "ok", f"{has}{rule}.")
