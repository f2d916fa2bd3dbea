"""Clusters and Sentinels for the tests. Each test process has one of each, complete at the start of every test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from clusters import Cluster, Watched, started
from counters import LIBRARIES, STORES, Counter, cluster_client, opened, sentinel_client


@pytest.fixture(scope="session")
def cluster_of_process() -> Iterator[Cluster]:
    with started(Cluster) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def watched_of_process() -> Iterator[Watched]:
    with started(Watched) as watched:
        yield watched


@pytest.fixture
def cluster(cluster_of_process: Cluster) -> Iterator[Cluster]:
    """Yield six nodes, three of them primaries. Afterwards restore the nodes that the test stopped."""
    yield cluster_of_process
    cluster_of_process.heal()


@pytest.fixture
def watched(watched_of_process: Watched) -> Iterator[Watched]:
    """Yield a primary, two replicas and three Sentinels. Afterwards restore the nodes that the test stopped."""
    yield watched_of_process
    watched_of_process.heal()


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Any:
    """Return the argument of `opened` for each kind of store in turn."""
    kind, _, way = request.param.partition("-")
    place = request.getfixturevalue("cluster_of_process" if kind == "cluster" else "watched_of_process")
    if way == "url":
        return place.url
    return cluster_client(place) if kind == "cluster" else sentinel_client(place)


@pytest.fixture
async def counter(library: str, store: Any, namespace: str) -> AsyncIterator[Counter]:
    """Yield the sync and the async library on each kind of store, with ten sends a day."""
    async with opened(library, store, namespace=namespace) as counter:
        yield counter
