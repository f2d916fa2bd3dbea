"""Connect to a host within a time bound that includes the look-up of its name; by threads and by asyncio.

`getaddrinfo` can't be interrupted, and takes as long as the resolver's own timeouts. So it runs in its own thread, and
a caller waits only as long as it may. A thread that is left behind ends with its look-up. `MAX_LOOK_UPS` limits them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

MAX_LOOK_UPS: Final = 32  # In a process at once. Further callers wait, within their own bound.
THREAD_NAME: Final = "otpkit-look-up"

Address: TypeAlias = tuple[int, int, int, Any]
"""The family, type, protocol and address of a socket."""


def connect(host: str, port: int, timeout: float, options: Iterable[tuple[Any, ...]] = ()) -> socket.socket:
    """Return a socket that is connected to the first address of `host` that answers.

    Args:
        host: a name, or an address with or without brackets.
        port: the port.
        timeout: seconds for the look-up of the name, and then for the connection to each of its addresses.
        options: socket options, as for `setsockopt`.

    Raises:
        OSError: no address answers: a `TimeoutError` if the bound is reached, a `gaierror` if the name is unknown.
    """
    failure = OSError("the name has no address")
    for family, kind, protocol, address in look_up(host, port, timeout):
        try:
            return _connected(family, kind, protocol, address, timeout, options)
        except OSError as error:
            failure = error
    try:
        raise failure
    finally:
        del failure  # Its traceback holds this frame. Without this cycle, both are freed when the caller drops it.


async def connect_async(host: str, port: int, seconds: float) -> socket.socket:
    """Same as `connect`, but awaited. `seconds` is its `timeout`, and the socket does not block."""
    failure = OSError("the name has no address")
    for family, kind, protocol, address in await _look_up_async(host, port, seconds):
        try:
            return await _connected_async(family, kind, protocol, address, seconds)
        except OSError as error:
            failure = error
    try:
        raise failure
    finally:
        del failure  # This breaks the cycle, as in `connect`.


def look_up(host: str, port: int, timeout: float) -> list[Address]:
    """Return the addresses of `host` within `timeout` seconds; raise the errors of `connect`."""
    answer = _asked(host, port)
    try:
        return answer.result(timeout)
    finally:
        answer.cancel()
        del answer  # This breaks the cycle, as in `connect`.


async def _look_up_async(host: str, port: int, seconds: float) -> list[Address]:
    answer = _asked(host, port)
    try:
        if answer.done():
            return answer.result()
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(answer)
    finally:
        answer.cancel()
        del answer  # This breaks the cycle, as in `connect`.


def _asked(host: str, port: int) -> Future[list[Address]]:
    """Return a future of the addresses of `host`. An address needs no look-up; a cancelled one may not start."""
    host = host.strip("[]")
    version = _version(host)
    if version is None:
        return _look_ups().ask(host, port)
    family, address = (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))
    answer: Future[list[Address]] = Future()
    answer.set_result([(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)])
    return answer


def _version(host: str) -> int | None:
    try:
        return ip_address(host).version
    except ValueError:
        return None


class _LookUps:
    """The look-ups of a process: some are running, each on a thread, and the others wait in a queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._waiting: deque[tuple[Future[list[Address]], str, int]] = deque()

    def ask(self, host: str, port: int) -> Future[list[Address]]:
        question = (Future[list[Address]](), host, port)
        with self._lock:
            self._waiting.append(question)
            if self._running == MAX_LOOK_UPS:
                return question[0]
            self._running += 1
        # Use a daemon thread: a look-up that hangs must not keep the process alive.
        thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
        try:
            thread.start()
        finally:
            if thread.ident is None:  # The thread could not start.
                with self._lock, suppress(ValueError):
                    self._running -= 1
                    self._waiting.remove(question)
        return question[0]

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                answer, host, port = self._waiting.popleft()
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answer.set_result([(family, kind, protocol, address) for family, kind, protocol, _, address in found])
            except Exception as error:  # noqa: BLE001 - The caller raises it, without the frames of this thread.
                answer.set_exception(error.with_traceback(None))
            del answer


def _connected(
    family: int, kind: int, protocol: int, address: Any, timeout: float, options: Iterable[tuple[Any, ...]]
) -> socket.socket:
    opened = socket.socket(family, kind, protocol)
    try:
        for option in options:
            opened.setsockopt(*option)
        opened.settimeout(timeout)
        opened.connect(address)
    except BaseException:  # After an interrupt too, because no caller gets the socket.
        opened.close()
        raise
    return opened


async def _connected_async(family: int, kind: int, protocol: int, address: Any, seconds: float) -> socket.socket:
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setblocking(False)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:  # After a cancellation too, because no caller gets the socket.
        opened.close()
        raise
    return opened


_by_process: dict[int, _LookUps] = {}


def _look_ups() -> _LookUps:
    # A forked child has none of its parent's threads, so the parent's look-ups would never end there.
    return _by_process.get(os.getpid()) or _by_process.setdefault(os.getpid(), _LookUps())
