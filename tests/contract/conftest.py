"""Both shells keep the contract on every store: a test runs eight times unless it states otherwise.

The OTPs of a test share a client that is passed in, so that they also share the embedded store. An `AsyncOTP` by URL
uses different code: its tasks share one connection of its own. For that reason, real servers are tested by URL as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.rig import MEMORY, PHONE, LoopThread, Rig

from otpkit import GatewayRejectedError


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect `OTP` by URL: it runs the same code as with a client that is passed in."""
    left_out = [item for item in items if {"sync", "by URL"} <= _words(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _words(item: pytest.Item) -> set[str]:
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    is_by_url = str(params.get("backend", "")).endswith("by URL")
    return {str(params.get("is_async", "")), "by URL" if is_by_url else ""}


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.stop()


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "async")


@pytest.fixture(params=["memory", "valkey", "redis", "valkey by URL", "redis by URL"])
def backend(request: pytest.FixtureRequest) -> str:
    """Return the name of each store, and of each way to connect to it."""
    return str(request.param)


@pytest.fixture
def store_url(backend: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of each store in turn. A test owns only the keys under `namespace`."""
    server = backend.removesuffix(" by URL")
    return MEMORY if server == "memory" else str(request.getfixturevalue(f"{server}_url"))


@pytest.fixture
def rig(is_async: bool, backend: str, store_url: str, namespace: str, loop_thread: LoopThread) -> Iterator[Rig]:
    """Yield a rig on each store."""
    rig = Rig(store_url, namespace, loop_thread if is_async else None, is_by_url=backend.endswith("by URL"))
    yield rig
    rig.close()


@pytest.fixture
def memory_rig(is_async: bool, namespace: str, loop_thread: LoopThread) -> Iterator[Rig]:
    """Yield a rig on the embedded store, for behaviour that does not depend on the store."""
    rig = Rig("memory://", namespace, loop_thread if is_async else None)
    yield rig
    rig.close()


@pytest.fixture
def otp(rig: Rig) -> Any:
    """Return an OTP with the default policy."""
    return rig.otp()


@pytest.fixture
def proved(rig: Rig) -> Callable[..., Any]:
    """Return a function that issues a code to a phone and verifies it."""

    def prove(otp: Any, phone: str = PHONE, *args: Any, **kwargs: Any) -> Any:
        otp.issue(phone, *args, **kwargs)
        return otp.verify(phone, rig.outbox[-1].code, *args, **kwargs)

    return prove


@pytest.fixture
def rejected(rig: Rig) -> Callable[..., GatewayRejectedError]:
    """Return a function that makes the outbox reject the next message with a category."""

    def reject(category: Any, **evidence: Any) -> GatewayRejectedError:
        error = GatewayRejectedError("as the test asked", gateway="outbox", category=category, **evidence)
        rig.outbox.reject_next(error)
        return error

    return reject
