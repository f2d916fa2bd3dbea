"""A wire in the test's event loop, between a client and a real server. It cuts, holds, drips, refuses or adds bytes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit

FOREVER = 1 << 60


class Wire:
    """A wire that passes bytes on. A test's change applies to open connections and to later ones.

    `requests` and `replies` are how many more bytes pass in each direction; the byte after them closes the connection
    that carried it, both ways, and from then on all bytes pass again.
    """

    def __init__(self, upstream_url: str) -> None:
        self._upstream = urlsplit(upstream_url)
        self.requests = self.replies = FOREVER
        self.drip_s = 0.0
        """The delay of each byte of later replies, in seconds."""
        self.greeting = b""
        """Bytes that the next connection receives after its first reply, without a request."""
        self.flows = asyncio.Event()
        """An event that is set while replies pass. While it is clear, replies are held."""
        self.flows.set()
        self.is_refusing = False
        """True to close new connections at once."""
        self.opened = 0
        """The number of connections that a client has opened."""
        self.asked = bytearray()
        """The bytes that the client has sent."""
        self._clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def upstream_path(self) -> str:
        """The path of the server's socket."""
        return self._upstream.path

    @property
    def url(self) -> str:
        """The wire's URL for redis-py."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self._clients)

    def close_all(self) -> None:
        """Close all connections, like a server that shuts down."""
        for writer in self._clients:
            writer.close()

    def reset_all(self) -> None:
        """Reset all connections, like a router that loses its state."""
        for writer in self._clients:
            writer.transport.abort()

    def say(self, data: bytes) -> None:
        """Send bytes to every client, as if they came from the server."""
        for writer in self._clients:
            writer.write(data)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.opened += 1
        try:
            if not self.is_refusing:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    await self._join(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._upstream.scheme == "unix":
            up_reader, up_writer = await asyncio.open_unix_connection(self.upstream_path)
        else:
            up_reader, up_writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        self._clients.add(writer)
        try:
            both = [
                asyncio.ensure_future(self._carry_requests(reader, up_writer)),
                asyncio.ensure_future(self._carry_replies(up_reader, writer)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        finally:
            self._clients.discard(writer)
            up_writer.transport.abort()

    async def _carry_requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.asked += data
            passed, self.requests = data[: self.requests], self.requests - len(data)
            server.write(passed)
            await server.drain()
            if self.requests < 0:
                self.requests = FOREVER
                return

    async def _carry_replies(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            await self.flows.wait()
            data, self.greeting = data + self.greeting, b""
            passed, self.replies = data[: self.replies], self.replies - len(data)
            if drip_s := self.drip_s:
                for byte in passed:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(drip_s)
            else:
                writer.write(passed)
            await writer.drain()
            if self.replies < 0:
                self.replies = FOREVER
                writer.close()  # Let passed bytes arrive before the close.
                await writer.wait_closed()
                return
