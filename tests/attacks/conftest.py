from __future__ import annotations

from collections.abc import Iterator

import pytest
from attack_lab import Lab, Untouchable

from otpkit import OTP


@pytest.fixture
def lab(store_url: str, namespace: str) -> Iterator[Lab]:
    """Each store in turn: real servers behave alike to the letter, and the embedded one should."""
    with Lab(store_url, namespace) as lab:
        yield lab


@pytest.fixture
def memory_lab(namespace: str) -> Iterator[Lab]:
    """The embedded store, for what does not depend on the store."""
    with Lab("memory://", namespace) as lab:
        yield lab


@pytest.fixture(params=["valkey", "redis"])
def server_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of each real server in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def untouched(memory_lab: Lab) -> OTP:
    """An OTP whose Redis must not be asked."""
    return memory_lab.otp(redis=memory_lab._stack.enter_context(Untouchable()))
