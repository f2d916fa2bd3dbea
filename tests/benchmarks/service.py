"""`otpkit serve` compared with a bare Starlette route that makes one EVALSHA: one worker, 32 connections, a gateway
that does nothing, and a Redis of its own.

    python -m tests.benchmarks.service [--quick | --tiny] [--unpinned]

Both servers have the same settings of uvicorn, and one client calls them alternately. If the system allows it, all are
pinned to one processor, and a ratio is of the processor time of all three. `--unpinned` measures the elapsed time,
without a verdict. Only ratios are meaningful.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import redis.asyncio
from starlette.applications import Starlette
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from otpkit import OTP, AsyncOTP
from otpkit.gateways import Message
from otpkit.listening import listen
from otpkit.service import ApiKey, Metrics, create_app
from otpkit.service.server import Server
from tests.benchmarks import measure
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, Codes, new_phone, tcp_server
from tests.benchmarks.table import Row, at_least, at_most, render

CONNECTIONS = 32
KEY = "key-of-the-benchmarks-0123456789-0123456789"
GOALS = {"verify": 1.1, "issue": 1.0, "issue, verify, redeem": 0.6}
P99_GOAL = 2.0
Request = bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of a load: requests a second, the 99th percentile of their seconds, and nanoseconds a request."""

    rate: float
    p99: float
    cost_ns: float


def bare_app(url: str) -> Starlette:
    """Return the yardstick: a minimal Starlette application that makes one call to Redis."""
    client = redis.asyncio.Redis.from_url(url)
    sha = ""

    async def with_body(request: HTTPRequest) -> JSONResponse:
        body = await request.json()
        result = await client.evalsha(await loaded(), 1, "bench:{key}", body["code"])  # type: ignore[misc]
        return JSONResponse({"id": "q0Zf3yJm1hW8cV5tR2nXbA", "phone": body["phone"], "result": result})

    async def without_body(_: HTTPRequest) -> JSONResponse:
        result = await client.evalsha(await loaded(), 1, "bench:{key}", "argument")  # type: ignore[misc]
        return JSONResponse({"result": result})

    async def loaded() -> str:
        nonlocal sha
        sha = sha or await client.script_load("return 1")
        return sha

    return Starlette(
        routes=[
            Route("/with-body", with_body, methods=["POST"]),
            Route("/without-body", without_body, methods=["POST"]),
        ]
    )


async def accept(_: Message) -> None:
    """Accept a message without sending it."""


def service_app(url: str) -> ASGIApp:
    """Return the service as `otpkit serve` builds it."""
    metrics = Metrics()
    otp = AsyncOTP(url, accept, TEMPLATE, SECRET, policy=POLICY, on_event=metrics.on_event)
    return create_app(otp, [ApiKey.of("bench", KEY, ["signup"])], metrics=metrics)


def _serve(make: Any, url: str, listener: socket.socket) -> None:
    async def nothing() -> None: ...

    Server(make(url), lambda: None, nothing).run(sockets=[listener])


@contextlib.contextmanager
def served(make: Any, url: str) -> Iterator[int]:
    """Serve an application in its own process, and yield its port."""
    listener = listen("127.0.0.1", 0)
    listener.listen(128)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(make, url, listener))
    process.start()
    assert process.pid is not None
    try:
        with measure.counted(process.pid):
            yield listener.getsockname()[1]
    finally:
        process.terminate()
        process.join()
        listener.close()


