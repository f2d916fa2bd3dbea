"""Verify and issue, beside the bare call."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator

import redis.asyncio
import requests

from otpkit import OTP, AsyncOTP
from otpkit.gateways import Alidayu, Message
from tests.benchmarks.measure import AsyncRun, async_ratio, at_once, ratio
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import (
    POLICY,
    SECRET,
    TEMPLATE,
    counting_client,
    make_bench,
    new_phone,
    open_bench,
    tcp_server,
    trips,
)
from tests.benchmarks.table import Row, at_least, at_most

THREADS, TASKS = 8, 64
_SANDBOX = """
from otpkit.sandbox import Sandbox, serve
serve(Sandbox(), port=0, on_ready=lambda address: print(address.gateway_url, flush=True))
"""


def verify(server: str, sizes: Sizes) -> Iterator[Row]:
    """Verify a right code: trips, one thread, eight threads, 64 tasks."""
    with tcp_server(server) as url:
        counted = make_bench(counting_client(url))
        counted.verifying(counted.issued(1))()  # loads the script
        pairs = counted.issued(1)
        taken = trips(counted.client, counted.verifying(pairs))
        yield at_most("verify: round trips", taken, 1, _whole)
        bench, calls, rounds = open_bench(url), sizes.calls, sizes.rounds
        alone = ratio(lambda: bench.bare(calls), lambda: bench.verifying(bench.issued(calls)), rounds)
        yield at_least("verify / bare call, one thread", alone, 0.60)
        lent = make_bench(bench.client)
        borrowed = ratio(lambda: lent.bare(calls), lambda: lent.verifying(lent.issued(calls)), rounds)
        yield at_least("verify / bare call, by a client passed in", borrowed, 0.60)
        together = ratio(
            lambda: _threaded([bench.bare(calls // THREADS) for _ in range(THREADS)]),
            lambda: _threaded([bench.verifying(bench.issued(calls // THREADS)) for _ in range(THREADS)]),
            rounds,
        )
        yield at_least(f"verify / bare call, {THREADS} threads", together, 0.60)
        yield at_least(f"verify / bare call, {TASKS} tasks", asyncio.run(_async_verify(url, sizes)), 0.60)


def issue(server: str, sizes: Sizes) -> Iterator[Row]:
    """Issue to new phones: trips, with a gateway that does nothing, and with a local one over HTTP."""
    with tcp_server(server) as url:
        counted = make_bench(counting_client(url))
        counted.issuing(1)()  # loads the scripts
        taken = trips(counted.client, counted.issuing(1))
        yield at_most("issue: round trips", taken, 2, _whole)
        bench, calls = open_bench(url), sizes.calls
        alone = ratio(lambda: bench.bare(calls), lambda: bench.issuing(calls), sizes.rounds)
        yield at_least("issue / bare call", alone, 0.30)
        lent = make_bench(bench.client)
        borrowed = ratio(lambda: lent.bare(calls), lambda: lent.issuing(calls), sizes.rounds)
        yield at_least("issue / bare call, by a client passed in", borrowed, 0.30)
        yield at_most("issue by HTTP / bare GET, time", _issue_by_http(url, sizes), 1.25)


def _issue_by_http(url: str, sizes: Sizes) -> float:
    with subprocess.Popen([sys.executable, "-c", _SANDBOX], stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        gateway_url = sandbox.stdout.readline().strip()
        calls = max(1, sizes.calls // 4)
        try:
            gateway = Alidayu("sandbox", "sandbox-secret", base_url=gateway_url)
            with OTP(url, gateway, TEMPLATE, SECRET, policy=POLICY) as otp, requests.Session() as session:
                found = ratio(lambda: _issues(otp, calls), lambda: _gets(session, gateway_url, calls), sizes.rounds)
        finally:
            sandbox.terminate()
    return found


def _issues(otp: OTP, calls: int) -> Callable[[], None]:
    phones = [new_phone() for _ in range(calls)]

    def run() -> None:
        for phone in phones:
            assert otp.issue(phone).delivery == "accepted"

    return run


def _gets(session: requests.Session, gateway_url: str, calls: int) -> Callable[[], None]:
    params = {"sms_type": "normal", "sms_free_sign_name": TEMPLATE.sign_name, "sms_template_code": TEMPLATE.code}
    params |= {"extend": "A" * 22, "sms_param": TEMPLATE.sms_param("123456")}
    headers = {"X-Ca-Key": "sandbox", "X-Ca-Secret": "sandbox-secret"}
    numbers = [new_phone()[3:] for _ in range(calls)]

    def run() -> None:
        for number in numbers:
            answer = session.get(
                f"{gateway_url}/sendSms", params=params | {"rec_num": number}, headers=headers, timeout=10
            )
            assert answer.json()["success"] is True, answer.text

    return run


async def _async_verify(url: str, sizes: Sizes) -> float:
    codes: dict[str, str] = {}

    async def gateway(message: Message) -> None:
        codes[message.phone] = message.code

    each = max(1, sizes.calls // TASKS)
    async with (
        redis.asyncio.Redis.from_url(url) as client,
        AsyncOTP(client, gateway, TEMPLATE, SECRET, policy=POLICY) as otp,
    ):
        sha = await client.script_load("return 1")

        async def bare() -> None:
            for _ in range(each):
                await client.evalsha(sha, 1, "bench:{key}", "argument")

        async def verifying(phones: list[str]) -> None:
            for phone in phones:
                await otp.verify(phone, codes.pop(phone))

        async def issue_to(phones: list[str]) -> None:
            for phone in phones:
                await otp.issue(phone)

        async def prepared() -> AsyncRun:
            shares = [[new_phone() for _ in range(each)] for _ in range(TASKS)]
            await asyncio.gather(*map(issue_to, shares))
            return lambda: asyncio.gather(*map(verifying, shares))

        return await async_ratio(
            lambda: lambda: asyncio.gather(*(bare() for _ in range(TASKS))), prepared, sizes.rounds
        )


def _threaded(runs: list[Callable[[], None]]) -> Callable[[], None]:
    return lambda: at_once(runs)


def _whole(value: float) -> str:
    return f"{value:.0f}"
