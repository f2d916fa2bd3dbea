"""The time to connect has a bound that includes the name look-up. Nothing was sent, and no threads accumulate."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from leaks import errors_of
from support.secrets import SECRET as OTP_SECRET
from support.transports import ON_UVLOOP, TRANSPORTS, AnyTransport, choose
from wire_server import WireServer, refusing_port, reply

from otpkit import OTP, AsyncOTP, GatewayRejectedError, Template
from otpkit.effects import HttpRequest, NotConnected
from otpkit.gateways import Apprise, Webhook
from otpkit.transport.connecting import MAX_LOOK_UPS, THREAD_NAME, connect, look_up

KINDS = ON_UVLOOP  # The kinds of transports to test.

REAL = socket.getaddrinfo
NAME = "gateway.example"


class Resolver:
    """A replacement of `getaddrinfo`. It hangs until the test releases it, and then returns the set result."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked = 0
        self.found: Callable[[], Any] = lambda: REAL("127.0.0.1", 1, type=socket.SOCK_STREAM)

    def __call__(self, *_: object, **__: object) -> Any:
        self.asked += 1
        assert self.release.wait(20)
        return self.found()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.release.set()
    deadline = time.monotonic() + 10
    while looking_up() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not looking_up()


def looking_up() -> int:
    return sum(thread.name == THREAD_NAME for thread in threading.enumerate())


def request_to(url: str, connect: float = 0.3) -> HttpRequest:
    return HttpRequest(method="GET", url=url, timeout=(connect, 5))


def fails(transport: AnyTransport, url: str = f"https://{NAME}", connect: float = 0.3) -> tuple[float, NotConnected]:
    began = time.monotonic()
    with pytest.raises(NotConnected) as caught:
        transport.exchange(request_to(url, connect))
    assert list(errors_of(caught.value)) == [caught.value]
    return time.monotonic() - began, caught.value


def test_look_up_that_hangs_takes_no_longer_than_connecting_may(transport: AnyTransport, resolver: Resolver) -> None:
    took, failure = fails(transport)
    assert 0.29 < took < 2
    assert "(TimeoutError)" in str(failure)


