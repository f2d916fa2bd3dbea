"""Servers that are killed and restarted: one with an append-only file, and clusters. This needs Linux."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from tests.support.servers import find_redis

NODE_TIMEOUT_MS = 2000
PATIENCE_S = 60.0  # Time for a server to load its file, or for a cluster to agree.
_BUS = 10_000  # A node's second port is its first plus this.
_SLOTS = 16_384
_PR_SET_PDEATHSIG = 1


class Node:
    """One server on its own TCP port and in its own directory. Both outlive its process."""

    def __init__(self, *options: str, settings: str = "") -> None:
        binary = find_redis()
        if binary is None:
            raise SystemExit("there is no redis-server on the PATH")
        self.port = _free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="otpkit-node-"))
        files = ["--dir", str(self.directory), "--logfile", str(self.directory / "log")]
        files += [] if settings else ["--save", ""]
        path = self.directory / "settings"
        path.write_text(settings, encoding="ascii")
        self._command = [binary, str(path), "--port", str(self.port), "--bind", "127.0.0.1", *files, *options]
        self.client: Any = redis.Redis(port=self.port, socket_timeout=PATIENCE_S)
        self.start()
        atexit.register(self.remove)

    def start(self) -> None:
        """Start the process, which ends with this one, and wait until it answers."""
        self._process = subprocess.Popen(self._command, preexec_fn=_die_with_parent)  # noqa: PLW1509 - no thread runs here
        self.wait(lambda: bool(self.client.ping()))

    def kill(self) -> None:
        """Kill the process like kill -9."""
        self._process.kill()
        self._process.wait()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds. Raise RuntimeError after a minute."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError):
                if condition():
                    return
            time.sleep(0.02)
        raise RuntimeError(f"the server of port {self.port} did not come round in {PATIENCE_S:.0f} s")

    def used_memory(self) -> int:
        """Return the bytes of its data, with the tables that contain it."""
        info = self.client.info("memory")
        buffers = ("mem_clients_normal", "mem_clients_slaves", "mem_replication_backlog", "mem_aof_buffer")
        return int(info["used_memory"] - info["used_memory_startup"] - sum(info.get(name, 0) for name in buffers))

    def say(self, *words: object) -> Any:
        """Run a command on this node."""
        return self.client.execute_command(*words)

    def remove(self) -> None:
        """Kill the process and remove its files."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The current process."""
        return self._process.pid

    @property
    def id(self) -> str:
        """The node's name in its cluster."""
        return str(_text(self.say("CLUSTER MYID")))

    @property
    def is_primary(self) -> bool:
        """Whether it is a primary now."""
        return bool(self.client.info("replication")["role"] == "master")


class Single:
    """One server whose append-only file is synced before each answer. With "none" it has no file."""

    def __init__(self, *, appendfsync: str = "always") -> None:
        self._has_file = appendfsync != "none"
        options = ["--appendonly", "yes", "--appendfsync", appendfsync] if self._has_file else ["--appendonly", "no"]
        self.name = f"one server, AOF {appendfsync}"
        self.nodes = [Node(*options)]
        self.url = f"redis://127.0.0.1:{self.nodes[0].port}/0"

    @property
    def primaries(self) -> list[Node]:
        """The nodes that have data of their own."""
        return self.nodes

    def settle_down(self) -> None:
        """Rewrite the append-only file, which a server would otherwise do later."""
        if self._has_file:
            self.nodes[0].say("BGREWRITEAOF")
            self.nodes[0].wait(lambda: not self.nodes[0].client.info("persistence")["aof_rewrite_in_progress"])

    def crash(self) -> tuple[float, str]:
        """Kill the server and restart it. Return the time of its death in epoch seconds, and its name."""
        died = time.time()
        self.nodes[0].kill()
        self.nodes[0].start()
        self.nodes[0].wait(lambda: not self.nodes[0].client.info("persistence")["loading"])
        return died, f"port {self.nodes[0].port}"


class Cluster:
    """Three primaries, or one, each with `replicas` replicas (0 or 1).

    Only the cluster's own configuration is on disk.
    """

    def __init__(self, *, replicas: int = 1, primaries: int = 3) -> None:
        self.name = f"cluster of {primaries} primaries, {replicas} replica{'s' * (replicas != 1)} each"
        self._primaries = primaries
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        options += ["--repl-diskless-sync-delay", "0", "--appendonly", "no"]
        self.nodes = [Node(*options) for _ in range(primaries * (1 + replicas))]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        self._join()

    @property
    def primaries(self) -> list[Node]:
        """The nodes that have data of their own."""
        return [node for node in self.nodes if node.is_primary]

    def settle_down(self) -> None:
        """Wait until every replica follows its primary."""
        for node in self.nodes:
            node.wait(lambda node=node: node.is_primary or _link(node) == "up")  # type: ignore[misc]
            node.wait(lambda node=node: "cluster_state:ok" in _info(node))  # type: ignore[misc]

    def crash(self) -> tuple[float, str]:
        """Kill a primary, wait until its replica has taken over, and restart it: empty, as a replica."""
        victim = random.choice(self.primaries)
        others = [node for node in self.nodes if node is not victim]
        died = time.time()
        victim.kill()
        # Otherwise an empty primary would come back.
        others[0].wait(lambda: sum(node.is_primary for node in others) == 3)
        others[0].wait(lambda: "cluster_state:ok" in _info(others[0]))
        time.sleep(NODE_TIMEOUT_MS / 1000)  # For some seconds, only two primaries have a replica.
        victim.start()
        victim.wait(lambda: not victim.is_primary)
        self.settle_down()
        return died, f"primary of port {victim.port}"

    def _join(self) -> None:
        first, share = self.nodes[0], _SLOTS // self._primaries + 1
        for number, node in enumerate(self.nodes):
            node.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                node.say("CLUSTER", "MEET", "127.0.0.1", first.port)
            if number < self._primaries:
                node.say("CLUSTER", "ADDSLOTSRANGE", share * number, min(share * (number + 1), _SLOTS) - 1)
        for node in self.nodes:
            node.wait(lambda node=node: f"cluster_known_nodes:{len(self.nodes)}" in _info(node))  # type: ignore[misc]
        for number, node in enumerate(self.nodes[self._primaries :]):
            node.wait(lambda node=node, of=self.nodes[number]: _replicate(node, of))  # type: ignore[misc]
        self.settle_down()


def _replicate(node: Node, of: Node) -> bool:
    return bool(node.say("CLUSTER", "REPLICATE", of.id))


def _info(node: Node) -> str:
    found = node.say("CLUSTER INFO")
    if isinstance(found, dict):
        return " ".join(f"{_text(name)}:{_text(value)}" for name, value in found.items())
    return str(_text(found))


def _link(node: Node) -> str:
    return str(node.client.info("replication").get("master_link_status"))


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _ports() -> Iterator[int]:
    while True:
        yield random.SystemRandom().randrange(20_000, 40_000)


def _free_port() -> int:
    for port in _ports():
        with contextlib.suppress(OSError), socket.socket() as plain, socket.socket() as bus:
            plain.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + _BUS))
            return port
    raise AssertionError


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
