"""Fixtures for the transports that gateways use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.transports import TRANSPORTS, AnyTransport, opened
from wire_server import CERTIFICATE


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each transport, or on those that its module names."""
    if "make_transport" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "KINDS", TRANSPORTS)
        metafunc.parametrize("make_transport", kinds, indirect=True)


@pytest.fixture
def make_transport(request: pytest.FixtureRequest) -> Iterator[Callable[..., AnyTransport]]:
    """Return a function that makes transports, once for each kind."""
    with opened(request.param) as make:
        yield make


@pytest.fixture
def transport(make_transport: Callable[..., AnyTransport]) -> AnyTransport:
    """Return a transport that trusts the public certificates."""
    return make_transport()


@pytest.fixture
def trusting(make_transport: Callable[..., AnyTransport]) -> AnyTransport:
    """Return a transport that trusts the certificate of the tests' servers."""
    return make_transport(ca_file=CERTIFICATE)
