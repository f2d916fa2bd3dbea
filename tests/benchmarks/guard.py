"""What a guard and a budget cost: calls with one beside calls without, and what a range takes of Redis's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis

from otpkit import OTP, Budget, Guard
from otpkit.guard.rule import Rule
from tests.benchmarks.measure import ratio
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, Bench, Codes, open_bench, tcp_server
from tests.benchmarks.table import Row, at_least, at_most

LIFE_MS = 108_000_000
PEACE = Rule(range_floor=10**6, short_floor=10**6, day_floor=10**6)
"""Allowances for issues that nobody verifies: the calls are judged, and none is over."""


def guard(server: str, sizes: Sizes) -> Iterator[Row]:
    """Measure calls with a guard or a budget beside calls without, by turns, then weigh the records of ranges."""
    with tcp_server(server) as url:
        plain, guarded, budgeted = open_bench(url), _guarded(url), _budgeted(url)
        calls = sizes.calls

        def row(what: str, run: Callable[[Bench], Callable[[], None]], goal: float) -> Row:
            speed = ratio(lambda: run(plain), lambda: run(guarded), sizes.rounds)
            return at_least(f"{what}, with a guard / without", speed, goal)

        yield row("verify", lambda it: it.verifying(it.issued(calls)), 0.95)
        yield row("verify with ip=", lambda it: it.verifying_from(it.issued(calls)), 0.95)
        yield row("issue", lambda it: it.issuing(calls), 0.90)
        yield row("issue with ip=", lambda it: it.issuing_from(calls), 0.90)
        speed = ratio(lambda: plain.issuing(calls), lambda: budgeted.issuing(calls), sizes.rounds)
        yield at_least("issue, with a budget / without", speed, 0.90)
    with tcp_server(server) as url:
        bench = _guarded(url)
        bench.issued(1)
        yield at_most("memory of a range or an address", _weight(bench, sizes.phones), 220, "{:.0f} bytes".format)


def _guarded(url: str) -> Bench:
    client, codes = redis.Redis.from_url(url), Codes()
    otp = OTP(url, codes, TEMPLATE, SECRET, policy=POLICY, namespace="guarded", guard=Guard("enforce", rule=PEACE))
    return Bench(client, otp, codes, client.script_load("return 1"))


def _budgeted(url: str) -> Bench:
    client, codes = redis.Redis.from_url(url), Codes()
    money = {"budgets": [Budget("900000 CNY/day", keep=0, hourly=1)], "prices": {"CN": "0.045 CNY"}}
    otp = OTP(url, codes, TEMPLATE, SECRET, policy=POLICY, namespace="budgeted", **money)  # type: ignore[arg-type]
    return Bench(client, otp, codes, client.script_load("return 1"))


def _weight(bench: Bench, count: int) -> float:
    """Return the bytes of a record, written as count_range.lua does: whole at first, then in its bucket."""
    protection = bench.otp._config.protection
    assert protection is not None
    before = int(bench.client.info("memory")["used_memory"])
    with bench.client.pipeline(transaction=False) as pipe:
        for number in range(count):
            key = protection.scope_key("range", f"+86{number}")
            pipe.set(key, bytes(32), px=LIFE_MS)
            pipe.setrange(key, 11, b"\1")
            if number % 1000 == 999:
                pipe.execute()
        pipe.execute()
    return (int(bench.client.info("memory")["used_memory"]) - before) / count
