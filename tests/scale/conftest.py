"""Clusters and Sentinels for the tests, one of each per test process, whole at the start of each test."""

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
    """Give six nodes of which three are primaries, and mend afterwards what the test broke."""
    yield cluster_of_process
    cluster_of_process.heal()


@pytest.fixture
def watched(watched_of_process: Watched) -> Iterator[Watched]:
    """Give a primary, two replicas and three Sentinels, and mend afterwards what the test broke."""
    yield watched_of_process
    watched_of_process.heal()


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Any:
    """Give what `opened` takes for each kind of store in turn."""
    kind, _, way = request.param.partition("-")
    place = request.getfixturevalue("cluster_of_process" if kind == "cluster" else "watched_of_process")
    if way == "url":
        return place.url
    return cluster_client(place) if kind == "cluster" else sentinel_client(place)


@pytest.fixture
async def counter(library: str, store: Any, namespace: str) -> AsyncIterator[Counter]:
    """Give the library before each kind of store, sync and async, with ten sends a day."""
    async with opened(library, store, namespace=namespace) as counter:
        yield counter
