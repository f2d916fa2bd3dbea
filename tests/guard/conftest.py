"""Fixtures of the guard's tests: a store, a captcha that the test rules, and OTPs with a guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import redis
from guarded import FREE, WIDE, Guarded
from support.proxy import Proxy
from support.rig import MEMORY

from otpkit.core import scripts


@pytest.fixture(params=["memory", "valkey", "redis"])
def guarded(request: pytest.FixtureRequest, namespace: str) -> Iterator[Guarded]:
    """Give a rig with a guard, on each kind of store."""
    kind: Any = request.param
    url = MEMORY if kind == "memory" else request.getfixturevalue(f"{kind}_url")
    with Guarded(url, namespace) as rig:
        yield rig


@pytest.fixture
def fast(namespace: str) -> Iterator[Guarded]:
    """Give a rig with a guard, on the embedded store alone."""
    with Guarded(MEMORY, namespace) as rig:
        yield rig


@pytest.fixture(params=["valkey", "redis"])
def seat_url(request: pytest.FixtureRequest) -> str:
    """Give the server behind the proxy."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def proxy(seat_url: str) -> Iterator[Proxy]:
    """Give a proxy before a real server that knows the scripts of `FREE` and `WIDE`."""
    found = scripts.load(FREE, WIDE)
    by_sha = {getattr(found, each.name).sha: each.name for each in fields(found)}
    with redis.Redis.from_url(seat_url) as client:
        for each in fields(found):
            client.script_load(getattr(found, each.name).text)
    with Proxy(seat_url, by_sha) as proxy:
        yield proxy
