"""A raw server on loopback. It records each request's bytes, and answers or fails as the test set it."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl

# A certificate for 127.0.0.1 and localhost, valid until 2126.
CERTIFICATE = str(Path(__file__).with_name("loopback.pem"))

Act = Callable[["Peer"], None]


class Request(NamedTuple):
    raw: bytes

    @property
    def line(self) -> str:
        return self.raw.split(b"\r\n", 1)[0].decode("ascii")

    @property
    def path(self) -> str:
        return self.line.split()[1].partition("?")[0]

    @property
    def query(self) -> str:
        return self.line.split()[1].partition("?")[2]

    @property
    def params(self) -> dict[str, str]:
        pairs = parse_qsl(self.query, keep_blank_values=True, strict_parsing=True, errors="strict")
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        pairs = parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict")
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}


class Peer:
    """The server's end of a connection. `open` is true if another request may follow."""

    def __init__(self, sock: socket.socket, server: WireServer) -> None:
        self.sock = sock
        self.server = server
        self.open = True

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        self.open = False

    def wait_for_client(self) -> None:
        """Wait, without an answer, until the client disconnects or the test ends."""
        self.open = False
        with suppress(OSError):
            self.sock.recv(1)


class WireServer:
    """A server that answers its requests by `acts` in order, and repeats the last one."""

    def __init__(self, *acts: Act, tls: bool = False) -> None:
        self.acts = list(acts)
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        self._lock = threading.Lock()
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._peers:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._peers.append(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                plain, sock = sock, self._context.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._peers[self._peers.index(plain)] = sock
            peer = Peer(sock, self)
            while peer.open and (raw := read_request(sock)):
                with self._lock:
                    self.requests.append(Request(raw))
                    act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
                act(peer)
        except OSError:
            pass
        finally:
            sock.close()


def read_request(sock: socket.socket) -> bytes:
    raw = b""
    while not is_whole(raw):
        data = sock.recv(65536)
        if not data:
            return b""
        raw += data
    return raw


def is_whole(raw: bytes) -> bool:
    head, end, body = raw.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0)


def reply(body: object = "", status: int = 200, headers: dict[str, str] | None = None) -> Act:
    """Send a whole answer, and keep the connection open. A value that is not bytes or str is sent as JSON."""
    return lambda peer: peer.send(answer(body, status, headers))


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    if not isinstance(body, bytes | str):
        body = json.dumps(body, ensure_ascii=False)
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def raw(data: bytes) -> Act:
    """Send bytes and close."""

    def act(peer: Peer) -> None:
        peer.send(data)
        peer.close()

    return act


def drop(peer: Peer) -> None:
    """Close without an answer."""
    peer.close()


def reset(peer: Peer) -> None:
    """Close without an answer, by an RST."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def silence(peer: Peer) -> None:
    """Never answer."""
    peer.wait_for_client()


def drip(start: bytes, drop_by_drop: bytes) -> Act:
    """Send `start`, then `drop_by_drop` every 50 ms until the test ends."""

    def act(peer: Peer) -> None:
        peer.close()
        peer.send(start)
        while not peer.server.stopping.wait(0.05):
            peer.send(drop_by_drop)

    return act


@contextmanager
def refusing_port() -> Iterator[int]:
    """Yield a port that refuses connections, and that no other process gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
