"""Growth: the cost of a call with more and more live challenges, and the throughput of more servers.

    python -m tests.benchmarks.growth                 some minutes
    python -m tests.benchmarks.growth --most 10000    a short run

Clients and servers share this machine's processors. With few processors the clients are the bottleneck, and the
throughput is that of the clients. The servers' own time for a call shows the capacity of the servers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from statistics import median
from typing import Any

from otpkit import OTP
from tests.benchmarks.filling import Filler
from tests.benchmarks.nodes import Cluster, Node, Single
from tests.benchmarks.soak_journal import phone_of
from tests.benchmarks.subjects import POLICY, SECRET, TEMPLATE, Codes
from tests.benchmarks.table import Row, render

Step = Callable[[str], None]
CALLS = ("issue", "verify", "redeem")
FEWEST = 1000
_SHARE = 10_000_000  # Phone numbers for each process.


def main() -> int:
    """Measure, and print one table."""
    options = _options()
    rows = [Row("processors here", f"{os.cpu_count()}"), *_costs(options), *_throughputs(options)]
    print(render(rows))
    return 0


def _costs(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the cost of a trip and the server's share of it as the store fills, with one caller and one server."""
    single = Single(appendfsync="none")
    server, crowd = single.nodes[0], 0
    otp, steps = _open(single.url)
    filler, fresh = Filler(otp, single.url), map(phone_of, range(9 * _SHARE, 10 * _SHARE))
    while (crowd := max(FEWEST, crowd * 10)) <= options.most:
        _say(f"{crowd:,} live challenges …")
        filler.fill(map(phone_of, range(int(server.client.dbsize()), crowd)))
        yield Row(f"memory of each of {crowd:,}", f"{server.used_memory() / crowd:.0f} bytes")
        phones = list(islice(fresh, options.calls))
        for name in CALLS:
            trip_us, script_us, server_us = _timed(server, steps[name], phones)
            yield Row(
                f"{name} among {crowd:,}",
                f"{trip_us:.0f} µs; scripts {script_us:.0f} µs; server's processor {server_us:.0f} µs",
            )
    server.remove()


def _timed(server: Node, step: Step, phones: Iterable[str]) -> tuple[float, float, float]:
    """Return, in microseconds: the median time of a call, its scripts' mean time, and the server's processor time."""
    server.say("CONFIG", "RESETSTAT")
    before, took = _processor_s(server), list[float]()
    for phone in phones:
        started = time.perf_counter()
        step(phone)
        took.append(time.perf_counter() - started)
    used_s = _processor_s(server) - before
    return median(took) * 1e6, _script_us(server) / len(took), used_s * 1e6 / len(took)


def _script_us(server: Node) -> float:
    stats = server.client.info("commandstats")
    return float(sum(stats.get(f"cmdstat_{name}", {"usec": 0})["usec"] for name in ("evalsha", "eval")))


def _throughputs(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the throughput of several processes that issue, verify and redeem, on one server and on three primaries."""
    for make, figure in ((lambda: Single(appendfsync="none"), "one server"), (_three, "three primaries")):
        store: Any = make()
        _say(f"{figure} …")
        calls, seconds, server_s, moved = _together(store, options)
        busy = server_s / seconds
        yield Row(f"{figure}, {options.processes} clients", f"{calls / seconds:,.0f} calls a second")
        yield Row(
            f"{figure}: servers' processor time a call", f"{server_s / calls * 1e6:.0f} µs; {busy:.2f} of a processor"
        )
        yield Row(f"{figure}: network, a call", f"{moved / calls:.0f} bytes")
        for node in store.nodes:
            node.remove()


def _three() -> Cluster:
    return Cluster(replicas=0)


def _together(store: Any, options: argparse.Namespace) -> tuple[int, float, float, int]:
    """Return the number of calls, the elapsed seconds, the servers' processor time in seconds, and the bytes."""
    context = multiprocessing.get_context("fork")
    gate, pipes = context.Barrier(options.processes + 1), []
    for number in range(options.processes):
        ours, theirs = context.Pipe()
        arguments = (store.url, number, options.seconds, gate, theirs)
        context.Process(target=_work, args=arguments, daemon=True).start()
        pipes.append(ours)
    gate.wait()
    used_s, moved, started = _used(store)
    calls = sum(pipe.recv() for pipe in pipes)
    used_after_s, moved_after, ended = _used(store)
    return calls, ended - started, used_after_s - used_s, moved_after - moved


def _used(store: Any) -> tuple[float, int, float]:
    return sum(map(_processor_s, store.nodes)), sum(map(_net_bytes, store.nodes)), time.perf_counter()


def _processor_s(node: Node) -> float:
    used = node.client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def _net_bytes(node: Node) -> int:
    stats = node.client.info("stats")
    return int(stats["total_net_input_bytes"] + stats["total_net_output_bytes"])


def _work(url: str, number: int, seconds: float, gate: Any, pipe: Any) -> None:
    steps = _open(url)[1]
    phones = map(phone_of, range(number * _SHARE, (number + 1) * _SHARE))
    _turns(steps, islice(phones, 50))  # This connects, and loads the scripts.
    gate.wait()
    calls, deadline = 0, time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        calls += _turns(steps, islice(phones, 20))
    pipe.send(calls)


def _turns(steps: dict[str, Step], phones: Iterable[str]) -> int:
    calls = 0
    for phone in phones:
        for name in CALLS:
            steps[name](phone)
            calls += 1
    return calls


def _open(url: str) -> tuple[OTP, dict[str, Step]]:
    """Return an OTP, and its calls as steps of one phone."""
    codes, tokens = Codes(), dict[str, str]()
    otp = OTP(url, codes, TEMPLATE, SECRET, policy=POLICY)

    def issue(phone: str) -> None:
        otp.issue(phone)

    def verify(phone: str) -> None:
        tokens[phone] = otp.verify(phone, codes.pop(phone)).token

    def redeem(phone: str) -> None:
        otp.redeem(tokens.pop(phone))

    return otp, {"issue": issue, "verify": verify, "redeem": redeem}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.growth", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--most", type=int, default=1_000_000, help="live challenges at last")
    parser.add_argument("--calls", type=int, default=2000, help="calls of each kind that are timed")
    parser.add_argument("--processes", type=int, default=4, help="clients of the throughput")
    parser.add_argument("--seconds", type=float, default=10.0, help="that a throughput is measured")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
