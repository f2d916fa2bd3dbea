"""A soak: calls of every kind for a million phones while servers are killed, and then an audit.

    python -m tests.benchmarks.soak                        five minutes, one server with AOF always, kill -9 and restart
    python -m tests.benchmarks.soak --cluster --minutes 3  six nodes, kill -9 of primaries, Policy(replicas=1)
    python -m tests.benchmarks.soak --sentinel
    python -m tests.benchmarks.soak --tasks 32             AsyncOTP by URL: 32 tasks on one connection that is cut, held
                                                           and reset, and calls that are cancelled

The options `--appendfsync none` and `--unconfirmed` show the losses without persistence or `replicas`. The status is 1
if an invariant is broken. A run takes some minutes more than its option: to fill the store, and to audit.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from otpkit import Policy
from tests.benchmarks.nodes import Cluster, Single
from tests.benchmarks.sentinels import Sentinels
from tests.benchmarks.soak_audit import Audit, broken, keys
from tests.benchmarks.soak_callers import THREADS, Callers
from tests.benchmarks.soak_journal import Board, Kind, policy_of
from tests.benchmarks.table import Row, render

BOUND_S = 3.0  # Time of one script until its reply, or until StoreUnavailableError.
BUSY_S = 1.0  # Additional time for hosts whose processors are as busy as in a soak.


Options: TypeAlias = argparse.Namespace


def main() -> int:
    """Run it, and print a table."""
    options = _options()
    started = time.monotonic()
    logging.getLogger("otpkit").addHandler(logging.NullHandler())  # Uncertain messages are intended.
    store: Any = _store(options)
    policy = policy_of(0 if options.unconfirmed or isinstance(store, Single) else 1)
    board = Board(options.phones)
    with tempfile.TemporaryDirectory(prefix="otpkit-soak-") as directory:
        journals = [Path(directory) / str(number) for number in range(options.processes)]
        crashes, reports = _soak(store, policy, board, journals, options)
        audit = Audit(journals, board, policy)
    rows = [
        *_load(store, policy, options, reports, audit),
        *_outages(crashes, audit),
        *audit.rows(),
        *keys(store.primaries, policy.max_consecutive_failures),
        *_surprises(reports),
        Row("memory of a phone", f"{_used_memory(store) / options.phones:.0f} bytes"),
    ]
    print(render(rows))
    print(f"\n{time.monotonic() - started:.0f} s in all. Answers: {_answers(reports)}")
    return int(any(row.met is False for row in rows))


def _store(options: Options) -> Single | Cluster | Sentinels:
    if options.cluster:
        return Cluster()
    return Sentinels() if options.sentinel else Single(appendfsync=options.appendfsync)


def _soak(store: Any, policy: Policy, board: Board, journals: list[Path], options: Options) -> tuple[Any, Any]:
    context = multiprocessing.get_context("fork")
    filled, ready = context.Barrier(len(journals) + 1), context.Barrier(len(journals) + 1)
    deadline, pipes = context.Value("d", 0.0), []
    for number, journal in enumerate(journals):
        ours, theirs = context.Pipe()
        arguments = (store.url, policy, board, journal, number, len(journals))
        arguments += (options.tasks, filled, ready, deadline, theirs)
        context.Process(target=_work, args=arguments, daemon=True).start()
        pipes.append(ours)
    _say(f"filling {store.name} with {board.phones:,} phones …")
    filled.wait()
    store.settle_down()
    deadline.value = time.time() + 60 * options.minutes
    ready.wait()
    callers = f"{len(journals)} processes of {options.tasks or THREADS} callers"
    _say(f"calling for {options.minutes:g} minutes from {callers} …")
    crashes = []
    time.sleep(min(options.every, 10 * options.minutes))
    while time.time() < deadline.value - 15:
        crashes.append(store.crash())
        _say(f"killed {crashes[-1][1]}: whole again after {time.time() - crashes[-1][0]:.1f} s")
        time.sleep(max(0.0, min(crashes[-1][0] + options.every, deadline.value) - time.time()))
    return crashes, [pipe.recv() for pipe in pipes]


def _work(
    url: str,
    policy: Policy,
    board: Board,
    journal: Path,
    number: int,
    processes: int,
    tasks: int,
    filled: Any,
    ready: Any,
    deadline: Any,
    pipe: Any,
) -> None:
    callers = Callers(url, policy, board, journal, tasks)
    callers.fill(range(number, board.phones, processes))
    filled.wait()
    ready.wait()
    callers.call_until(deadline.value)
    pipe.send((callers.tally, callers.surprises, callers.slowest_s))


def _load(store: Any, policy: Policy, options: Options, reports: Any, audit: Audit) -> Iterator[Row]:
    calls = sum(sum(tally.values()) for tally, _, _ in reports)
    messages, proofs, redeemed = (len(audit.of[kind]) for kind in (Kind.MESSAGE, Kind.PROOF, Kind.REDEEMED))
    yield Row("store", f"{store.name}, Policy(replicas={policy.replicas})")
    yield Row("phones, minutes", f"{options.phones:,}, {options.minutes:g}")
    if options.tasks:
        yield Row("processes, tasks of each", f"{options.processes}, {options.tasks}")
    yield Row("calls, a second", f"{calls:,}, {calls / 60 / options.minutes:,.0f}")
    yield Row("messages, proofs, redeemed", f"{messages:,}, {proofs:,}, {redeemed:,}")


def _outages(crashes: list[tuple[float, str]], audit: Audit) -> Iterator[Row]:
    failed = sorted(record.at for record in audit.of[Kind.UNAVAILABLE])
    outages = []
    for number, (died, _) in enumerate(crashes):
        until = crashes[number + 1][0] if number + 1 < len(crashes) else float("inf")
        outages.append(max([at - died for at in failed if died <= at < until], default=0.0))
    shown = ", ".join(f"{outage:.1f}" for outage in outages)
    yield Row("crashes; until the last call that failed, s", f"{len(crashes)}; {shown}")
    yield Row("calls that raised StoreUnavailableError", f"{len(failed):,}")


def _surprises(reports: Any) -> Iterator[Row]:
    found = [surprise for _, surprises, _ in reports for surprise in surprises]
    for surprise in found[:5]:
        _say(surprise)
    yield broken("a call that raised what it should not", len(found))
    late = max(slowest["loop"] for _, _, slowest in reports)
    if late:
        yield Row("the longest delay of a loop", f"{late:.1f} s")
    for kind, call, scripts in (("issue", "issue, of two scripts", 2), ("other", "other call, of one script", 1)):
        slowest, bound = max(slowest[kind] for _, _, slowest in reports), scripts * BOUND_S + BUSY_S + late
        yield Row(f"the slowest {call}", f"{slowest:.1f} s", f"≤ {bound:.1f} s", slowest <= bound)


def _answers(reports: Any) -> str:
    total: Counter[str] = Counter()
    for tally, _, _ in reports:
        total.update(tally)
    return "; ".join(f"{name} {count:,}" for name, count in sorted(total.items()))


def _used_memory(store: Any) -> int:
    return sum(node.used_memory() for node in store.primaries)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--phones", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=0, help="of an AsyncOTP by URL in each process; threads otherwise")
    parser.add_argument("--every", type=float, default=45.0, metavar="S", help="seconds from crash to crash")
    parser.add_argument("--cluster", action="store_true", help="six nodes, and Policy(replicas=1)")
    parser.add_argument("--sentinel", action="store_true", help="two nodes and three Sentinels, and the same")
    parser.add_argument("--appendfsync", default="always", choices=["always", "everysec", "none"])
    parser.add_argument("--unconfirmed", action="store_true", help="a cluster or Sentinel without Policy(replicas=1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
