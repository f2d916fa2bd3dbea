from __future__ import annotations

from collections.abc import Iterator

import pytest
from hook_server import HookServer
from recorded_spans import Recorded


@pytest.fixture
def recorded() -> Recorded:
    """Return a listener for `OTP(listeners=…)`, and the spans that it records."""
    return Recorded()


@pytest.fixture
def hook() -> Iterator[HookServer]:
    """Yield an HTTP server for gateways."""
    with HookServer() as server:
        yield server
