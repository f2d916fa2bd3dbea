"""Without the extra `speed`, an AsyncOTP by URL uses connections of a pool."""

from __future__ import annotations

import subprocess
import sys

import pytest

STORY = """
import asyncio, sys
if sys.argv[2] == "missing":
    sys.modules["hiredis"] = None
else:
    import hiredis
    del hiredis.PushNotification
from otpkit import AsyncOTP, ExpiredCodeError, Policy, Template
from otpkit.testing import Outbox

async def story():
    outbox = Outbox()
    options = {"template": Template("SMS_1", "otpkit"), "secret": "a secret of this test, of 32 bytes or more"}
    phones = [f"+86138{number:08d}" for number in range(64)]
    async with AsyncOTP(sys.argv[1], outbox, namespace="without." + sys.argv[2], **options) as otp:
        await asyncio.gather(*map(otp.issue, phones))
        codes = {message.phone: message.code for message in outbox}
        proofs = await asyncio.gather(*[otp.verify(phone, codes[phone]) for phone in phones])
        assert [proof.phone for proof in proofs] == phones
        for binding in otp._store._bindings.values():
            assert not binding._endpoints
            assert binding.client.connection_pool._available_connections
        for phone in phones:
            await otp.erase(phone)

asyncio.run(story())
"""


@pytest.mark.parametrize("hiredis", ["missing", "older"])
def test_pool_serves_without_it(valkey_url: str, hiredis: str) -> None:
    """Sixty-four tasks run concurrently, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-c", STORY, valkey_url, hiredis]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not done.stderr
