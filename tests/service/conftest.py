"""A service for the tests of a module, and numbers that no other test of it uses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from support.service import RECEIPTS_SECRET, Served, serving

_numbers = itertools.count(10_000_000)


@pytest.fixture(scope="module")
def stage() -> Iterator[Served]:
    """Yield a service on an embedded store, with an outbox as its gateway."""
    with serving("memory://", receipts_secret=RECEIPTS_SECRET) as served:
        yield served


@pytest.fixture
def phone() -> str:
    """Return a number of this test's own."""
    return f"+86138{next(_numbers)}"
