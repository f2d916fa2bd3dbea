from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.callers import loaded
from support.proxy import Proxy
from support.rig import Rig, Untouchable

from otpkit import OTP


@pytest.fixture
def rig(store_url: str, namespace: str) -> Iterator[Rig]:
    """Yield a rig on each store in turn: the real servers and the embedded one must behave the same."""
    with Rig(store_url, namespace) as rig:
        yield rig


@pytest.fixture
def memory_rig(namespace: str) -> Iterator[Rig]:
    """Yield a rig on the embedded store, for behaviour that does not depend on the store."""
    with Rig("memory://", namespace) as rig:
        yield rig


@pytest.fixture(params=["valkey", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of each real server in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["valkey sync-url", "valkey async-client", "redis sync-client", "redis async-url"])
def seat(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return a real server's URL and a kind of caller. Each kind occurs once, each server with sync and async."""
    server, kind = request.param.split()
    return request.getfixturevalue(f"{server}_url"), kind


@pytest.fixture
def seat_url(seat: tuple[str, str]) -> str:
    """Return the URL of the server behind the proxy."""
    return seat[0]


@pytest.fixture
def kind(seat: tuple[str, str]) -> str:
    """Return the kind of caller that connects to the proxy."""
    return seat[1]


@pytest.fixture
def untouched(memory_rig: Rig) -> OTP:
    """Return an OTP that fails the test if it calls Redis."""
    return memory_rig.heard(redis=Untouchable())


@pytest.fixture
def proxy(seat_url: str) -> Iterator[Proxy]:
    """Yield a proxy before a real server that has the scripts."""
    with loaded(seat_url) as by_sha, Proxy(seat_url, by_sha) as proxy:
        yield proxy
