"""Redis as in production: a cluster of three primaries with a replica each, and a primary behind Sentinels."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from nodes import Node, binary, free_port, server_node, wait_until
from redis.crc import key_slot

MASTER_NAME = "otp"
NODE_TIMEOUT_MS = 2000
DOWN_AFTER_MS = 1000
RECOVERY_SECONDS = 30.0
_SLOTS = 16_384
_TRIES = 3  # Another process may take a free port before the node starts.

T = TypeVar("T", "Cluster", "Watched")


class _Row(NamedTuple):
    """One node's record of another node, or of itself."""

    flags: list[str]
    ranges: list[list[str]]


class Cluster:
    """Six nodes. Failovers change the primaries. `heal` restores the cluster."""

    def __init__(self, directory: Path) -> None:
        timeout = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        self.nodes = [server_node(directory, *timeout, "--cluster-replica-validity-factor", "0") for _ in range(6)]

    def start(self) -> None:
        """Start the nodes, and wait until the cluster is complete."""
        for node in self.nodes:
            node.start()
        self._join()
        self.heal()

    @property
    def url(self) -> str:
        """The URL of two nodes. A client discovers the others."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    def _join(self) -> None:
        share = -(-_SLOTS // 3)
        for index, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            if index < 3:
                node.ask("CLUSTER", "ADDSLOTSRANGE", index * share, min(_SLOTS, (index + 1) * share) - 1)
            if index:
                node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: all(len(self._table(node)) == 6 for node in self.nodes), "all nodes have met")
        for replica, primary in zip(self.nodes[3:], self.nodes[:3], strict=True):
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))

    def heal(self) -> None:
        """Restart killed nodes, resume frozen ones, and wait until each primary has its replica."""
        for node in self.nodes:
            if node.runs:
                node.resume()
            else:
                node.start()
        wait_until(self._is_whole, "the cluster is whole", RECOVERY_SECONDS)

    def _is_whole(self) -> bool:
        for node in self.nodes:
            state = node.ask("CLUSTER", "INFO")
            if "cluster_state:ok" not in state or any("fail" in " ".join(row.flags) for row in self._table(node)):
                return False
            if not node.is_master and node.info("replication")["master_link_status"] != "up":
                return False
        primaries = self.primaries()
        return len(primaries) == 3 and all(_replicas(node) == 1 for node in primaries)

    def primaries(self) -> list[Node]:
        """Return the nodes that report to be primaries."""
        return [node for node in self.nodes if node.runs and node.is_master]

    def owner(self, slot: int) -> Node:
        """Return the primary of a slot."""
        for primary in self.primaries():
            own = next(row for row in self._table(primary) if "myself" in row.flags)
            if any(int(ends[0]) <= slot <= int(ends[-1]) for ends in own.ranges):
                return primary
        raise LookupError(slot)

    def replica_of(self, primary: Node) -> Node:
        """Return the replica of a primary."""
        return next(node for node in self.nodes if node not in self.primaries() and node.ask("ROLE")[2] == primary.port)

    def _table(self, node: Node) -> list[_Row]:
        rows = [line.split() for line in node.ask("CLUSTER", "NODES").splitlines()]
        # A "[" marks a slot that is being moved.
        return [
            _Row(row[2].split(","), [part.split("-") for part in row[8:] if part[0] != "["])
            for row in rows
            if "handshake" not in row[2]
        ]

    def move_slot(self, slot: int, source: Node, target: Node, pause: Callable[[], object] = lambda: None) -> None:
        """Move a slot as `redis-cli --cluster reshard` does, key by key.

        Call `pause` before the first key and after each.
        """
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))
        pause()
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            pause()
        for node in (target, source, *(n for n in self.primaries() if n not in (target, source))):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.ask("CLUSTER", "MYID"))

    def discard(self) -> None:
        """Stop and remove all nodes."""
        for node in self.nodes:
            node.discard()


class Watched:
    """A primary with two replicas, and three Sentinels that monitor it."""

    def __init__(self, directory: Path) -> None:
        primary = server_node(directory)
        followers = ["--replicaof", f"127.0.0.1 {primary.port}"]
        self.servers = [primary, server_node(directory, *followers), server_node(directory, *followers)]
        self.sentinels = [_sentinel(directory, primary.port) for _ in range(3)]

    def start(self) -> None:
        """Start all processes, and wait until the replicas follow."""
        for node in (*self.servers, *self.sentinels):
            node.start()
        for sentinel in self.sentinels:
            # In ms. The defaults are 10 s and 2 s.
            sentinel.ask("SENTINEL", "DEBUG", "INFO-PERIOD", 500, "PUBLISH-PERIOD", 500)
        self.heal()

    @property
    def url(self) -> str:
        """The URL of all Sentinels."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{node.port}' for node in self.sentinels)}/{MASTER_NAME}"

    def primaries_named(self) -> list[Node]:
        """Return the primary that each Sentinel reports. They differ only during a failover."""
        ports = [int(_pairs(each.ask("SENTINEL", "MASTER", MASTER_NAME))["port"]) for each in self.sentinels]
        return [next(node for node in self.servers if node.port == port) for port in ports]

    @property
    def primary(self) -> Node:
        """The primary that the first Sentinel reports."""
        return self.primaries_named()[0]

    def replicas(self) -> list[Node]:
        """Return the servers that follow the primary."""
        return [node for node in self.servers if node is not self.primary]

    def heal(self) -> None:
        """Restart killed servers, resume frozen ones, and wait until two replicas follow."""
        for node in self.servers:
            if node.runs:
                node.resume()
            else:
                node.start()
        wait_until(self._is_whole, "the replicas follow, and the Sentinels know them", RECOVERY_SECONDS)

    def _is_whole(self) -> bool:
        primary = self.primary
        if not primary.runs or not primary.is_master or _replicas(primary) != 2:
            return False
        for sentinel in self.sentinels:
            state = _pairs(sentinel.ask("SENTINEL", "MASTER", MASTER_NAME))
            knows = int(state["port"]), state["flags"], state["num-slaves"], state["num-other-sentinels"]
            followers = map(_pairs, sentinel.ask("SENTINEL", "REPLICAS", MASTER_NAME))
            if knows != (primary.port, "master", "2", "2") or any(row["flags"] != "slave" for row in followers):
                return False
        return all(node.info("replication")["master_link_status"] == "up" for node in self.replicas())

    def discard(self) -> None:
        """Stop and remove all servers and Sentinels."""
        for node in (*self.sentinels, *self.servers):
            node.discard()


