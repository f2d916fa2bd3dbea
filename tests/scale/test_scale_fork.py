"""A child is forked from a process that uses a cluster or Sentinels: it inherits no held lock, thread or connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import guarded
import pytest
from guarded import NAME, PRIMARY, SENTINEL, encoded
from support.rig import SECRET, TEMPLATE

from otpkit import OTP, AsyncOTP
from otpkit.testing import Outbox

PHONE = "+8613800138000"
CHILD_S = 20


@contextlib.contextmanager
def store(place: str) -> Iterator[str]:
    """Yield the URL of a cluster, or of Sentinels."""
    if place == "cluster":
        with guarded.cluster() as node:
            yield f"redis+cluster://{encoded(PRIMARY)}@127.0.0.1:{node.port}"
        return
    with guarded.watched() as (hosts, _):
        user, password = encoded(SENTINEL).split(":")
        query = f"sentinel_username={user}&sentinel_password={password}"
        yield f"redis+sentinel://{encoded(PRIMARY)}@{hosts}/{NAME}?{query}"


def in_a_fork(child: Callable[[], Any]) -> int:
    """Run `child` in a fork of this process, and return its exit code: 0 if its result was true."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        status = 1
        try:
            signal.alarm(CHILD_S)
            status = 0 if child() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("place", ["cluster", "sentinels"])
def test_a_fork_while_other_threads_hold_locks(place: str) -> None:
    """The locks are those of otpkit and of redis-py's cluster client."""
    with store(place) as url, OTP(url, Outbox(), TEMPLATE, SECRET) as otp:
        assert otp.issue(PHONE).sends_left == 6
        locks = [otp._store._lock]
        if place == "cluster":
            nodes = otp._store.client.nodes_manager
            locks += [nodes._lock, nodes._initialization_lock, otp._store.client._lock]
        held, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            with contextlib.ExitStack() as stack:
                for lock in locks:
                    stack.enter_context(lock)
                held.set()
                go_on.wait(CHILD_S)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(CHILD_S)
        try:
            code = in_a_fork(lambda: otp.status(PHONE) is not None and otp.close() is None)
        finally:
            go_on.set()
            thread.join()
        assert code == 0
        assert otp.status(PHONE) is not None


@pytest.mark.parametrize("place", ["cluster", "sentinels"])
def test_a_fork_of_an_async_one(place: str) -> None:
    """Both processes continue, and neither reads the other's replies."""
    with store(place) as url:
        otp = AsyncOTP(url, lambda _: None, TEMPLATE, SECRET)

        async def child() -> bool:
            for number in range(50):
                phone = f"+86139{number:08d}"
                if (await otp.issue(phone)).phone != phone:
                    return False
            await otp.close()
            return True

        async def parent() -> None:
            assert (await otp.issue(PHONE)).phone == PHONE
            began = time.monotonic()
            assert in_a_fork(lambda: asyncio.run(child())) == 0
            for number in range(50):
                phone = f"+86138{number:08d}"
                assert (await otp.issue(phone)).phone == phone
            assert time.monotonic() - began < CHILD_S
            await otp.close()

        asyncio.run(parent())
