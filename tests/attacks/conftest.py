from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.callers import loaded
from support.proxy import Proxy
from support.rig import Rig, Untouchable

from otpkit import OTP


@pytest.fixture
def rig(store_url: str, namespace: str) -> Iterator[Rig]:
    """Each store in turn: real servers behave alike to the letter, and the embedded one should."""
    with Rig(store_url, namespace) as rig:
        yield rig


@pytest.fixture
def memory_rig(namespace: str) -> Iterator[Rig]:
    """The embedded store, for what does not depend on the store."""
    with Rig("memory://", namespace) as rig:
        yield rig


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
def untouched(memory_rig: Rig) -> OTP:
    """An OTP whose Redis must not be asked."""
    return memory_rig.heard(redis=Untouchable())


@pytest.fixture
def proxy(seat_url: str) -> Iterator[Proxy]:
    """A proxy before a real server that knows the scripts."""
    with loaded(seat_url) as by_sha, Proxy(seat_url, by_sha) as proxy:
        yield proxy