def _sentinel(directory: Path, primary_port: int) -> Node:
    port = free_port()
    place = directory / str(port)
    place.mkdir(parents=True)
    settings = (
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {place}",
        f"logfile {place}/log",
        f"sentinel monitor {MASTER_NAME} 127.0.0.1 {primary_port} 2",
        f"sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}",
        f"sentinel failover-timeout {MASTER_NAME} 4000",
        f"sentinel parallel-syncs {MASTER_NAME} 2",
    )
    (place / "sentinel.conf").write_text("\n".join(settings))
    return Node(place, port, [binary(), str(place / "sentinel.conf"), "--sentinel"])


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _replicas(primary: Node) -> int:
    """Return the number of replicas that follow a primary and have all its data."""
    state = primary.info("replication")
    return sum(state[f"slave{index}"]["state"] == "online" for index in range(state["connected_slaves"]))


@contextlib.contextmanager
def started(build: Callable[[Path], T]) -> Iterator[T]:
    """Build a cluster in a new directory, start it, and yield it. Stop and remove it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="otpkit-scale-"))
    try:
        for remaining in reversed(range(_TRIES)):
            built = build(directory)
            try:
                built.start()
                break
            except RuntimeError:
                built.discard()
                if not remaining:
                    raise
        try:
            yield built
        finally:
            built.discard()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def slot_of(phone_key: str) -> int:
    """Return the cluster slot of a key."""
    return key_slot(phone_key.encode())
