from __future__ import annotations

from collections.abc import Iterator

import pytest
from mortal import Mortal
from support.servers import find_redis, find_valkey, unavailable


@pytest.fixture(params=["redis", "valkey"])
def binary(request: pytest.FixtureRequest) -> str:
    """Return the path of each server program in turn."""
    found = find_redis() if request.param == "redis" else find_valkey()
    if found is None:
        unavailable(f"no {request.param} server")
    return found


@pytest.fixture
def own(binary: str) -> Iterator[Mortal]:
    """Yield a server that the test may stop, kill, fill and restart."""
    with Mortal(binary) as server:
        yield server


@pytest.fixture
def durable(binary: str) -> Iterator[Mortal]:
    """Yield a server of the test's own that syncs each write to its disk before it replies."""
    with Mortal(binary, "--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture(params=["sync-url", "async-url"])
def kind(request: pytest.FixtureRequest) -> str:
    """Return a kind of caller with a client of otpkit: first threads, then tasks."""
    kind: str = request.param
    return kind
