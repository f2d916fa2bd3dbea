from __future__ import annotations

from collections.abc import Iterator

import pytest
from attack_lab import Lab, Untouchable
from callers import loaded
from proxy import Proxy

from otpkit import OTP


@pytest.fixture
def lab(store_url: str, namespace: str) -> Iterator[Lab]:
    """Each store in turn: real servers behave alike to the letter, and the embedded one should."""
    with Lab(store_url, namespace) as lab:
        yield lab


@pytest.fixture
def memory_lab(namespace: str) -> Iterator[Lab]:
    """The embedded store, for what does not depend on the store."""
    with Lab("memory://", namespace) as lab:
        yield lab


@pytest.fixture(params=["valkey", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of each real server in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["valkey sync-url", "valkey async-client", "redis sync-client", "redis async-url"])
def seat(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Give a real server's URL and a kind of caller: each kind once, and each server for sync and async."""
    server, kind = request.param.split()
    return request.getfixturevalue(f"{server}_url"), kind


@pytest.fixture
def seat_url(seat: tuple[str, str]) -> str:
    """Give the server behind the proxy."""
    return seat[0]


@pytest.fixture
def kind(seat: tuple[str, str]) -> str:
    """Give the kind of caller before the proxy."""
    return seat[1]


@pytest.fixture
def untouched(memory_lab: Lab) -> OTP:
    """An OTP whose Redis must not be asked."""
    return memory_lab.otp(redis=memory_lab._stack.enter_context(Untouchable()))


@pytest.fixture
def proxy(seat_url: str) -> Iterator[Proxy]:
    """A proxy before a real server that knows the scripts."""
    with loaded(seat_url) as by_sha, Proxy(seat_url, by_sha) as proxy:
        yield proxy