def request(path: str, body: dict[str, str] | None) -> Request:
    """Return the bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = "" if body is None else "content-type: application/json\r\n"
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n{kind}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


class _Connection(asyncio.Protocol):
    """A connection that sends the next request as soon as it has its answer."""

    def __init__(
        self, todo: Iterator[Request], seconds: list[float], expect: bytes, bodies: list[bytes] | None
    ) -> None:
        self._todo, self._seconds, self._expect, self._bodies = todo, seconds, expect, bodies
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        following = next(self._todo, None)
        if following is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._start = time.perf_counter()
        self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._seconds.append(time.perf_counter() - self._start)
        if not head.startswith(self._expect):
            raise SystemExit(f"not {self._expect!r}: {self._buffer!r}")
        if self._bodies is not None:
            self._bodies.append(body)
        self._buffer = b""
        self._ask()


async def load(port: int, requests: list[Request], expect: bytes, bodies: list[bytes] | None = None) -> Taken:
    """Send the requests on 32 connections, and return the result."""
    todo, seconds, loop = iter(requests), [], asyncio.get_running_loop()
    start, spent = time.perf_counter(), measure.cost_ns()
    made = [
        await loop.create_connection(lambda: _Connection(todo, seconds, expect, bodies), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    took = time.perf_counter() - start
    spent = measure.cost_ns() - spent
    seconds.sort()
    return Taken(len(requests) / took, seconds[int(len(seconds) * 0.99)], spent / len(requests))


class Subjects:
    """Requests to the service, each sent once. An `OTP` on the same Redis prepares them, which is not measured."""

    def __init__(self, url: str) -> None:
        self._codes = Codes()
        self._otp = OTP(url, self._codes, TEMPLATE, SECRET, policy=POLICY)

    def issuing(self, calls: int) -> list[Request]:
        """Return requests for codes, each for a new phone."""
        return [request("/v1/challenges", {"phone": new_phone()}) for _ in range(calls)]

    def verifying(self, calls: int) -> list[Request]:
        """Return requests that each verify a right code."""
        return [request("/v1/verifications", {"phone": phone, "code": self._issue(phone)}) for phone in _phones(calls)]

    def redeeming(self, calls: int) -> list[Request]:
        """Return requests that each redeem a fresh proof."""
        proofs = [self._otp.verify(phone, self._issue(phone)) for phone in _phones(calls)]
        return [request("/v1/proofs/redeem", {"token": proof.token, "phone": proof.phone}) for proof in proofs]

    def mixed(self, calls: int) -> list[Request]:
        """Return the same number of each, alternately."""
        third = calls // 3
        return list(
            itertools.chain(*zip(self.issuing(third), self.verifying(third), self.redeeming(third), strict=True))
        )

    def _issue(self, phone: str) -> str:
        self._otp.issue(phone)
        return self._codes.pop(phone)


def _phones(calls: int) -> Iterator[str]:
    return (new_phone() for _ in range(calls))


async def rows(url: str, yardstick: int, service: int, calls: int, rounds: int) -> list[Row]:
    """Measure, and return the table's rows."""
    subjects = Subjects(url)
    kinds = {
        "verify": (subjects.verifying, b"HTTP/1.1 200"),
        "issue": (subjects.issuing, b"HTTP/1.1 201"),
        "issue, verify, redeem": (subjects.mixed, b"HTTP/1.1 20"),
    }
    ok = b"HTTP/1.1 200"
    simple = [request("/with-body", {"phone": "+8613800138000", "code": "123456"})] * calls
    found = [Row("set-up", measure.set_up())]
    found.append(Row("bare Starlette route, one EVALSHA", _rate(await load(yardstick, simple, ok))))
    bodiless = await load(yardstick, [request("/without-body", None)] * calls, ok)
    found.append(Row("the same without a body", _rate(bodiless)))
    for name, (make, expect) in kinds.items():
        await load(service, make(calls), expect)  # This warms up.
        ratios, tails, last = [], [], None
        for number in range(rounds):
            asked = make(calls)
            if number % 2:
                last, bare = await load(service, asked, expect), await load(yardstick, simple, ok)
            else:
                bare, last = await load(yardstick, simple, ok), await load(service, asked, expect)
            ratios.append(bare.cost_ns / last.cost_ns)
            tails.append(last.p99 / bare.p99)
        assert last is not None
        found.append(Row(f"{name}, the last round", _rate(last)))
        row = at_least(f"{name} / bare", median(ratios), GOALS[name])
        found.append(row if measure.is_pinned() else Row(row.figure, row.measured))
        found.append(at_most(f"{name}, p99 / bare", median(tails), P99_GOAL))
    return found


def _rate(taken: Taken) -> str:
    return f"{taken.rate:.0f}/s, p99 {taken.p99 * 1000:.1f} ms"


def main() -> None:
    """Run the measurements of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer calls and rounds")
    size.add_argument("--tiny", action="store_true", help="just to see that it runs")
    parser.add_argument("--unpinned", action="store_true", help="use all processors, and take no verdict on ratios")
    parser.add_argument("--server", default="redis", choices=("redis", "valkey"))
    options = parser.parse_args()
    measure.pin(to_one=not options.unpinned)
    calls, rounds = (96, 1) if options.tiny else (1_500, 5) if options.quick else (4_500, 15)
    with tcp_server(options.server) as url, served(bare_app, url) as yardstick, served(service_app, url) as service:
        print(render(asyncio.run(rows(url, yardstick, service, calls, rounds))))


if __name__ == "__main__":
    main()
