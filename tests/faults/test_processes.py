"""Processes: a fork after use, in threads' midst, and an OTP built in each process of a pool."""

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
    """Issue, verify and redeem for phones of an area; return how many went as they should."""
    done = 0
    for number in range(ROUNDS):
        phone = f"+86138{area:04d}{number:04d}"
        otp.issue(phone)
        code = next(message.code for message in reversed(outbox) if message.phone == phone)
        proof = otp.verify(phone, code)
        done += otp.redeem(proof.token).phone == phone
    return done


def in_a_fork(child: Callable[[], bool]) -> int:
    """Run `child` in a fork of this process; return its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads, which are the point
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(int(CHILD_S))  # a deadlock ends the child
        status = 0 if child() else 1
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_child_and_its_parent_go_on_after_a_fork(url: str, namespace: str) -> None:
    """Each on connections of its own: nobody reads another's answer."""
    otp, outbox = build(url, namespace)
    with otp:
        assert work(otp, outbox, 0) == ROUNDS
        children = [in_a_fork(lambda area=area: work(otp, outbox, area) == ROUNDS) for area in (1, 2)]
        assert work(otp, outbox, 3) == ROUNDS
        assert [status_of(pid) for pid in children] == [0, 0]
        assert work(otp, outbox, 4) == ROUNDS


def test_a_child_may_close_what_it_inherited(url: str, namespace: str) -> None:
    """The parent's connections stay."""
    otp, outbox = build(url, namespace)
    with otp:
        work(otp, outbox, 0)
        assert status_of(in_a_fork(lambda: otp.close() is None)) == 0
        assert work(otp, outbox, 1) == ROUNDS


def test_no_thread_of_a_child_takes_a_connection_of_the_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that asks at the very moment when another one has noticed the fork."""
    pool = Pool.from_url("redis://127.0.0.1:1")
    pool.release(parents := pool.get_connection())
    pool.pid = -1  # as it is in a child
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
    """Whatever the other threads held when the process was forked, the child is not stuck on it."""
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
    """Build an OTP in this process, and work."""
    otp, outbox = build(url, namespace)
    with otp:
        return work(otp, outbox, area)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_otp_in_each_process(url: str, namespace: str, method: Any) -> None:
    """Started afresh, they share what Redis keeps, and no more."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, context) as pool:
        areas = range(2)
        assert list(pool.map(in_a_worker, [url] * 2, [namespace] * 2, areas)) == [ROUNDS] * 2
    otp, _ = build(url, namespace)
    with otp:
        assert otp.issue("+8613800000000").sends_left == 30
