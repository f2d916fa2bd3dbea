"""`otpkit serve` under attack from a thousand connections of strangers: its memory, and the waits of honest clients.

    python -m tests.benchmarks.strangers [--seconds 120] [--connections 1000] [--kind NAME]

The strangers have no API key, run in another process, and attack only a server on this machine. Honest clients keep a
connection and have a key, or open a new one each time and have none. Run it on an idle machine: the strangers use up a
processor.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.benchmarks.subjects import tcp_server
from tests.benchmarks.table import Row, at_most, render

KEY, SECRET = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
MEMORY_GOAL, P99_GOAL = 150, 3.0  # MB, and a multiple of the seconds without strangers.
HONEST = 8  # Connections that are kept. The same number are opened again each time.
PACE = 0.02  # Seconds between two requests of one honest client.
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
DOCUMENT = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST /v1/challenges HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
RECEIPT = b"POST /receipts/x/y HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Kind = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _flood(writer: asyncio.StreamWriter, what: bytes) -> None:
    while True:
        writer.write(what)
        await writer.drain()


async def _drip(writer: asyncio.StreamWriter, what: bytes) -> None:
    while True:
        writer.write(what)
        await writer.drain()
        await asyncio.sleep(0.5)


async def _drop(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def sends(first: bytes, then: bytes = b"", *, reads: bool = False, slow: bool = False) -> Kind:
    """Return a stranger that sends `first`, and then `then` without end."""

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        dropping = asyncio.ensure_future(_drop(reader) if reads else asyncio.sleep(0))
        try:
            await (_drip if slow else _flood)(writer, then) if then else await asyncio.sleep(30)
        finally:
            dropping.cancel()

    return stranger


async def leaves(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send requests and disconnect before the answer."""
    writer.write(HEALTH * 8)
    await writer.drain()
    writer.transport.abort()


async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send requests, close one direction, and read no answer."""
    writer.write(DOCUMENT * 8)
    writer.write_eof()
    await asyncio.sleep(30)


async def asks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a request, read the answer, wait a little, and repeat. Only the number of these clients does harm."""
    while True:
        writer.write(HEALTH)
        if not await reader.read(65_536):
            return
        await asyncio.sleep(1)


KINDS: dict[str, Kind] = {
    "unread requests, and a head without end": sends(DOCUMENT * 60 + b"GET / HTTP/1.1\r\nx: ", b"a" * 65_536),
    "pipelined requests": sends(HEALTH, HEALTH * 500, reads=True),
    "pipelined requests, unread": sends(HEALTH, HEALTH * 500),
    "a header without end": sends(b"GET / HTTP/1.1\r\nhost: x\r\nx: ", b"a" * 4_096),
    "headers without end": sends(b"GET / HTTP/1.1\r\nhost: x\r\n", b"a:b\r\n" * 800),
    "a path without end": sends(b"GET /", b"a" * 4_096),
    "a slow head": sends(b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 30_000, b"a", slow=True),
    "a slow body": sends(POST + b"content-length: 100000\r\n\r\n", b" ", slow=True),
    "a long body": sends(POST + b"content-length: 99999999999\r\n\r\n", b" " * 65_536),
    "an endless chunk extension": sends(RECEIPT + CHUNKED + b"1;", b"a" * 4_096),
    "endless trailers": sends(RECEIPT + CHUNKED + b"1\r\n1\r\n0\r\n", b"a:b\r\n" * 800),
    "tiny chunks": sends(RECEIPT + CHUNKED, b"1\r\n1\r\n" * 2_000),
    "nothing": sends(b""),
    "no HTTP": sends(b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 4_096),
    "clients that go away": leaves,
    "half-closed connections": ends,
    "clients that keep a connection": asks,
}


async def _stranger(port: int, kind: Kind, ends_at: float) -> None:
    loop = asyncio.get_running_loop()
    while (left := ends_at - loop.time()) > 0:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(left):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
                try:
                    await kind(reader, writer)
                finally:
                    writer.transport.abort()
        await asyncio.sleep(0.2)


async def _attack(port: int, kinds: list[Kind], connections: int, seconds: float) -> None:
    ends_at = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(_stranger(port, kind, ends_at) for kind in islice(cycle(kinds), connections)))


def attack(port: int, names: list[str], connections: int, seconds: float) -> None:
    """Attack for so many seconds, from so many connections at once."""
    os.nice(10)  # Meanwhile the waits of honest clients are measured, on two processors.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4_096), hard))
    asyncio.run(_attack(port, [KINDS[name] for name in names], connections, seconds))


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return head


