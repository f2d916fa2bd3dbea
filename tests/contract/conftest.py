"""The contract is held by both shells on every store: each test runs six times, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.rig import PHONE, LoopThread, Rig

from otpkit import GatewayRejectedError


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.stop()


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "async")


@pytest.fixture
def rig(is_async: bool, store_url: str, namespace: str, loop_thread: LoopThread) -> Iterator[Rig]:
    """Give a rig on each store."""
    rig = Rig(store_url, namespace, loop_thread if is_async else None)
    yield rig
    rig.close()


@pytest.fixture
def memory_rig(is_async: bool, namespace: str, loop_thread: LoopThread) -> Iterator[Rig]:
    """Give a rig on the embedded store alone, for what no store has a say in."""
    rig = Rig("memory://", namespace, loop_thread if is_async else None)
    yield rig
    rig.close()


@pytest.fixture
def otp(rig: Rig) -> Any:
    """Give an OTP with the default policy."""
    return rig.otp()


@pytest.fixture
def proved(rig: Rig) -> Callable[..., Any]:
    """Give a function that issues a code to a phone and verifies it."""

    def prove(otp: Any, phone: str = PHONE, *args: Any, **kwargs: Any) -> Any:
        otp.issue(phone, *args, **kwargs)
        return otp.verify(phone, rig.outbox[-1].code, *args, **kwargs)

    return prove


@pytest.fixture
def rejected(rig: Rig) -> Callable[..., GatewayRejectedError]:
    """Give a function that makes the outbox reject the next message, by category."""

    def reject(category: Any, **evidence: Any) -> GatewayRejectedError:
        error = GatewayRejectedError("as the test asked", gateway="outbox", category=category, **evidence)
        rig.outbox.reject_next(error)
        return error

    return reject
