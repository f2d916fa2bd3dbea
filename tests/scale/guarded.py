"""Servers, Sentinels and a cluster that require a password, TLS by a private CA, or both."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis
from nodes import Node, binary, free_port, wait_until

PEM = Path(__file__).parents[1] / "gateways" / "loopback.pem"
NAME = "otp"
PRIMARY = ("bob", "p@ss:w/rd?#&%+1 é")
SENTINEL = ("eve", "s@ntinel:/?#&%+2 é")


def encoded(pair: tuple[str, str]) -> str:
    """Return a user and a password, encoded for a URL."""
    return ":".join(quote(part, safe="") for part in pair)


class Guarded(Node):
    """A node whose client uses the credentials and the TLS of its arguments."""

    def __init__(self, directory: Path, settings: list[str], *, sentinel: bool, tls: bool, **client: Any) -> None:
        port = free_port()
        place = directory / str(port)
        place.mkdir(parents=True)
        self.client = {"port": port, "ssl": tls, "ssl_ca_certs": str(PEM) if tls else None} | client
        lines = ["bind 127.0.0.1", f"dir {place}", "logfile log", *settings]
        lines += [f"tls-port {port}", "port 0", *_TLS] if tls else [f"port {port}"]
        (place / "conf").write_text("\n".join(lines), encoding="utf-8")
        super().__init__(place, port, [binary(), str(place / "conf"), *(["--sentinel"] if sentinel else [])])

    def ask(self, *command: Any) -> Any:
        with redis.Redis(**self.client, socket_timeout=5, decode_responses=True) as client:
            return client.execute_command(*command)


_TLS = [f"tls-cert-file {PEM}", f"tls-key-file {PEM}", f"tls-ca-cert-file {PEM}", "tls-auth-clients no"]


@contextmanager
def directory() -> Iterator[Path]:
    """Yield a new directory, and remove it at the end."""
    place = Path(tempfile.mkdtemp(prefix="otpkit-guarded-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _user(pair: tuple[str, str]) -> list[str]:
    # The default user is off, so that a client without credentials fails.
    return ["user default off", f'user {pair[0]} on ">{pair[1]}" ~* &* +@all']


@contextmanager
def watched(
    *, tls: bool = False, primary_user: bool = True, sentinel_user: bool = True
) -> Iterator[tuple[str, list[Node]]]:
    """Yield the hosts of two Sentinels in the form of a URL, and the nodes, the primary first."""
    with directory() as place:
        user, password = PRIMARY
        own = {"username": user, "password": password} if primary_user else {}
        primary = Guarded(place, ['save ""', *(_user(PRIMARY) if primary_user else [])], sentinel=False, tls=tls, **own)
        settings = [
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} 2",
            f"sentinel down-after-milliseconds {NAME} 1000",
            *(["tls-replication yes"] if tls else []),
        ]
        if primary_user:
            settings += [f"sentinel auth-user {NAME} {user}", f'sentinel auth-pass {NAME} "{password}"']
        own = {"username": SENTINEL[0], "password": SENTINEL[1]} if sentinel_user else {}
        settings += _user(SENTINEL) if sentinel_user else []
        sentinels = [Guarded(place, settings, sentinel=True, tls=tls, **own) for _ in range(2)]
        nodes: list[Node] = [primary, *sentinels]
        try:
            for node in nodes:
                node.start()
            wait_until(lambda: all(_flags(node) == "master" for node in sentinels), "the Sentinels know the primary")
            yield ",".join(f"127.0.0.1:{node.port}" for node in sentinels), nodes
        finally:
            for node in nodes:
                node.discard()


def _flags(node: Node) -> Any:
    answer = node.ask("SENTINEL", "MASTER", NAME)
    return answer["flags"] if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))["flags"]


@contextmanager
def single(*, tls: bool = False) -> Iterator[Node]:
    """Yield a server that requires a user."""
    user, password = PRIMARY
    with directory() as place:
        node = Guarded(place, ['save ""', *_user(PRIMARY)], sentinel=False, tls=tls, username=user, password=password)
        try:
            node.start()
            yield node
        finally:
            node.discard()


@contextmanager
def cluster(*, tls: bool = False) -> Iterator[Node]:
    """Yield a cluster of one node that requires a user."""
    with directory() as place:
        settings = ['save ""', "cluster-enabled yes", *_user(PRIMARY), *(["tls-cluster yes"] if tls else [])]
        node = Guarded(place, settings, sentinel=False, tls=tls, username=PRIMARY[0], password=PRIMARY[1])
        try:
            node.start()
            node.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: _is_whole(node), "the cluster is whole")
            yield node
        finally:
            node.discard()


def _is_whole(node: Node) -> bool:
    with suppress(redis.RedisError):
        return "cluster_state:ok" in node.ask("CLUSTER", "INFO")
    return False
