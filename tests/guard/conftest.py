"""Fixtures of the guard's tests: a store, a captcha that the test rules, and OTPs with a guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from guarded import Guarded
from support.rig import MEMORY


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
