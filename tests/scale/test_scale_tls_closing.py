"""Abandoned TLS connections: their sockets close, even if the server hangs and confirms nothing."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import guarded
import pytest
from guarded import NAME, PEM, PRIMARY, SENTINEL, encoded
from nodes import Node
from support.callers import calling, result
from support.rig import PHONE

from otpkit import AsyncOTP, StoreUnavailableError
from otpkit.testing import Outbox

MANY = 2000  # Callbacks of an event loop. Every call has fewer.
CONFIRM_S = 1.0  # asyncio's own limit is 30 seconds.


@contextmanager
def _single() -> Iterator[tuple[str, list[Node]]]:
    with guarded.single(tls=True) as node:
        yield f"rediss://{encoded(PRIMARY)}@127.0.0.1:{node.port}/0?ssl_ca_certs={PEM}", [node]


@contextmanager
def _watched() -> Iterator[tuple[str, list[Node]]]:
    own = "sentinel_username={}&sentinel_password={}".format(*encoded(SENTINEL).split(":"))
    with guarded.watched(tls=True) as (hosts, nodes):
        yield f"rediss+sentinel://{encoded(PRIMARY)}@{hosts}/{NAME}/0?ssl_ca_certs={PEM}&{own}", nodes


@contextmanager
def _cluster() -> Iterator[tuple[str, list[Node]]]:
    with guarded.cluster(tls=True) as node:
        yield f"rediss+cluster://{encoded(PRIMARY)}@127.0.0.1:{node.port}?ssl_ca_certs={PEM}", [node]


PLACES: dict[str, Any] = {"single": _single, "sentinel": _watched, "cluster": _cluster}


@pytest.fixture(params=PLACES, scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[Node]]]:
    """Yield a URL and its nodes, all with TLS."""
    with PLACES[request.param]() as found:
        yield found


@pytest.fixture
async def otp(place: tuple[str, list[Node]], namespace: str) -> AsyncIterator[AsyncOTP]:
    async with calling("async-url", place[0], Outbox(), namespace=namespace) as caller:
        yield caller.otp


@contextmanager
def hung(nodes: list[Node]) -> Iterator[None]:
    """Freeze nodes: their connections stay open, and they answer nothing."""
    for node in nodes:
        node.pause()
    try:
        yield
    finally:
        for node in nodes:
            node.resume()


def open_sockets(nodes: list[Node]) -> int:
    """Return the number of this process's connections to nodes."""
    ports = {node.port for node in nodes}
    return sum(_peer(descriptor) in ports for descriptor in _sockets())


def _sockets() -> list[int]:
    place = Path("/proc/self/fd")
    found = []
    for name in os.listdir(place):
        with suppress(OSError):  # The descriptor of the listing itself is already closed.
            if os.readlink(place / name).startswith("socket:"):
                found.append(int(name))
    return found


def _peer(descriptor: int) -> int | None:
    with socket.socket(fileno=os.dup(descriptor)) as found, suppress(OSError):
        return int(found.getpeername()[1]) if found.family == socket.AF_INET else None
    return None


async def test_giving_up_on_a_hung_server_closes(place: Any, otp: AsyncOTP) -> None:
    """The connections are old and new ones, after concurrent calls that timed out."""
    await asyncio.gather(*[otp.issue(f"+86138001380{number:02d}") for number in range(5)])
    with hung(place[1]):
        phones = [f"+86138001381{number:02d}" for number in range(10)]
        outcomes = await asyncio.gather(*[result(otp.issue(phone)) for phone in phones])
        assert all(isinstance(each, StoreUnavailableError) for each in outcomes), outcomes
        await otp.close()
        assert open_sockets(place[1]) == 0


async def test_closing_waits_for_no_hung_server(place: Any, otp: AsyncOTP) -> None:
    await otp.issue(PHONE)
    with hung(place[1]):
        async with asyncio.timeout(0.3):
            await otp.close()
        assert open_sockets(place[1]) == 0


async def test_a_cancelled_call_leaves_no_socket(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled before each callback of the event loop in turn, while it connects and calls.

    The server hangs then.
    """
    # The wait_for of Python 3.11 swallows some cancellations. Such a call continues until its time limit.
    monkeypatch.setattr("otpkit.store.retry.TOTAL_S", 0.3)
    with _single() as (url, nodes):
        for number in itertools.count():
            assert number < MANY
            async with calling("async-url", url, Outbox(), namespace=namespace) as caller:
                call = Hanging(nodes, number)
                outcome = await call.outcome(caller.otp.standing(PHONE))
            try:
                for _ in range(100):
                    if not open_sockets(nodes):
                        break
                    await asyncio.sleep(CONFIRM_S / 100)
                assert open_sockets(nodes) == 0
            finally:
                call.resume()
            if outcome is not None:
                assert number > 1
                return


class Hanging:
    """A call that is cancelled before the event loop's callback of a number. At that moment its nodes hang."""

    def __init__(self, nodes: list[Node], number: int) -> None:
        self._nodes, self._left = nodes, number

    async def outcome(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a call that ended earlier, or None if it was cancelled."""
        loop = asyncio.get_running_loop()
        usual = loop.call_soon
        task = asyncio.ensure_future(call)

        def call_soon(callback: Callable[..., object], *args: Any, **options: Any) -> Any:
            def counted(*args: Any) -> None:
                if self._left == 0 and not task.done():
                    self._hang()
                    task.cancel()
                self._left -= 1
                callback(*args)

            return usual(counted, *args, **options)

        loop.call_soon = call_soon  # type: ignore[method-assign]
        try:
            return await task
        except (asyncio.CancelledError, StoreUnavailableError):
            return None
        finally:
            loop.call_soon = usual  # type: ignore[method-assign]

    def _hang(self) -> None:
        for node in self._nodes:
            node.pause()

    def resume(self) -> None:
        """Resume the nodes."""
        for node in self._nodes:
            node.resume()
