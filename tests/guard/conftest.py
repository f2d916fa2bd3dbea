"""Fixtures of the guard's tests: a store, a captcha that the test rules, and OTPs with a guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import redis
from guard_rig import FREE, WIDE, Guarded
from support.proxy import Proxy
from support.rig import MEMORY

from otpkit.core import scripts
from otpkit.store.sync import SyncStore


@pytest.fixture(params=["memory", "valkey", "redis", "cluster"])
def guarded(request: pytest.FixtureRequest, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """Give a rig with a guard, on each kind of store, and with the scripts of a cluster."""
    kind: Any = request.param
    url = MEMORY if kind in {"memory", "cluster"} else request.getfixturevalue(f"{kind}_url")
    monkeypatch.setattr(SyncStore, "clustered", kind == "cluster")
    with Guarded(url, namespace) as rig:
        yield rig


@pytest.fixture(params=["one server", "cluster"])
def fast(request: pytest.FixtureRequest, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    """Give a rig with a guard, on the embedded store alone, and with the scripts of a cluster."""
    monkeypatch.setattr(SyncStore, "clustered", request.param == "cluster")
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
    found = [scripts.load(FREE, WIDE, clustered=clustered) for clustered in (False, True)]
    loaded = [(each.name, getattr(all_of, each.name)) for all_of in found for each in fields(all_of)]
    by_sha = {script.sha: name for name, script in loaded}
    with redis.Redis.from_url(seat_url) as client:
        for _, script in loaded:
            client.script_load(script.text)
    with Proxy(seat_url, by_sha) as proxy:
        yield proxy
