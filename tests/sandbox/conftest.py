from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox_client import NOON, TEMPLATES, Client, Clock

from otpkit.sandbox import Sandbox, running


def _client(sandbox: Sandbox, clock: Clock) -> Iterator[Client]:
    with running(sandbox) as address:
        client = Client(address, sandbox, clock)
        with client.session:
            yield client


@pytest.fixture(scope="session")
def _open_client() -> Iterator[Client]:
    clock = Clock()
    yield from _client(Sandbox(clock=clock), clock)


@pytest.fixture(scope="session")
def _strict_client() -> Iterator[Client]:
    clock = Clock()
    yield from _client(Sandbox(clock=clock, templates=TEMPLATES, sign_names={"阿里大鱼"}), clock)


@pytest.fixture
def client(_open_client: Client) -> Client:
    """Yield a sandbox on a socket that accepts any template and signature."""
    return _fresh(_open_client)


@pytest.fixture
def strict_client(_strict_client: Client) -> Client:
    """Yield a sandbox on a socket with one template and one signature."""
    return _fresh(_strict_client)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _fresh(client: Client) -> Client:
    client.sandbox.reset()
    client.clock.now = NOON
    return client
