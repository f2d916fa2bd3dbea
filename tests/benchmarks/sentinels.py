"""A primary, its replica and three Sentinels. The primary is killed."""

from __future__ import annotations

import time

from tests.benchmarks.nodes import Node

MASTER = "otp"
DOWN_AFTER_MS = 1000
_SETTINGS = """
sentinel monitor {master} 127.0.0.1 {port} 2
sentinel down-after-milliseconds {master} {down_after_ms}
sentinel failover-timeout {master} 5000
"""


class Sentinels:
    """Only the Sentinels' own configuration is on disk."""

    name = f"a primary and its replica behind three Sentinels (down-after {DOWN_AFTER_MS / 1000:g} s)"

    def __init__(self) -> None:
        self.data = [Node("--appendonly", "no", "--repl-diskless-sync-delay", "0") for _ in range(2)]
        self.data[1].say("REPLICAOF", "127.0.0.1", self.data[0].port)
        self.settle_down()
        self.sentinels = [self._sentinel() for _ in range(3)]
        for sentinel in self.sentinels:
            sentinel.wait(lambda sentinel=sentinel: _knows_all(sentinel))  # type: ignore[misc]
        self.url = f"redis+sentinel://{','.join(f'127.0.0.1:{s.port}' for s in self.sentinels)}/{MASTER}/0"

    @property
    def nodes(self) -> list[Node]:
        """All servers."""
        return [*self.data, *self.sentinels]

    @property
    def primaries(self) -> list[Node]:
        """The node that has data of its own."""
        return [node for node in self.data if node.is_primary]

    def settle_down(self) -> None:
        """Wait until the replica follows its primary."""
        for node in self.data:
            node.wait(lambda node=node: _follows(node))  # type: ignore[misc]

    def crash(self) -> tuple[float, str]:
        """Kill the primary, wait until its replica has taken over, and restart it: empty, as a replica."""
        (victim,) = self.primaries
        (other,) = (node for node in self.data if node is not victim)
        died = time.time()
        victim.kill()
        other.wait(lambda: other.is_primary)
        time.sleep(2 * DOWN_AFTER_MS / 1000)
        victim.start()
        victim.wait(lambda: not victim.is_primary)
        self.settle_down()
        return died, f"primary of port {victim.port}"

    def _sentinel(self) -> Node:
        settings = _SETTINGS.format(master=MASTER, port=self.data[0].port, down_after_ms=DOWN_AFTER_MS)
        return Node("--sentinel", settings=settings)


def _follows(node: Node) -> bool:
    said = node.client.info("replication")
    if said["role"] == "master":
        return True
    return bool(said["master_link_status"] == "up")


def _knows_all(sentinel: Node) -> bool:
    (known,) = sentinel.client.sentinel_masters().values()
    return bool(known["num-other-sentinels"] == 2 and known["num-slaves"] == 1)
