"""Connect to a host within a bound, the look-up of its name included.

`getaddrinfo` can't be interrupted and takes as long as the resolver's own timeouts, so it runs in a thread of its own,
and a caller waits no longer than it may. A thread that is left behind ends with its look-up; there are never more than
a few.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

MAX_LOOK_UPS: Final = 32  # At a time, in a process. Further callers wait, within their own bound.
THREAD_NAME: Final = "otpkit-look-up"

Address: TypeAlias = tuple[int, int, int, Any]
"""Family, type, protocol and address of a socket."""


def connect(host: str, port: int, timeout: float, options: Iterable[tuple[Any, ...]] = ()) -> socket.socket:
    """Return a socket that is connected to the first address of `host` which answers.

    Args:
        host: a name, or an address with brackets or without.
        port: its port.
        timeout: seconds that the look-up of the name may take, and then the connection to each of its addresses.
        options: options of the socket, as for `setsockopt`.

    Raises OSError: a `TimeoutError` where the bound is reached, a `gaierror` where there is no such name.
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
        del failure  # Its traceback holds this frame: without a cycle both go as soon as the caller is done with it.


def look_up(host: str, port: int, timeout: float) -> list[Address]:
    """Return the addresses of `host`, within `timeout` seconds. Raises what `connect` raises."""
    host = host.strip("[]")
    version = _version(host)
    if version is None:
        return _look_up_name(host, port, timeout)
    family, address = (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)]


def _version(host: str) -> int | None:
    try:
        return ip_address(host).version
    except ValueError:
        return None


def _look_up_name(host: str, port: int, timeout: float) -> list[Address]:
    deadline, look_ups = time.monotonic() + timeout, _semaphore()
    answers: queue.SimpleQueue[list[Address] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([(family, kind, protocol, address) for family, kind, protocol, _, address in found])
        except Exception as error:  # noqa: BLE001 - the caller's to raise, without the frames of this thread
            answers.put(error.with_traceback(None))
        finally:
            look_ups.release()

    if not look_ups.acquire(timeout=timeout):
        raise TimeoutError
    # A daemon: a look-up that hangs must not keep the process from ending.
    thread = threading.Thread(target=ask, name=THREAD_NAME, daemon=True)
    try:
        thread.start()
    finally:
        if thread.ident is None:  # it could not be started
            look_ups.release()
    answer: list[Address] | Exception = TimeoutError()
    with suppress(queue.Empty):
        answer = answers.get(timeout=max(0, deadline - time.monotonic()))
    if not isinstance(answer, Exception):
        return answer
    try:
        raise answer
    finally:
        del answer  # as above


def _connected(
    family: int, kind: int, protocol: int, address: Any, timeout: float, options: Iterable[tuple[Any, ...]]
) -> socket.socket:
    opened = socket.socket(family, kind, protocol)
    try:
        for option in options:
            opened.setsockopt(*option)
        opened.settimeout(timeout)
        opened.connect(address)
    except BaseException:  # an interrupt too: the socket is nobody's
        opened.close()
        raise
    return opened


_semaphores: dict[int, threading.Semaphore] = {}  # by process


def _semaphore() -> threading.Semaphore:
    # A forked child has none of its parent's threads, so nobody would release the parent's semaphore there.
    return _semaphores.get(os.getpid()) or _semaphores.setdefault(os.getpid(), threading.Semaphore(MAX_LOOK_UPS))
