"""The contract is held by both shells on every store: each test runs six times, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from contract_world import PHONE, LoopThread, World

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
def world(is_async: bool, store_url: str, namespace: str, loop_thread: LoopThread) -> Iterator[World]:
    """Give a world on each store."""
    world = World(is_async=is_async, store_url=store_url, namespace=namespace, loop=loop_thread)
    yield world
    world.close()


@pytest.fixture
def memory_world(is_async: bool, namespace: str, loop_thread: LoopThread) -> Iterator[World]:
    """Give a world on the embedded store alone, for what no store has a say in."""
    world = World(is_async=is_async, store_url="memory://", namespace=namespace, loop=loop_thread)
    yield world
    world.close()


@pytest.fixture
def otp(world: World) -> Any:
    """Give an OTP with the default policy."""
    return world.otp()


@pytest.fixture
def proved(world: World) -> Callable[..., Any]:
    """Give a function that issues a code to a phone and verifies it."""

    def prove(otp: Any, phone: str = PHONE, *args: Any, **kwargs: Any) -> Any:
        otp.issue(phone, *args, **kwargs)
        return otp.verify(phone, world.outbox[-1].code, *args, **kwargs)

    return prove


@pytest.fixture
def rejected(world: World) -> Callable[..., GatewayRejectedError]:
    """Give a function that makes the outbox reject the next message, by category."""

    def reject(category: Any, **evidence: Any) -> GatewayRejectedError:
        error = GatewayRejectedError("as the test asked", gateway="outbox", category=category, **evidence)
        world.outbox.reject_next(error)
        return error

    return reject
