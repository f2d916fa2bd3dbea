"""The environment of the commands: a Redis server, and a gateway in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otpkit.sandbox import Sandbox, running


@pytest.fixture
def sandbox() -> Sandbox:
    """Yield the gateway that the commands use. Its receipts come at once."""
    return Sandbox(receipt_after=0)


@pytest.fixture
def configured(valkey_url: str, namespace: str, sandbox: Sandbox) -> Iterator[dict[str, str]]:
    """Return the environment variables of this test's own deployment."""
    with running(sandbox) as address:
        yield {
            "OTPKIT_REDIS_URL": valkey_url,
            "OTPKIT_NAMESPACE": namespace,
            "OTPKIT_SECRET": "the-secret-that-no-output-may-ever-show",
            "OTPKIT_GATEWAY": "alidayu",
            "OTPKIT_ALIDAYU_BASE_URL": address.gateway_url,
            "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
            "OTPKIT_ALIDAYU_APP_SECRET": "sandbox-secret",
            "OTPKIT_TEMPLATE_CODE": "SMS_585014",
            "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
        }
