"""A request is sent once, wherever a server closes a kept connection. It never gets another request's answer."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import aiohttp
import pytest
from support.transports import ON_UVLOOP, AnyTransport
from wire_server import Act, Peer, WireServer, answer, reply, reset

from otpkit.effects import HttpRequest, NoAnswer

KINDS = ON_UVLOOP  # The kinds of transports to test.

WHOLE = answer("an answer", headers={"X-A": "b"})
LAST_CHUNK_MISSING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0"


def request_to(server: WireServer, method: str) -> HttpRequest:
    body = b"code=730452" if method == "POST" else None
    return HttpRequest(method=method, url=f"{server.url}/send", params={"me": "2"}, timeout=(5, 5), body=body)


def unread(how: Act) -> Act:
    """Answer, then close without reading the next request once it has arrived. The client gets an RST."""

    def act(peer: Peer) -> None:
        peer.send(answer("1"))
        arrived = peer.sock.recv(1, socket.MSG_PEEK)
        peer.server.peeked = len(arrived)  # type: ignore[attr-defined]
        how(peer)

    return act


def cut(data: bytes, how: Act) -> Act:
    """Send the first part of an answer, and close."""

    def act(peer: Peer) -> None:
        peer.send(data)
        how(peer)

    return act


def close(peer: Peer) -> None:
    peer.close()


CLOSINGS = pytest.mark.parametrize("how", [pytest.param(close, id="closed"), pytest.param(reset, id="reset")])
METHODS = pytest.mark.parametrize("method", ["GET", "POST"])


async def test_aiohttp_by_itself_repeats_a_get() -> None:
    """This must not happen to a message. It shows that these tests would detect it."""
    with WireServer(reply("1"), close, reply("2")) as server:
        async with aiohttp.ClientSession() as session:
            for expected in ("1", "2"):
                async with session.get(server.url) as response:
                    assert await response.text() == expected
    assert (len(server.requests), server.connections) == (3, 2)


@CLOSINGS
@METHODS
def test_closed_before_the_request_is_read(transport: AnyTransport, method: str, how: Act) -> None:
    with WireServer(unread(how), reply("never")) as server:
        assert transport.exchange(request_to(server, method)).text == "1"
        with pytest.raises(NoAnswer):
            transport.exchange(request_to(server, method))
    assert (server.peeked, len(server.requests), server.connections) == (1, 1, 1)  # type: ignore[attr-defined]


@CLOSINGS
@METHODS
@pytest.mark.parametrize("whole", [WHOLE, LAST_CHUNK_MISSING], ids=["length", "chunks"])
def test_closed_at_every_byte_of_the_answer(transport: AnyTransport, method: str, how: Act, whole: bytes) -> None:
    """The cut is at every byte but the last. An answer that ends inside its header is no answer either."""
    for length in range(len(whole)):
        with WireServer(reply("1"), cut(whole[:length], how), reply("never")) as server:
            assert transport.exchange(request_to(server, method)).text == "1"
            with pytest.raises(NoAnswer):
                transport.exchange(request_to(server, method))
        assert (len(server.requests), server.connections) == (2, 1), length


@METHODS
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_closed_while_nobody_used_it(trusting: AnyTransport, method: str, tls: bool) -> None:
    """The close is known before the next request is written, so even a crowd of requests uses new connections."""
    with WireServer(reply("1"), cut(answer("1"), close), reply("2"), tls=tls) as server:
        trusting.exchange(request_to(server, method))
        trusting.exchange(request_to(server, method))
        served = server._threads[1]
        served.join(5)
        assert not served.is_alive()
        assert trusting.exchange(request_to(server, method)).text == "2"
    assert (len(server.requests), server.connections) == (3, 2)


@METHODS
def test_closed_while_the_loop_was_busy(method: str) -> None:
    """The kernel has seen the close, and the event loop has not."""
    from otpkit.transport.aio import AsyncTransport

    async def story(server: WireServer) -> None:
        transport = AsyncTransport()
        assert (await transport.exchange(request_to(server, method))).text == "1"
        server._threads[1].join(5)  # The event loop does not run until the next request.
        assert (await transport.exchange(request_to(server, method))).text == "2"
        await transport.close()

    with WireServer(cut(answer("1"), close), reply("2")) as server:
        asyncio.run(story(server))
    assert (len(server.requests), server.connections) == (2, 2)


class TestAnswersThatNobodyAskedFor:
    """Such an answer belongs to another request. To accept it would report an unsent message as sent."""

    def test_come_with_the_answer_before(self, transport: AnyTransport) -> None:
        with WireServer(cut(answer("1") + answer("stale"), lambda _: None), reply("2")) as server:
            assert transport.exchange(request_to(server, "GET")).text == "1"
            assert transport.exchange(request_to(server, "GET")).text == "2"

    def test_come_while_the_connection_is_idle(self, transport: AnyTransport) -> None:
        answered, sent = threading.Event(), threading.Event()

        def act(peer: Peer) -> None:
            peer.send(answer("1"))
            answered.wait(5)
            peer.send(answer("stale"))
            sent.set()

        with WireServer(act, reply("2")) as server:
            assert transport.exchange(request_to(server, "GET")).text == "1"
            answered.set()
            sent.wait(5)
            time.sleep(0.05)  # Wait until it has arrived.
            assert transport.exchange(request_to(server, "GET")).text == "2"
        assert server.connections == 2

    def test_come_while_the_loop_is_busy(self) -> None:
        from otpkit.transport.aio import AsyncTransport

        answered, sent = threading.Event(), threading.Event()

        def act(peer: Peer) -> None:
            peer.send(answer("1"))
            answered.wait(5)
            peer.send(answer("stale"))
            sent.set()

        async def story(server: WireServer) -> None:
            transport = AsyncTransport()
            assert (await transport.exchange(request_to(server, "GET"))).text == "1"
            answered.set()
            sent.wait(5)
            assert (await transport.exchange(request_to(server, "GET"))).text == "2"
            await transport.close()

        with WireServer(act, reply("2")) as server:
            asyncio.run(story(server))
        assert server.connections == 2
