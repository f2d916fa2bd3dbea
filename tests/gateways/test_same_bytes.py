"""Both transports write the same bytes, which signatures depend on, and read the same answers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from provider_lab import PHONE, SEND_ID, message
from support.transports import OverLoop
from test_proxies import ACCEPTED, BUILDERS
from wire_server import Request, WireServer, raw, reply

from otpkit.effects import HttpRequest, HttpResponse
from otpkit.transport.http import Transport


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Transport, OverLoop]]:
    threads, native = Transport(), OverLoop("aiohttp")
    yield threads, native
    threads.close()
    native.end()


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    with WireServer(reply("ok")) as server:
        yield server


def parts(request: Request) -> tuple[bytes, list[bytes], bytes]:
    """Return the first line, the headers in any order, and the body."""
    head, _, body = request.raw.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return line, sorted(headers), body


def assert_same(both: tuple[Transport, OverLoop], server: WireServer, request: HttpRequest) -> None:
    server.requests.clear()
    for transport in both:
        assert transport.exchange(request).text == "ok"
    first, second = map(parts, server.requests)
    assert first == second


def requests_of(name: str, url: str) -> Iterator[HttpRequest]:
    """Yield a gateway's requests: a send, and a query of its delivery."""
    gateway = BUILDERS[name](url)
    for flow in (
        gateway.send(message()),
        gateway.trace(PHONE, SEND_ID, message().sent_at, ACCEPTED["sid"]),  # type: ignore[arg-type]
    ):
        for effect in flow:
            assert isinstance(effect, HttpRequest)
            yield effect
            break
        flow.close()


@pytest.mark.parametrize("name", BUILDERS)
def test_every_gateway_writes_the_same(name: str, both: tuple[Transport, OverLoop], server: WireServer) -> None:
    found = list(requests_of(name, f"{server.url}/a/b.c~d" if name == "alidayu" else server.url))
    assert found
    for request in found:
        assert_same(both, server, request)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    params=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4),
    path=st.text(alphabet="ab./~-_%:@!$&'()*+,;= é阿", max_size=12),
    query=st.text(alphabet="ab=&%2f+~[]|^", max_size=12),
    header=st.text(alphabet=[chr(code) for code in (*range(0x21, 0x7F), *range(0xA1, 0x100))], max_size=12),
    body=st.none() | st.binary(min_size=1, max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
)
def test_any_request_is_written_the_same(
    both: tuple[Transport, OverLoop],
    server: WireServer,
    params: dict[str, str],
    path: str,
    query: str,
    header: str,
    body: bytes | None,
    method: str,
) -> None:
    """For any content, nothing is encoded twice, and nothing is omitted."""
    url = f"{server.url}/{path.replace('//', '/').lstrip('/')}" + (f"?{query}" if query else "")
    headers = {"X-A": header, "Content-Type": "text/x"}
    request = HttpRequest(method=method, url=url, params=params, headers=headers, timeout=(5, 5), body=body)
    assert_same(both, server, request)


def chunked(body: bytes, *, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s" % (len(body), body, end)


TEXT = '{"code": "成功"}'.encode()
ANSWERS: dict[str, Any] = {
    "headers twice": raw(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: 2\r\nx-a: 3\r\nContent-Length: 0\r\n\r\n"),
    "headers in Latin-1": reply(TEXT, headers={"X-A": "x"})
    and raw(b"HTTP/1.1 400 Bad\r\nX-Ca-Error-Message: \xe9\xff \xe9\x98\xbf\r\nContent-Length: 0\r\n\r\n"),
    "an empty header": raw(b"HTTP/1.1 200 OK\r\nX-A:\r\nContent-Length: 0\r\n\r\n"),
    "cookies": reply(TEXT, headers={"Set-Cookie": "a=b"}),
    "no reason": raw(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    "HTTP/1.0": raw(b"HTTP/1.0 200 OK\r\n\r\n" + TEXT),
    "gzip": reply(gzip.compress(TEXT), headers={"Content-Encoding": "gzip"}),
    "x-gzip": reply(gzip.compress(TEXT), headers={"Content-Encoding": "x-gzip"}),
    "deflate": reply(zlib.compress(TEXT), headers={"Content-Encoding": "deflate"}),
    "raw deflate": reply(zlib.compress(TEXT)[2:-4], headers={"Content-Encoding": "deflate"}),
    "twice": reply(gzip.compress(gzip.compress(TEXT)), headers={"Content-Encoding": "gzip, gzip"}),
    "identity": reply(TEXT, headers={"Content-Encoding": "identity"}),
    "unknown encoding": reply(TEXT, headers={"Content-Encoding": "x-none"}),
    "chunks": raw(chunked(TEXT)),
    "chunks with a trailer": raw(chunked(TEXT, end=b"0\r\nX-T: 1\r\n\r\n")),
    "another charset": reply(TEXT, headers={"Content-Type": "text/html; charset=gbk"}),
    "a page in GBK": reply("拒绝".encode("gbk"), 403),
    "a byte order mark": reply(b"\xef\xbb\xbf" + TEXT),
    "no content": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "an unknown status": reply(TEXT, 599),
    "a redirect": reply(TEXT, 307, {"Location": "/elsewhere"}),
    "a folded header": raw(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_read_the_same(name: str, both: tuple[Transport, OverLoop]) -> None:
    found: list[HttpResponse] = []
    for transport in both:
        with WireServer(ANSWERS[name]) as server:
            found.append(transport.exchange(HttpRequest(method="GET", url=server.url, timeout=(5, 5))))
    first, second = found
    assert (first.status, dict(first.headers), first.text) == (second.status, dict(second.headers), second.text)
    assert repr(first) == repr(second)
