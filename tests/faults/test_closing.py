"""An OTP closed while it works, a thread pool shut down, and a thread interrupted in the middle of a call."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from attack_lab import PHONE, SECRET, TEMPLATE, outcome
from callers import calling, loaded, result

from otpkit import OTP, AsyncOTP, Challenge, Policy, StoreUnavailableError
from otpkit.testing import Outbox

ROOMY = Policy(sends="32/day")

LINES = 400  # no call runs as many of the store


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


def test_closed_while_threads_call(url: str, namespace: str) -> None:
    """Each call ends: with its answer, or with the store unavailable."""
    otp = OTP(url, Outbox(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    ended = threading.Event()
    outcomes: list[Any] = []

    def run(area: int) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            try:
                outcomes.append(outcome(otp.issue, f"+86138{area:04d}{number:04d}"))
            except BaseException as error:
                outcomes.append(error)

    threads = [threading.Thread(target=run, args=(area,)) for area in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(1000):
        otp.close()
        ended.wait(0.0005)
    ended.set()
    for thread in threads:
        thread.join()
    otp.close()
    assert {type(each) for each in outcomes} <= {Challenge, StoreUnavailableError}, outcomes


async def test_closed_while_tasks_call(url: str, namespace: str) -> None:
    """Likewise; what a gateway was to send on a thread of the pool is uncertain, never rejected."""
    otp = AsyncOTP(url, lambda _: None, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    for delay in range(0, 60, 3):
        tasks = [asyncio.ensure_future(result(otp.issue(f"+86138{delay:04d}{number:04d}"))) for number in range(8)]
        for _ in range(delay):
            await asyncio.sleep(0)
        await otp.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(each) for each in outcomes} <= {Challenge, StoreUnavailableError}, outcomes
        await otp.close()
        otp = AsyncOTP(url, lambda _: None, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    await otp.close()


def test_a_thread_pool_shut_down(url: str, namespace: str) -> None:
    """What had begun ends; what had not is never made, and nothing is half-done."""
    outbox = Outbox()
    with OTP(url, outbox, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace) as otp:
        pool = ThreadPoolExecutor(4)
        futures = [pool.submit(otp.issue, f"+86138{number:08d}") for number in range(100)]
        pool.shutdown(wait=True, cancel_futures=True)
        made = [future.result() for future in futures if not future.cancelled()]
        assert {challenge.delivery for challenge in made} <= {"accepted"}
        assert len(outbox) == len(made)
        assert sum(otp.status(f"+86138{number:08d}") is not None for number in range(100)) == len(made)


class _Interrupted(BaseException):
    """What a worker's time limit raises in the middle of anything."""


def test_a_thread_interrupted_at_every_line(url: str, namespace: str) -> None:
    """A signal's handler may raise anywhere: the next call never reads the interrupted one's answer."""

    def interrupt(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith("store_sync.py"):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise _Interrupted
        return interrupt

    tracing = sys.gettrace()
    with loaded(url), OTP(url, Outbox(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace) as otp:
        for number in range(1, LINES):
            left = number
            sys.settrace(interrupt)
            try:
                otp.status(PHONE)
                break
            except _Interrupted:
                pass
            finally:
                sys.settrace(tracing)
            phone = f"+86139{number:08d}"
            assert otp.issue(phone).phone == phone
            assert otp.status(PHONE) is None
    assert 5 < number < LINES - 1


async def test_closed_twice_and_never_used(kind: str, url: str) -> None:
    """Closing is harmless at any time."""
    async with calling(kind, url, Outbox()) as caller:
        for _ in range(2):
            closing = caller.otp.close()
            if closing is not None:
                await closing
