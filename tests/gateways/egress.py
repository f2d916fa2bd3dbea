"""An egress proxy on loopback, with a user and a password. It records its requests."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from wire_server import CERTIFICATE, read_request

USER, PASSWORD = "the-user", "p@ss/wörd:1"
QUOTED = "the-user:p%40ss%2Fw%C3%B6rd%3A1"
OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy:
    """A proxy that connects to the host in CONNECT, or answers as the test set it. It records the traffic."""

    def __init__(self, answer: bytes | Callable[[socket.socket], None] = OPEN, *, tls: bool = False) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.passed = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{QUOTED}@127.0.0.1:{self.port}"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._context is not None:
            self._context.load_cert_chain(CERTIFICATE)
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self._context is not None:
            try:
                client = self._context.wrap_socket(client, server_side=True)
            except OSError:
                return
            self._sockets.append(client)
        with client, suppress(OSError):
            head = read_request(client)
            if not head:  # The client closed before it sent a request.
                return
            self.heads.append(head)
            if callable(self.answer):
                self.answer(client)
                return
            client.sendall(self.answer)
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                self._sockets.append(server)
                back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
                back.start()
                self._pass(client, server)
                back.join(5)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.passed += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def basic() -> str:
    return base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
