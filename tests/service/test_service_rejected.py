"""Rejected API keys: few writes, and none that an answer waits for."""

from __future__ import annotations

import asyncio

import pytest
from support.secrets import SECRET

from otpkit import AsyncOTP, Template
from otpkit.service import rejected
from otpkit.service.rejected import RejectedKeys
from otpkit.testing import Outbox


async def test_what_is_counted_meanwhile_is_written_after_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first, the tenth, the hundredth … time in the hour, with the count so far."""
    monkeypatch.setattr(rejected, "_PAUSE_S", 0.05)
    async with AsyncOTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET) as otp:
        keys = RejectedKeys(otp)
        for _ in range(200):
            keys.count()
        found: list[int] = []
        async with asyncio.timeout(20):
            while len(found) < 2:
                await asyncio.sleep(0.01)
                found = [entry.count for entry in (await otp.audit()).entries]
        assert found == [200, 1]


async def test_what_is_counted_is_written_at_the_end() -> None:
    """Other settings replace these before the pause is over."""
    async with AsyncOTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET) as otp:
        keys = RejectedKeys(otp)
        for _ in range(10):
            keys.count()
        await keys.finish()
        assert [entry.count for entry in (await otp.audit()).entries] == [10, 1]


async def test_a_closed_library_is_no_error() -> None:
    otp = AsyncOTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET)
    await otp.close()
    RejectedKeys(otp).count()
    await asyncio.sleep(0.05)
