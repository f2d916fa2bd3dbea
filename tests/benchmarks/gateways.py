"""500 issues at once under AsyncOTP, by a gateway that answers after 300 ms: messages a second, and the memory of each
waiting call, with the extra `aiohttp` and without it.

The gateway is an HTTP server in a process of its own, and so is each measurement.

    python -m tests.benchmarks gateways
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from otpkit import AsyncOTP
from otpkit.gateways import Webhook
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, new_phone, tcp_server
from tests.benchmarks.table import Row

ISSUES = 500  # At once.
ANSWER_S = 0.3
GOAL = 440  # Messages a second.
WAVES = 8  # Each has this number of issues.
_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"id":"1"}'
_PAGE = os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 0


def gateways(server: str, sizes: Sizes) -> Iterator[Row]:
    """Send with the extra, then without it."""
    waves = min(sizes.rounds, WAVES)
    with tcp_server(server) as redis_url, _slow_server() as url:
        figure = f"{ISSUES} issues at once, gateway of {ANSWER_S * 1000:.0f} ms"
        speed, memory = _measured("aiohttp", redis_url, url, waves)
        yield Row(f"{figure}, with aiohttp", f"{speed:.0f}/s", f"≥ {GOAL}/s", speed >= GOAL)
        yield Row("memory of a waiting issue, with aiohttp", f"{memory:.0f} kB")
        speed, memory = _measured("threads", redis_url, url, 1)
        yield Row(f"{figure}, on 32 threads", f"{speed:.0f}/s")
        yield Row("memory of a waiting issue, on 32 threads", f"{memory:.0f} kB")


def _measured(kind: str, redis_url: str, url: str, waves: int) -> tuple[float, float]:
    """Return messages a second, and kB of a waiting issue."""
    command = [sys.executable, "-m", "tests.benchmarks.gateways", kind, redis_url, url, str(waves)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=True)
    speed, memory = map(float, done.stdout.split())
    return speed, memory


@contextlib.contextmanager
def _slow_server() -> Iterator[str]:
    """Run the gateway's server, and yield its URL."""
    command = [sys.executable, "-m", "tests.benchmarks.gateways", "serve"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class _Slow(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
        if end and length and len(body) >= int(length[1]):
            self.received = b""
            asyncio.get_running_loop().call_later(ANSWER_S, self.transport.write, _ANSWER)  # type: ignore[attr-defined]


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Slow, "127.0.0.1", 0, backlog=2 * ISSUES)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await server.serve_forever()


async def _send(redis_url: str, url: str, waves: int) -> None:
    gateway = Webhook(url, SECRET)
    namespace = f"bench-{os.getpid()}"  # Each process counts its phones from the beginning.
    options = {"namespace": namespace, "policy": POLICY, "gateway_wait": 60}
    async with AsyncOTP(redis_url, gateway, TEMPLATE, SECRET, **options) as otp:

        async def issue(times: int) -> None:
            for _ in range(times):
                assert (await otp.issue(new_phone())).delivery == "accepted"

        await issue(1)
        before = _memory()
        start = time.perf_counter()
        crowd = asyncio.gather(*(issue(waves) for _ in range(ISSUES)))
        await asyncio.sleep(ANSWER_S)
        memory = (_memory() - before) / ISSUES
        await crowd
        print(ISSUES * waves / (time.perf_counter() - start), memory)


def _memory() -> float:
    """Return the memory that this process uses, in kB, or 0 if it is unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE / 1024
    except OSError:
        return 0


def main() -> None:
    """Run the server or the sender, depending on the command line."""
    if sys.argv[1] == "serve":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve())
        return
    if sys.argv[1] == "threads":
        sys.modules["aiohttp"] = None  # type: ignore[assignment]  # as where it is not installed
    asyncio.run(_send(sys.argv[2], sys.argv[3], int(sys.argv[4])))


if __name__ == "__main__":
    main()
