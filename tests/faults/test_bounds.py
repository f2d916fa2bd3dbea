"""The time limits of a call: 3 s in all with a hanging server, no wait after a refusal, and a queue under load."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mortal import Mortal
from support.callers import BROAD, calling, loaded, result
from support.rig import PHONE, SECRET, TEMPLATE, together, wrong

from otpkit import OTP, AsyncOTP, StoreUnavailableError
from otpkit.testing import Outbox

TOTAL_S, SLACK_S = 3.0, 1.5
CROWD = 1000
ONE_SERVER = pytest.mark.parametrize("binary", ["valkey"], indirect=True)  # Any server that hangs is alike.
CALLS = ["issue", "verify", "status", "standing", "revoke", "unblock", "erase"]


@pytest.fixture(params=["redis://", "redis+cluster://", "redis+sentinel://"])
def silent_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of a socket that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        path = "/primary/0" if "sentinel" in request.param else ""
        yield f"{request.param}127.0.0.1:{server.getsockname()[1]}{path}"


@pytest.fixture(params=["redis://", "redis+cluster://", "redis+sentinel://"])
def closed_url(request: pytest.FixtureRequest) -> str:
    """Return a URL where no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        path = "/primary/0" if "sentinel" in request.param else ""
        return f"{request.param}127.0.0.1:{server.getsockname()[1]}{path}"


async def _unavailable(url: str, kind: str, call: str) -> float:
    """Return the seconds until a call raises StoreUnavailableError."""
    async with calling(kind, url, Outbox()) as caller:
        code = ("123456",) if call == "verify" else ()
        began = time.monotonic()
        assert isinstance(await result(getattr(caller, call)(PHONE, *code)), StoreUnavailableError)
        return time.monotonic() - began


async def test_a_silent_socket_is_given_up_within_bounds(silent_url: str, kind: str) -> None:
    """The socket accepts the connection and the request, and does not answer. Every call has the same limit."""
    times = await asyncio.gather(*[_unavailable(silent_url, kind, call) for call in CALLS])
    assert max(times) < TOTAL_S + SLACK_S


async def test_a_refused_connection_is_given_up_at_once(closed_url: str, kind: str) -> None:
    """A few retries together take less than a second."""
    assert min([await _unavailable(closed_url, kind, "issue") for _ in range(2)]) < 1.0


@ONE_SERVER
async def test_a_server_that_hangs_is_given_up_within_bounds(own: Mortal, kind: str) -> None:
    """The limit holds on open and new connections, and for callers that wait for one.

    Afterwards all calls work again.
    """
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        await caller.issue(PHONE)
        own.hang()
        try:
            began = time.monotonic()
            outcomes = await asyncio.gather(*[result(caller.status(PHONE)) for _ in range(200)])
            took = time.monotonic() - began
        finally:
            own.go_on()
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
        assert took < TOTAL_S + SLACK_S
        assert await caller.verify(PHONE, outbox[-1].code)


async def test_a_call_under_which_the_server_hangs_counts_once(own: Mortal, kind: str) -> None:
    """The client gives up and repeats the request, and the server later runs both. The operation is counted once."""
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        await caller.issue(PHONE)
        code = outbox[-1].code
        await asyncio.gather(*[caller.status(PHONE) for _ in range(20)])  # This opens several connections.
        with loaded(own.url):  # The server would refuse an unknown script instead of running it.
            own.hang()
        try:
            calls = caller.verify(PHONE, wrong(code)), caller.issue(PHONE, "login")
            outcomes = await asyncio.gather(*map(result, calls))
        finally:
            own.go_on()
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
        assert len(outbox) == 1
        assert (await caller.status(PHONE)).attempts_left == 4
        assert (await caller.status(PHONE, "login")).sends_left == 30
        assert await caller.verify(PHONE, code)


async def test_a_short_hang_is_not_noticed(own: Mortal, kind: str) -> None:
    """The hang is half a second longer than a client's timeout. The second attempt gets the first one's result."""
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        await caller.issue(PHONE)
        with short_hang(own, outbox, after=1):
            proof = await caller.verify(PHONE, outbox[-1].code)
        assert await caller.redeem(proof.token) == proof


@ONE_SERVER
def test_a_thousand_threads_wait_their_turn(own: Mortal) -> None:
    """They share a few connections, and no call is refused."""
    with OTP(own.url, Outbox(), TEMPLATE, SECRET, policy=BROAD) as otp:
        outcomes = together(CROWD, lambda number: otp.issue(f"+86138{number:08d}"))
    assert {getattr(outcome, "delivery", outcome) for outcome in outcomes} == {"accepted"}


@ONE_SERVER
async def test_a_thousand_tasks_wait_their_turn(own: Mortal) -> None:
    """They share a few connections, and no call is refused."""
    async with AsyncOTP(own.url, Outbox(), TEMPLATE, SECRET, policy=BROAD) as otp:
        outcomes = await asyncio.gather(*[result(otp.issue(f"+86138{number:08d}")) for number in range(CROWD)])
    assert {getattr(outcome, "delivery", outcome) for outcome in outcomes} == {"accepted"}


@ONE_SERVER
def test_a_thousand_threads_wait_through_a_short_hang(own: Mortal) -> None:
    """A caller under load gives up no earlier than a single caller, with or without a connection."""
    with OTP(own.url, outbox := Outbox(), TEMPLATE, SECRET, policy=BROAD) as otp, short_hang(own, outbox, after=50):
        outcomes = together(CROWD, lambda number: otp.issue(f"+86138{number:08d}"))
    assert {getattr(outcome, "delivery", outcome) for outcome in outcomes} == {"accepted"}


@ONE_SERVER
async def test_a_thousand_tasks_wait_through_a_short_hang(own: Mortal) -> None:
    """A caller under load gives up no earlier than a single caller, with or without a connection."""
    async with AsyncOTP(own.url, outbox := Outbox(), TEMPLATE, SECRET, policy=BROAD) as otp:
        with short_hang(own, outbox, after=50):
            outcomes = await asyncio.gather(*[result(otp.issue(f"+86138{number:08d}")) for number in range(CROWD)])
    assert {getattr(outcome, "delivery", outcome) for outcome in outcomes} == {"accepted"}


@ONE_SERVER
def test_a_crowd_gives_a_server_up_that_hangs(own: Mortal) -> None:
    """Every thread gives up, with or without a connection. The bound includes the time to start the threads."""
    with OTP(own.url, Outbox(), TEMPLATE, SECRET, policy=BROAD) as otp:
        otp.issue(PHONE)
        own.hang()
        try:
            began = time.monotonic()
            outcomes = together(CROWD // 4, lambda number: otp.issue(f"+86138{number:08d}"))
            took = time.monotonic() - began
        finally:
            own.go_on()
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
    assert took < 2 * TOTAL_S


@contextmanager
def short_hang(server: Mortal, outbox: Outbox, *, after: int) -> Iterator[None]:
    """Stop a server after `after` messages, for somewhat longer than a client's timeout."""
    hangs = threading.Event()

    def hang() -> None:
        deadline = time.monotonic() + 20
        while len(outbox) < after and time.monotonic() < deadline:
            time.sleep(0.001)
        server.hang()
        hangs.set()
        time.sleep(1.4)
        server.go_on()

    thread = threading.Thread(target=hang)
    thread.start()
    try:
        if len(outbox) >= after:
            hangs.wait()
        yield
    finally:
        thread.join()  # The server must outlive the thread.
