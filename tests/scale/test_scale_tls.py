"""A server that accepts only TLS."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import uvloop
from support.echoes import echo_all, texts
from support.servers import find_redis, running, unavailable

from otpkit import OTP, AsyncOTP, ConfigurationError, Template
from otpkit.store.aio import AsyncStore
from otpkit.store.retry import RetryBudget
from otpkit.testing import Outbox

PEM = Path(__file__).parents[1] / "gateways" / "loopback.pem"
PHONE, TEMPLATE, SECRET = "13800138000", Template("SMS_1", "otpkit"), "a secret of these tests, and of them alone"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Yield the port of a server that accepts TLS there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    options = ["--tls-port", str(found), "--tls-cert-file", str(PEM), "--tls-key-file", str(PEM)]
    options += ["--tls-ca-cert-file", str(PEM), "--tls-auth-clients", "no", "--bind", "127.0.0.1"]
    with running(find_redis() or unavailable("no redis-server"), *options):
        yield found


def test_a_phone_is_verified_by_tls(port: int, namespace: str) -> None:
    outbox = Outbox()
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={PEM}"
    with OTP(url, outbox, TEMPLATE, SECRET, namespace=namespace) as otp:
        otp.issue(PHONE)
        assert otp.redeem(otp.verify(PHONE, outbox[-1].code).token).phone == "+8613800138000"


async def test_a_phone_is_verified_by_tls_with_asyncio(port: int, namespace: str) -> None:
    outbox = Outbox()
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={PEM}"
    async with AsyncOTP(url, outbox, TEMPLATE, SECRET, namespace=namespace) as otp:
        await otp.issue(PHONE)
        proof = await otp.verify(PHONE, outbox[-1].code)
        assert (await otp.redeem(proof.token)).phone == "+8613800138000"


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_a_shared_connection_by_tls(port: int, loop_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks share it. The server kills it while it is idle and while it is used. The end of its loop closes it."""
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={PEM}&client_name=shared"
    store, failed, pause_s = AsyncStore(url), [], RetryBudget.pause_s

    def noting(budget: RetryBudget, error: BaseException, answered: float) -> float | None:
        failed.append(error)
        return pause_s(budget, error, answered)

    monkeypatch.setattr(RetryBudget, "pause_s", noting)

    def kill() -> int:
        with redis.Redis(port=port, ssl=True, ssl_ca_certs=str(PEM)) as client:
            shared = [row["id"] for row in client.client_list() if row["name"] == "shared"]
            for each in shared:
                client.client_kill_filter(_id=each)
        return len(shared)

    async def story() -> None:
        for _ in range(5):
            assert await echo_all(store, texts(64)) == texts(64)
            assert kill() == 1
        assert not failed
        for _ in range(5):
            calls = asyncio.ensure_future(echo_all(store, texts(640)))
            await asyncio.to_thread(kill)
            assert await calls == texts(640)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop_kind == "uvloop" else None) as runner:
        runner.run(story())
    gc.collect()
    assert kill() == 0


async def test_an_untrusted_certificate_is_a_configuration_error(port: int, namespace: str) -> None:
    """A retry can't help: the error names the option to set, and nothing is sent."""
    outbox = Outbox()
    url = f"rediss://127.0.0.1:{port}/0"
    otp = OTP(url, outbox, TEMPLATE, SECRET, namespace=namespace)
    with otp, pytest.raises(ConfigurationError, match="ssl_ca_certs"):
        otp.issue(PHONE)
    async with AsyncOTP(url, outbox, TEMPLATE, SECRET, namespace=namespace) as async_otp:
        with pytest.raises(ConfigurationError, match="ssl_ca_certs"):
            await async_otp.issue(PHONE)
    assert not outbox
