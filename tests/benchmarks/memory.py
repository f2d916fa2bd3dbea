"""Redis's memory for a phone and for the figures, and the effect of many live challenges on the speed of verify."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import redis

from otpkit.core.config import Config
from otpkit.core.crypto import CHALLENGE_FIELD_BYTES, ID_BYTES, encode_id
from tests.benchmarks.measure import ratio
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import Bench, open_bench, tcp_server
from tests.benchmarks.table import Row, at_least, at_most

FEW = 1000
BATCH = 1000  # Commands of a pipeline.
START_HOUR = 490_896  # 2026-01-01, in hours since 1970.
PAIRS = ("CN one", "CN two", "HK one", "HK two")
KINDS = ("a45000", "u45000", "r", "d9", "d12", "d13", "d17", "f", "v", "w")
"""What is counted in an hour for each of the pairs: see fold.lua."""


def memory(server: str, sizes: Sizes) -> Iterator[Row]:
    """Measure phones that each have one live code, and the figures of 400 days."""
    with tcp_server(server) as url:
        bench = open_bench(url)
        bench.issued(1)  # This loads the scripts.
        before = _used_memory(bench.client)
        bench.issuing(sizes.phones)()
        each = (_used_memory(bench.client) - before) / sizes.phones
        yield at_most("memory of a phone with a live challenge", each, 300, "{:.0f} bytes".format)
        days = min(400, sizes.phones // 50)
        size = _figures(bench, days) / 1024
        figure = f"memory of the figures: {days} days, 2 regions by 2 gateways"
        yield at_most(figure, size, 1024, "{:.0f} KB".format)


def crowd(server: str, sizes: Sizes) -> Iterator[Row]:
    """Verify with a thousand live challenges and with a million, alternately."""
    with tcp_server(server) as small_url, tcp_server(server) as large_url:
        small, large = open_bench(small_url), open_bench(large_url)
        small.issued(FEW)
        calls = sizes.calls
        among_many = large.issued(calls * (sizes.rounds + 1))
        fill(large, sizes.crowd - len(among_many))
        secrets.SystemRandom().shuffle(among_many)
        shares = iter([among_many[i : i + calls] for i in range(0, len(among_many), calls)])
        speed = ratio(
            lambda: small.verifying(small.issued(calls)),
            lambda: large.verifying(next(shares)),
            sizes.rounds,
        )
        yield at_least(f"verify among {sizes.crowd:,} challenges / among {FEW:,}", speed, 0.90)


def fill(bench: Bench, count: int) -> None:
    """Store challenges of `count` phones, by the library's own script, for random subjects."""
    config = bench.otp._config
    with bench.client.pipeline(transaction=False) as pipe:
        for start in range(0, count, BATCH):
            for _ in range(min(BATCH, count - start)):
                _reserve(pipe, config)
            assert all(reply[1] == b"reserved" for reply in pipe.execute())


def _figures(bench: Bench, days: int) -> int:
    """Count in each hour of the last 35 days, and in one hour of each day before; return the bytes of the key."""
    config, key = bench.otp._config, bench.otp._config.tallies.key
    hours = [*range(0, 24 * (days - 35), 24), *range(max(0, 24 * (days - 35)), 24 * days)]
    figures = [f" {pair} {kind}" for pair in PAIRS for kind in KINDS]
    with bench.client.pipeline(transaction=False) as pipe:
        for hour in hours:
            for turn in range(2):
                call = config.scripts.add_figures(
                    stats_key=key,
                    memory_key=f"{key}:{hour}.{turn}",
                    now=3_600_000 * (START_HOUR + hour),
                    figures=figures,
                )
                pipe.eval(call.script.text, len(call.keys), *call.keys, *call.args)
            pipe.execute()
    size: int = bench.client.memory_usage(key, samples=0)
    return size


def _reserve(pipe: redis.client.Pipeline, config: Config) -> None:
    phone = encode_id(secrets.token_bytes(ID_BYTES))
    fresh = config.keys.current.challenge(secrets.token_bytes(ID_BYTES), phone.encode(), "123456")
    call = config.scripts.reserve(
        phone_key=f"{config.namespace}:{{{phone}}}:p",
        counter_key=f"{config.namespace}:{{{phone}}}:c",
        now="",
        operation=secrets.token_bytes(ID_BYTES),
        challenge_field=secrets.token_bytes(CHALLENGE_FIELD_BYTES),
        fresh=fresh,
        idempotency=b"",
        known_keys=config.keys.ids,
    )
    pipe.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)


def _used_memory(client: redis.Redis) -> int:
    used: int = client.info("memory")["used_memory"]
    return used
