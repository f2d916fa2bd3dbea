"""The library compared with a usual hand-written version, both with a gateway that does nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis

from tests.benchmarks import handwritten
from tests.benchmarks.measure import ratio
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import counting_client, new_phone, open_bench, tcp_server, trips
from tests.benchmarks.table import Row, at_least

Verify = Callable[[redis.Redis, str, str], bool]
VERIFY: dict[str, Verify] = {
    "hand-written verify, checking first": handwritten.verify,
    "hand-written verify, counting first": handwritten.verify_counting_first,
}


def beside(server: str, sizes: Sizes) -> Iterator[Row]:
    """Issue and verify alternately."""
    with tcp_server(server) as url:
        yield from _trips(url)
        bench, client, calls = open_bench(url), redis.Redis.from_url(url), sizes.calls
        for figure, theirs in VERIFY.items():
            verify = ratio(
                lambda theirs=theirs: _verifying(client, theirs, _issued(client, calls)),  # type: ignore[misc]
                lambda: bench.verifying(bench.issued(calls)),
                sizes.rounds,
            )
            # The version that counts before it compares is exact under concurrency, like the library. The other isn't.
            exact = theirs is handwritten.verify_counting_first
            yield at_least(f"verify / {figure}", verify, 2.0) if exact else Row(f"verify / {figure}", f"{verify:.2f}")
        issue = ratio(lambda: _issuing(client, calls), lambda: bench.issuing(calls), sizes.rounds)
        yield at_least("issue / hand-written issue", issue, 1.2)


def _trips(url: str) -> Iterator[Row]:
    client, phone, other = counting_client(url), new_phone(), new_phone()
    codes: dict[str, str] = {}
    issue = trips(client, lambda: handwritten.issue(client, phone, codes.__setitem__))
    handwritten.issue(client, other, codes.__setitem__)
    wrong = trips(client, lambda: handwritten.verify(client, phone, ""))
    right = trips(client, lambda: handwritten.verify(client, phone, codes[phone]))
    counting = trips(client, lambda: handwritten.verify_counting_first(client, other, codes[other]))
    yield Row("hand-written: round trips to issue", f"{issue}")
    yield Row("hand-written: round trips to verify", f"{right}; a wrong code {wrong}; counting first {counting}")


def _issued(client: redis.Redis, calls: int) -> list[tuple[str, str]]:
    codes: dict[str, str] = {}
    for _ in range(calls):
        handwritten.issue(client, new_phone(), codes.__setitem__)
    return list(codes.items())


def _verifying(client: redis.Redis, verify: Verify, pairs: list[tuple[str, str]]) -> Callable[[], None]:
    def run() -> None:
        for phone, code in pairs:
            assert verify(client, phone, code)

    return run


def _issuing(client: redis.Redis, calls: int) -> Callable[[], None]:
    phones = [new_phone() for _ in range(calls)]

    def run() -> None:
        for phone in phones:
            handwritten.issue(client, phone, _drop)

    return run


def _drop(phone: str, code: str) -> None:
    pass
