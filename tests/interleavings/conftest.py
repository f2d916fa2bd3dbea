from __future__ import annotations

from collections.abc import Iterator

import pytest
from snapshots import Snapshots
from support.servers import find_redis, find_valkey, running, unavailable


@pytest.fixture(scope="session")
def snapshots() -> Iterator[Snapshots]:
    """Yield the states of a Redis server that nobody else uses: the explorer removes and puts back its keys."""
    binary = find_redis() or find_valkey()
    if binary is None:
        unavailable("no redis-server on the PATH")
    with running(binary) as server:
        snapshots = Snapshots(server.socket_path)
        yield snapshots
        snapshots.close()