@pytest.mark.parametrize("shell", ["sync", *TRANSPORTS])
def test_look_up_that_hangs_means_that_nothing_was_sent(
    resolver: Resolver, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The category is `connection`, so another gateway may be used."""
    gateway, template = Webhook(f"https://{NAME}", OTP_SECRET, timeout=(0.3, 5)), Template("text", body="${code}")

    async def issue() -> None:
        async with AsyncOTP("memory://", gateway, template, OTP_SECRET) as otp:
            await otp.issue("13800138000")

    calls: dict[str, Callable[[], object]] = {
        "async": lambda: asyncio.run(issue()),
        "sync": lambda: OTP("memory://", gateway, template, OTP_SECRET).issue("13800138000"),
    }
    if shell != "sync":
        choose(shell, monkeypatch)
    began = time.monotonic()
    with pytest.raises(GatewayRejectedError) as caught:
        calls["sync" if shell == "sync" else "async"]()
    assert caught.value.category == "connection"
    assert time.monotonic() - began < 3


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("proxy", [None, f"http://{NAME}:3128"])
def test_look_up_by_apprise_takes_no_longer_than_connecting_may(resolver: Resolver, proxy: str | None) -> None:
    """Apprise's own timeout `cto` bounds only the connection. The look-up of a proxy's name is bounded too."""
    gateway = Apprise(f"jsons://{'127.0.0.1' if proxy else NAME}/{{phone}}?cto=0.3&rto=5", proxy=proxy)
    with OTP("memory://", gateway, Template("text", body="${code}"), OTP_SECRET) as otp:
        began = time.monotonic()
        assert otp.issue("13800138000").delivery == "uncertain"
        assert time.monotonic() - began < 3
    assert resolver.asked == 1


def test_look_ups_that_hang_do_not_pile_up(transport: AnyTransport, resolver: Resolver) -> None:
    """Callers beyond the limit wait within the same bound. Later look-ups work again."""
    for _ in range(MAX_LOOK_UPS + 8):
        took, _ = fails(transport, connect=0.02)
        assert took < 2
    assert resolver.asked == looking_up() == MAX_LOOK_UPS
    with WireServer(reply("ok")) as server:
        resolver.found = lambda: REAL("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        resolver.release.set()
        assert transport.exchange(request_to(f"http://localhost:{server.port}", 5)).text == "ok"


def test_crowd_of_look_ups_is_served_in_turns(resolver: Resolver, transport: AnyTransport) -> None:
    """More look-ups than the limit run in turns, and none of them fails."""
    answers: list[str] = []
    with WireServer(reply("ok")) as server:
        resolver.found = lambda: REAL("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        crowd = [
            threading.Thread(
                target=lambda: answers.append(
                    transport.exchange(request_to(f"http://localhost:{server.port}", 10)).text
                )
            )
            for _ in range(MAX_LOOK_UPS + 16)
        ]
        for thread in crowd:
            thread.start()
        time.sleep(0.2)
        assert looking_up() <= MAX_LOOK_UPS
        resolver.release.set()
        for thread in crowd:
            thread.join(10)
    assert answers == ["ok"] * len(crowd)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_has_turns_of_its_own(transport: AnyTransport, resolver: Resolver) -> None:
    for _ in range(MAX_LOOK_UPS):
        fails(transport, connect=0.01)
    child = os.fork()
    if child == 0:
        socket.getaddrinfo = REAL
        try:
            os._exit(0 if look_up("localhost", 80, 5) else 1)
        except BaseException:  # The child must not run the parent's tests.
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timer here")
def test_caller_that_waits_can_be_interrupted(resolver: Resolver) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            look_up(NAME, 443, 15)
        assert time.monotonic() - began < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "::1"])
def test_address_needs_no_look_up(resolver: Resolver, host: str) -> None:
    assert look_up(host, 443, 0.1)[0][3][:2] == (host.strip("[]"), 443)
    assert resolver.asked == 0


def test_each_address_of_a_name_is_tried(transport: AnyTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusing_port() as refusing, WireServer(reply("ok")) as server:
        found = [*REAL("127.0.0.1", refusing, type=socket.SOCK_STREAM), *REAL("127.0.0.1", server.port)[:1]]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert transport.exchange(request_to("http://localhost:1")).text == "ok"
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
        transport.close()
        assert "ConnectionRefusedError" in str(fails(transport, "http://localhost:1")[1])


@pytest.mark.parametrize(
    "raised", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long"), OSError()], ids=repr
)
def test_look_up_that_fails_is_told_by_its_kind(
    transport: AnyTransport, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert type(raised).__name__ in str(fails(transport)[1])
    assert looking_up() == 0


@pytest.mark.parametrize("kind", ["unknown", "refused"])
def test_failure_leaves_no_cycle_behind(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A cycle would keep the request's frames until the next garbage collection."""
    gc.collect()
    gc.disable()
    try:
        with refusing_port() as port:
            found = REAL("127.0.0.1", port, type=socket.SOCK_STREAM)

            def answer(*_: object, **__: object) -> Any:
                if kind == "unknown":
                    raise socket.gaierror(-2, "Name or service not known")
                return found

            monkeypatch.setattr(socket, "getaddrinfo", answer)
            with suppress(OSError):
                connect(NAME, port, 5)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [each for each in gc.garbage if isinstance(each, (socket.gaierror, ConnectionRefusedError))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_name_without_an_address_is_no_connection(transport: AnyTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    fails(transport)


def test_thread_that_can_not_be_started_takes_no_turn(transport: AnyTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(MAX_LOOK_UPS + 1):
            assert "RuntimeError" in str(fails(transport)[1])
    with WireServer(reply("ok")) as server:
        assert transport.exchange(request_to(f"http://localhost:{server.port}", 5)).text == "ok"
