"""Verify and issue by many tasks of one event loop, compared with as many bare calls by redis.asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import redis.asyncio

from otpkit import AsyncOTP
from otpkit.gateways import Message
from tests.benchmarks.measure import AsyncRun, async_ratio
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, new_phone, tcp_server
from tests.benchmarks.table import Row, at_least

GOALS = {8: (1.4, 0.60), 64: (1.7, 0.70)}
Worker = Callable[[list[str]], Awaitable[None]]


def tasks(server: str, sizes: Sizes) -> Iterator[Row]:
    """Measure with eight tasks and with 64."""
    for number, (verify_goal, issue_goal) in GOALS.items():
        with tcp_server(server) as url:
            verified, issued = asyncio.run(_ratios(url, number, sizes))
        yield at_least(f"verify / bare call, {number} tasks", verified, verify_goal)
        yield at_least(f"issue / bare call, {number} tasks", issued, issue_goal)


async def _ratios(url: str, number: int, sizes: Sizes) -> tuple[float, float]:
    codes: dict[str, str] = {}

    async def gateway(message: Message) -> None:
        codes[message.phone] = message.code

    each = max(1, sizes.calls // number)
    async with (
        redis.asyncio.Redis.from_url(url) as client,
        AsyncOTP(url, gateway, TEMPLATE, SECRET, policy=POLICY) as otp,
    ):
        sha = await client.script_load("return 1")

        async def bare() -> None:
            for _ in range(each):
                await client.evalsha(sha, 1, "bench:{key}", "argument")

        async def verify(phones: list[str]) -> None:
            for phone in phones:
                await otp.verify(phone, codes.pop(phone))

        async def issue(phones: list[str]) -> None:
            for phone in phones:
                await otp.issue(phone)

        def shares() -> list[list[str]]:
            return [[new_phone() for _ in range(each)] for _ in range(number)]

        async def prepared(work: Worker, first: Worker | None = None) -> AsyncRun:
            phones = shares()
            if first is not None:
                await asyncio.gather(*map(first, phones))
            return lambda: asyncio.gather(*map(work, phones))

        def yardstick() -> AsyncRun:
            return lambda: asyncio.gather(*(bare() for _ in range(number)))

        verified = await async_ratio(yardstick, lambda: prepared(verify, issue), sizes.rounds)
        return verified, await async_ratio(yardstick, lambda: prepared(issue), sizes.rounds)
