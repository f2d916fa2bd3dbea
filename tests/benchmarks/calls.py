"""Verify and issue, compared with the bare call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import requests

from otpkit import OTP
from otpkit.gateways import Alidayu
from tests.benchmarks.measure import at_once, counted, ratio
from tests.benchmarks.nodes import Cluster, Single
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.subjects import (
    POLICY,
    SECRET,
    TEMPLATE,
    Bench,
    Codes,
    counting_client,
    make_bench,
    new_phone,
    open_bench,
    tcp_server,
    trips,
)
from tests.benchmarks.table import Row, at_least, at_most

THREADS = 8
_SANDBOX = """
from otpkit.sandbox import Sandbox, serve
serve(Sandbox(), port=0, on_ready=lambda address: print(address.gateway_url, flush=True))
"""


def verify(server: str, sizes: Sizes) -> Iterator[Row]:
    """Verify a right code: trips, one caller by URL and by a client, with a token, with an address, eight threads."""
    with tcp_server(server) as url:
        counting = make_bench(counting_client(url))
        counting.verifying(counting.issued(1))()  # This loads the script.
        pairs = counting.issued(1)
        taken = trips(counting.client, counting.verifying(pairs))
        yield at_most("verify: round trips", taken, 1, _whole)
        bench, calls, rounds = open_bench(url), sizes.calls, sizes.rounds
        lent = make_bench(bench.client)

        def row(how: str, subject: Bench, run: Callable[[Bench], Callable[[], None]], goal: float) -> Row:
            return at_least(
                f"verify / bare call, {how}", ratio(lambda: subject.bare(calls), lambda: run(subject), rounds), goal
            )

        yield row("one caller by URL", bench, lambda it: it.verifying(it.issued(calls)), 0.70)
        yield row("one caller, client passed in", lent, lambda it: it.verifying(it.issued(calls)), 0.60)
        yield row("with .token read", bench, lambda it: it.signing(it.issued(calls)), 0.55)
        yield row("with ip=", bench, lambda it: it.verifying_from(it.issued(calls)), 0.60)
        together = ratio(
            lambda: _threaded([bench.bare(calls // THREADS) for _ in range(THREADS)]),
            lambda: _threaded([bench.verifying(bench.issued(calls // THREADS)) for _ in range(THREADS)]),
            rounds,
        )
        yield at_least(f"verify / bare call, {THREADS} threads", together, 0.60)


def issue(server: str, sizes: Sizes) -> Iterator[Row]:
    """Issue to new phones: trips, with a gateway that does nothing, and with a local one over HTTP."""
    with tcp_server(server) as url:
        counting = make_bench(counting_client(url))
        counting.issuing(1)()  # This loads the scripts.
        taken = trips(counting.client, counting.issuing(1))
        yield at_most("issue: round trips", taken, 2, _whole)
        bench, calls, rounds = open_bench(url), sizes.calls, sizes.rounds
        lent = make_bench(bench.client)
        alone = ratio(lambda: bench.bare(calls), lambda: bench.issuing(calls), rounds)
        yield at_least("issue / bare call, one caller by URL", alone, 0.33)
        borrowed = ratio(lambda: lent.bare(calls), lambda: lent.issuing(calls), rounds)
        yield at_least("issue / bare call, one caller, client passed in", borrowed, 0.28)
        visited = ratio(lambda: bench.bare(calls), lambda: bench.issuing_from(calls), rounds)
        yield at_least("issue / bare call, with ip=", visited, 0.29)
        yield at_most("issue by HTTP / bare GET, time", _issue_by_http(url, sizes), 1.25)


def cluster(_server: str, sizes: Sizes) -> Iterator[Row]:
    """Verify and issue on a cluster, compared with one server, on Redis only.

    The cluster is one primary. Three on one processor would evict each other's data from its caches.
    """
    single, nodes = Single(appendfsync="none"), Cluster(replicas=0, primaries=1)
    calls, rounds = sizes.calls, sizes.rounds
    with counted(*(node.pid for node in (*single.nodes, *nodes.nodes))):
        one, many = open_bench(single.url), _open_cluster(nodes.url, single.nodes[0].client)
        many.issued(calls)  # This loads the scripts on each node.
        verified = ratio(lambda: one.verifying(one.issued(calls)), lambda: many.verifying(many.issued(calls)), rounds)
        yield at_most("verify on a cluster / on one server, time", 1 / verified, 1.10)
        issued = ratio(lambda: one.issuing(calls), lambda: many.issuing(calls), rounds)
        yield at_most("issue on a cluster / on one server, time", 1 / issued, 1.10)
    for node in (*single.nodes, *nodes.nodes):
        node.remove()


def _open_cluster(url: str, client: object) -> Bench:
    codes = Codes()
    return Bench(client, OTP(url, codes, TEMPLATE, SECRET, policy=POLICY), codes, "")  # type: ignore[arg-type]


def _issue_by_http(url: str, sizes: Sizes) -> float:
    with subprocess.Popen([sys.executable, "-c", _SANDBOX], stdout=subprocess.PIPE, text=True) as sandbox:
        assert sandbox.stdout is not None
        gateway_url = sandbox.stdout.readline().strip()
        calls = max(1, sizes.calls // 4)
        try:
            gateway = Alidayu("sandbox", "sandbox-secret", base_url=gateway_url)
            with (
                counted(sandbox.pid),
                OTP(url, gateway, TEMPLATE, SECRET, policy=POLICY) as otp,
                requests.Session() as session,
            ):
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


def _threaded(runs: list[Callable[[], None]]) -> Callable[[], None]:
    return lambda: at_once(runs)


def _whole(value: float) -> str:
    return f"{value:.0f}"
