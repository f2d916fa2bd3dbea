"""Ten thousand requests of nonsense: none causes a fault or a write, and the service stays available."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from typing import BinaryIO, Final

import pytest
from support.service import KEY, RECEIPTS_SECRET, Served, serving

SEED: Final = 20_261_124
ANSWERS: Final = 10_000
PATHS: Final = (
    "/v1/challenges",
    "/v1/send",
    "/v1/verifications",
    "/v1/proofs/redeem",
    "/v1/challenges/status",
    "/v1/challenges/delivery",
    "/v1/challenges/revoke",
    "/v1/devices/check",
    "/v1/devices/forget",
    f"/receipts/{RECEIPTS_SECRET}/outbox",
    f"/receipts/{RECEIPTS_SECRET}/%00",
    "/receipts/%ED%A0%80/x",
    "/healthz",
    "/metrics",
    "/readyz",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/v1/challenges/?phone=13800138000",
    "//v1//challenges",
    "/%FF%FE",
)
METHODS: Final = ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE")
KINDS: Final = ("application/json",) * 6 + (
    "text/plain",
    "application/json; charset=utf-16",
    "\xff",
    "multipart/form-data",
)
VALUES: Final = (
    b"null",
    b"true",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"9" * 5_000,
    b"1" * 309,
    b"[" * 5_000,
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\x00"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"' + b"x" * 9_000 + b'"',
    b'"13800138000"',
    b'"+86 138 0013 8000"',
    '"１３８００１３８０００"'.encode(),
    b'"123456"',
    '"１２３４５６"'.encode(),
    b'"signup"',
    b'{"$ne": ""}',
    b'["1", "2"]',
    b'"\\u202e\\u200b"',
    b"'x'",
    b"",
)
FIELDS: Final = (
    b"phone",
    b"code",
    b"purpose",
    b"bind",
    b"ip",
    b"params",
    b"channel",
    b"token",
    b"__proto__",
    b"\\u0000",
    b"",
)
RAW: Final = (
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET\r\n\r\n",
    b"POST / HTTP/9.9\r\n\r\n",
    b"POST /v1/challenges HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    b"POST /v1/challenges HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    b"POST /v1/challenges HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /v1/challenges HTTP/1.1\r\nbad header\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET " + b"/x" * 40_000 + b" HTTP/1.1\r\n\r\n",
    b"GET * HTTP/1.1\r\nhost: x\r\n\r\n",
    b"QUERY /v1/challenges HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n",
    b"\x00" * 100,
)


@pytest.fixture
def target() -> Iterator[Served]:
    """Yield a service of this test's own."""
    with serving("memory://", receipts_secret=RECEIPTS_SECRET, forwarded_hops=1) as stage:
        yield stage


def body(rng: random.Random) -> bytes:
    """Return a body that resembles JSON."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(300))
    if rng.random() < 0.1:
        return rng.choice(VALUES)
    pairs = [b'"%b": %b' % (rng.choice(FIELDS), rng.choice(VALUES)) for _ in range(rng.randrange(1, 6))]
    if rng.random() < 0.6:  # Most bodies resemble valid ones.
        pairs = [b'"phone": "138%08d"' % rng.randrange(10**8), *pairs[:1]]
    text = b"{" + b", ".join(pairs) + b"}"
    return text if rng.random() < 0.9 else text[: rng.randrange(len(text))]


def request(rng: random.Random) -> tuple[str, bytes]:
    """Return a request that HTTP allows, and its method."""
    method = "POST" if rng.random() < 0.8 else rng.choice(METHODS)
    path = rng.choice(PATHS[:7] if rng.random() < 0.7 else PATHS)
    content = body(rng)
    headers = [
        b"host: " + rng.choice((b"x", b"x", b"", b"[::1", b"x:99999999", b"\xff", b"a/b?c#d@e")),
        b"content-type: " + rng.choice(KINDS).encode("latin-1"),
    ]
    if rng.random() < 0.9:
        headers.append(f"authorization: Bearer {KEY}".encode())
    if rng.random() < 0.2:
        headers.append(b"idempotency-key: " + rng.choice((b"", b"x" * 5_000, b"\xff\xfe", b"a b", b"form-1")))
    if rng.random() < 0.2:
        headers.append(b"x-forwarded-for: " + rng.choice((b"", b",,,", b"\xff", b"1.2.3.4, [::1]:80", b"unknown")))
    if rng.random() < 0.2:
        headers.append(b"accept-language: " + rng.choice((b"zh;q=9", b"\xff", b"zh" * 2_000, b"en;q=0.0001,zh")))
    if rng.random() < 0.2:
        headers.append(b"transfer-encoding: chunked")
        content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n"
    else:
        headers.append(b"content-length: %d" % len(content))
    head = b"%b %b HTTP/1.1\r\n" % (method.encode(), path.encode())
    return method, head + b"\r\n".join(headers) + b"\r\n\r\n" + content


def exchange(connection: socket.socket, rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """Send requests, ten at a time, and yield the status and body of each answer. Status 413 ends the connection."""
    with connection.makefile("rb") as stream:
        for _ in range(10):
            made = [request(rng) for _ in range(10)]
            connection.sendall(b"".join(sent for _, sent in made))
            for method, _ in made:
                status, found = answer(stream, method)
                yield status, found
                if status == 413:
                    return


def answer(stream: BinaryIO, method: str) -> tuple[int, bytes]:
    """Read one answer."""
    first = stream.readline()
    assert first.startswith(b"HTTP/1.1 "), f"no answer to a {method}"
    status, length = int(first.split()[1]), 0
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        length = int(value) if name == b"content-length" else length
    return status, b"" if method == "HEAD" or status == 204 else stream.read(length)


def test_ten_thousand_requests_of_nonsense_are_no_fault(
    target: Served, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(SEED)
    seen: dict[int, int] = {}
    while sum(seen.values()) < ANSWERS:
        with socket.create_connection(("127.0.0.1", target.port), timeout=20) as connection:
            for status, found in exchange(connection, rng):
                seen[status] = seen.get(status, 0) + 1
                assert status < 500, found
                assert b"Traceback" not in found
                if status >= 400 and found:
                    assert json.loads(found)["status"] == status
    assert {200, 201, 204, 400, 401, 404, 405, 409, 413, 415, 422} <= seen.keys(), seen
    raw(target, rng)
    assert target.get("/healthz").status_code == 200
    assert target.post("/v1/challenges", {"phone": "13900000000"}).status_code == 201
    written = capfd.readouterr()
    faults = [record.getMessage() for record in caplog.records if record.name == "otpkit.service"]
    assert all(message.startswith("Rejected a receipt") for message in faults), faults
    assert not re.search("Traceback|Exception", written.out + written.err + caplog.text)
    assert "13800138000" not in written.err + caplog.text


def raw(target: Served, rng: random.Random) -> None:
    """Send bytes that are not HTTP, and read any answer."""
    for n in range(200):
        sent = RAW[n % len(RAW)] if n < 5 * len(RAW) else rng.randbytes(rng.randrange(1, 2_000))
        with socket.create_connection(("127.0.0.1", target.port), timeout=5) as connection:
            found = b""
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65_536):
                    found += chunk
            except OSError:
                continue
            assert not found.startswith(b"HTTP/1.1 5"), (sent, found)