async def _kept(port: int, ends_at: float, seconds: list[float]) -> None:
    """Request an unknown challenge with a key, on one connection."""
    body = b'{"phone": "+8613800138000"}'
    head = POST.replace(b"/v1/challenges", b"/v1/challenges/status") + f"authorization: Bearer {KEY}\r\n".encode()
    asked = head + b"content-length: %d\r\n\r\n" % len(body) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < ends_at:
        start = time.perf_counter()
        writer.write(asked)
        assert (await _answer(reader)).startswith(b"HTTP/1.1 404 ")
        seconds.append(time.perf_counter() - start)
        await asyncio.sleep(PACE)
    writer.close()


async def _new(port: int, ends_at: float, seconds: list[float]) -> None:
    """Request the health check without a key, on a new connection each time."""
    while time.perf_counter() < ends_at:
        start = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEALTH)
        assert (await _answer(reader)).startswith(b"HTTP/1.1 200 ")
        seconds.append(time.perf_counter() - start)
        writer.close()
        await asyncio.sleep(PACE)


async def honest(port: int, seconds: float) -> tuple[float, float]:
    """Send requests like honest clients, and return the 99th percentiles: on kept connections, and on new ones."""
    ends_at, kept, new = time.perf_counter() + seconds, list[float](), list[float]()
    await asyncio.gather(
        *(_kept(port, ends_at, kept) for _ in range(HONEST)), *(_new(port, ends_at, new) for _ in range(HONEST))
    )
    return sorted(kept)[int(len(kept) * 0.99)], sorted(new)[int(len(new) * 0.99)]


@contextlib.contextmanager
def service(url: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `otpkit serve`, and yield its process and its port."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    own |= {
        "OTPKIT_REDIS_URL": url,
        "OTPKIT_SECRET": SECRET,
        "OTPKIT_GATEWAY": "console",
        "OTPKIT_DEVELOPMENT": "1",
        "OTPKIT_TEMPLATE_CODE": "SMS_1",
        "OTPKIT_SIGN_NAME": "阿里大鱼",
        "OTPKIT_API_KEYS": f'{{"bench": {{"key": "{KEY}", "purposes": ["signup"]}}}}',
    }
    command = [sys.executable, "-m", "otpkit", "serve", "--port", "0"]
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line.startswith("Listening on "):
                raise SystemExit(f"otpkit serve does not start: {process.communicate(timeout=9)}")
            yield process, int(line.strip().rpartition(":")[2])
        finally:
            process.terminate()
            process.wait(40)


def memory(pid: int, field: str = "VmHWM") -> float:
    """Return a process's memory in MB: its peak, or with `VmRSS` its current value."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no {field} of process {pid}")


def rows(url: str, names: list[str], connections: int, seconds: float) -> Iterator[Row]:
    """Measure without strangers, and then with them."""
    with service(url) as (process, port):
        asyncio.run(honest(port, 1))  # This warms up.
        alone = asyncio.run(honest(port, max(1, seconds / 6)))
        yield Row("memory without strangers", f"{memory(process.pid, 'VmRSS'):.0f} MB")
        context: Any = multiprocessing.get_context("spawn")
        strangers = context.Process(target=attack, args=(port, names, connections, seconds))
        strangers.start()
        try:
            time.sleep(min(2, seconds / 4))
            beside = asyncio.run(honest(port, seconds * 0.7))
        finally:
            strangers.join(seconds + 60)
            strangers.kill()
        yield at_most(f"memory with {connections}, at most", memory(process.pid), MEMORY_GOAL, "{:.0f} MB".format)
        for name, before, after in zip(("kept connections", "new connections"), alone, beside, strict=True):
            yield Row(f"p99 of {name}", f"{before * 1000:.1f} ms, then {after * 1000:.1f} ms")
            yield at_most(f"p99 of {name}, beside / without", after / before, P99_GOAL)
        process.terminate()
        _, errors = process.communicate(timeout=40)
        yield Row("lines in the log", str(errors.count("\n")), "0", errors == "")


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--kind", choices=KINDS, action="append", help="of strangers; all, if it is left out")
    parser.add_argument("--server", default="redis", choices=("redis", "valkey"))
    options = parser.parse_args()
    with tcp_server(options.server) as url:
        print(render(rows(url, options.kind or list(KINDS), options.connections, options.seconds)))


if __name__ == "__main__":
    main()
