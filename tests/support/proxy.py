"""A TCP proxy between a client and a Redis server. It loses, cuts and delays replies to chosen scripts."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

Action = Literal["drop", "cut", "swallow", "delay", "refuse", "say", "drip"]
START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a script call. Except for `refuse`, the server has run the script.

    `drop` closes the connection before the reply, and `cut` in the middle of it. `swallow` discards the reply and keeps
    the connection open. `delay` delays the reply by `seconds`. `drip` passes one byte of it every `seconds`. `say`
    sends `reply` instead. `refuse` closes the connection before the request reaches the server. `between` is called
    after the server has replied, and before the client receives anything.
    """

    action: Action
    seconds: float = 0.0
    between: Callable[[], object] | None = None
    reply: bytes = b""


class Proxy:
    """A proxy that passes everything on except planned faults. `scripts` maps each script's SHA to its name."""

    def __init__(self, upstream_url: str, scripts: Mapping[str, str]) -> None:
        self._upstream = urlsplit(upstream_url)
        self._scripts = {sha.encode(): name for sha, name in scripts.items()}
        self._plans: dict[str, deque[Fault]] = {}
        self.calls: list[str] = []
        """The names of the called scripts, including refused calls."""
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.port = 0

    def expect(self, script: str, *faults: Fault) -> None:
        """Apply faults to the next calls of a script, one fault to each call, in this order."""
        self._plans.setdefault(script, deque()).extend(faults)

    def forget(self) -> None:
        """Apply no more faults."""
        self._plans.clear()

    def planned(self) -> int:
        """Return the number of expected faults that have not happened yet."""
        return sum(map(len, self._plans.values()))

    @property
    def url(self) -> str:
        """The proxy's URL for redis-py."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    async def _stop(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            self._connections.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self._connect()
        fault: deque[Fault] = deque(maxlen=1)
        try:
            requests = asyncio.ensure_future(self._requests(reader, up_writer, fault))
            replies = asyncio.ensure_future(self._replies(up_reader, writer, fault))
            _, pending = await asyncio.wait({requests, replies}, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(requests, replies, return_exceptions=True)
        finally:
            writer.transport.abort()
            up_writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = self._upstream
        if url.scheme == "unix":
            return await asyncio.open_unix_connection(url.path)
        assert not parse_qs(url.query)
        return await asyncio.open_connection(url.hostname, url.port or 6379)

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, fault: deque[Fault]) -> None:
        while data := await reader.read(65536):
            name = next((name for sha, name in self._scripts.items() if sha in data), "")
            if name:
                self.calls.append(name)
            if self._plans.get(name):
                planned = self._plans[name].popleft()
                if planned.action == "refuse":
                    return
                fault.append(planned)
            server.write(data)
            await server.drain()

    async def _replies(self, server: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: deque[Fault]) -> None:
        while data := await server.read(65536):
            planned = fault.popleft() if fault else None
            if planned is not None:
                if planned.between is not None:
                    await asyncio.to_thread(planned.between)
                if planned.action == "drop":
                    return
                if planned.action == "swallow":
                    continue
                if planned.action == "cut":
                    writer.write(data[: max(1, len(data) // 2)])
                    await writer.drain()
                    writer.close()
                    await asyncio.sleep(0.01)  # Let the first half arrive before the close.
                    return
                if planned.action == "drip":
                    for byte in data:
                        writer.write(bytes([byte]))
                        await asyncio.sleep(planned.seconds)
                    continue
                if planned.action == "say":
                    data = planned.reply
                await asyncio.sleep(planned.seconds)
            writer.write(data)
            await writer.drain()
