"""Processes: a fork after use, a fork while threads run, and an OTP built in each process of a pool."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import redis
from support.callers import BROAD
from support.rig import SECRET, TEMPLATE

from otpkit import OTP
from otpkit.store.pool import Pool
from otpkit.testing import Outbox

CHILD_S = 30.0
ROUNDS = 30


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


def build(url: str, namespace: str) -> tuple[OTP, Outbox]:
    outbox = Outbox()
    return OTP(url, outbox, TEMPLATE, SECRET, policy=BROAD, namespace=namespace), outbox


def work(otp: OTP, outbox: Outbox, area: int) -> int:
    """Issue, verify and redeem for phones of an area. Return the number of successes."""
    done = 0
    for number in range(ROUNDS):
        phone = f"+86138{area:04d}{number:04d}"
        otp.issue(phone)
        code = next(message.code for message in reversed(outbox) if message.phone == phone)
        proof = otp.verify(phone, code)
        done += otp.redeem(proof.token).phone == phone
    return done


def in_a_fork(child: Callable[[], bool]) -> int:
    """Run `child` in a fork of this process. Return its process id."""
    with warnings.catch_warnings():
        # Python 3.12 warns about forks with threads. This test needs them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(int(CHILD_S))  # The alarm ends a child that is deadlocked.
        status = 0 if child() else 1
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_child_and_its_parent_go_on_after_a_fork(url: str, namespace: str) -> None:
    """Each process has its own connections, so no caller reads another's reply."""
    otp, outbox = build(url, namespace)
    with otp:
        assert work(otp, outbox, 0) == ROUNDS
        children = [in_a_fork(lambda area=area: work(otp, outbox, area) == ROUNDS) for area in (1, 2)]
        assert work(otp, outbox, 3) == ROUNDS
        assert [status_of(pid) for pid in children] == [0, 0]
        assert work(otp, outbox, 4) == ROUNDS


def test_a_child_may_close_what_it_inherited(url: str, namespace: str) -> None:
    """The parent's connections stay open."""
    otp, outbox = build(url, namespace)
    with otp:
        work(otp, outbox, 0)
        assert status_of(in_a_fork(lambda: otp.close() is None)) == 0
        assert work(otp, outbox, 1) == ROUNDS


def test_no_thread_of_a_child_takes_a_connection_of_the_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    """This includes a thread that asks at the moment when another thread has noticed the fork."""
    pool = Pool.from_url("redis://127.0.0.1:1")
    pool.release(parents := pool.get_connection())
    pool.pid = -1  # A child sees this value.
    taken: list[Any] = []
    reset = redis.ConnectionPool.reset

    def reset_beside_another_thread(self: Any) -> None:
        reset(self)
        taken.append(self.get_connection())

    monkeypatch.setattr(redis.ConnectionPool, "reset", reset_beside_another_thread)
    taken.append(pool.get_connection())
    assert len(taken) == 2
    assert parents not in taken


def test_forks_in_the_midst_of_threads(url: str, namespace: str) -> None:
    """The child does not wait for locks that other threads held at the fork."""
    otp, _ = build(url, namespace)
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(area: int) -> None:
        while not stop.is_set():
            try:
                otp.status(f"+86138{area:04d}0000")
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=run, args=(area,)) for area in range(8)]
    with otp:
        for thread in threads:
            thread.start()
        try:
            statuses = []
            for _ in range(10):
                statuses.append(status_of(in_a_fork(lambda: otp.status("+8613900000000") is None)))
                time.sleep(0.005)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert (statuses, failures) == ([0] * 10, [])


def in_a_worker(url: str, namespace: str, area: int) -> int:
    """Build an OTP in this process, and use it."""
    otp, outbox = build(url, namespace)
    with otp:
        return work(otp, outbox, area)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_otp_in_each_process(url: str, namespace: str, method: Any) -> None:
    """New processes share only the data in Redis."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, context) as pool:
        areas = range(2)
        assert list(pool.map(in_a_worker, [url] * 2, [namespace] * 2, areas)) == [ROUNDS] * 2
    otp, _ = build(url, namespace)
    with otp:
        assert otp.issue("+8613800000000").sends_left == 30
