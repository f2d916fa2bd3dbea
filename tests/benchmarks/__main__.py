"""Measure, and print one table.

    python -m tests.benchmarks                     everything, on Redis and on Valkey: some minutes
    python -m tests.benchmarks --quick             about a minute, on Redis
    python -m tests.benchmarks verify issue        some sections
    python -m tests.benchmarks --unpinned verify   on all processors, by elapsed time: no verdicts
    python -m tests.benchmarks compare TREE [KIND…]   this tree compared with another one, of an earlier commit

On Linux, this process and its servers are pinned to one processor, and a ratio is of the processor time that they use.
Verdicts are based on this. Only ratios within one run are meaningful.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.benchmarks import measure
from tests.benchmarks.beside import beside
from tests.benchmarks.calls import cluster, issue, verify
from tests.benchmarks.compare import compare
from tests.benchmarks.gateways import gateways
from tests.benchmarks.guard import guard
from tests.benchmarks.hops import hops
from tests.benchmarks.imports import imports
from tests.benchmarks.listeners import listeners
from tests.benchmarks.memory import crowd, memory
from tests.benchmarks.races import races
from tests.benchmarks.sizes import FULL, QUICK, TINY, Sizes
from tests.benchmarks.subjects import BINARIES
from tests.benchmarks.table import Row, render
from tests.benchmarks.tails import tails
from tests.benchmarks.tasks import tasks
from tests.benchmarks.tracing import tracing

SECTIONS: dict[str, Callable[[str, Sizes], Iterator[Row]]] = {
    "verify": verify,
    "issue": issue,
    "tasks": tasks,
    "cluster": cluster,
    "tails": tails,
    "memory": memory,
    "crowd": crowd,
    "beside": beside,
    "races": races,
    "hops": hops,
    "gateways": gateways,
    "guard": guard,
    "listeners": listeners,
    "tracing": tracing,
    "imports": imports,
}
PINNED = {"verify", "issue", "tasks", "cluster", "tails", "crowd", "beside", "guard", "tracing", "imports"}
RATIOS = {"verify", "issue", "tasks", "cluster", "crowd", "beside", "guard", "tracing"}
ON_REDIS = {"cluster": "redis", "imports": "python"}  # The sections for which no server is chosen, and what they show.


def main() -> int:
    """Run the sections of the command line. The status is 1 if `--strict` is set and a goal is not met."""
    options = _options()
    sizes = {"full": FULL, "quick": QUICK, "tiny": TINY}[options.size]
    if options.crowd is not None:
        sizes = replace(sizes, crowd=options.crowd)
    if options.sections[:1] == ["compare"]:
        rows = list(compare(options.sections[1], options.sections[2:], sizes))
    else:
        rows = [
            replace(row, figure=f"{server}: {row.figure}")
            for name in options.sections or SECTIONS
            for server in ([ON_REDIS[name]] if name in ON_REDIS else options.server)
            for row in _measure(name, server, sizes, to_one=not options.unpinned)
        ]
    print(render(rows))
    return int(options.strict and any(row.met is False for row in rows))


def _measure(name: str, server: str, sizes: Sizes, *, to_one: bool) -> Iterator[Row]:
    measure.pin(to_one=to_one and name in PINNED)
    print(f"{name}, {server}: {measure.set_up()} …", file=sys.stderr, flush=True)
    for row in SECTIONS[name](server, sizes):
        # By elapsed time, a ratio depends as much on the machine as on the code.
        yield row if measure.is_pinned() or name not in RATIOS else replace(row, met=None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}, none is all; or compare TREE [KIND…]")
    parser.add_argument(
        "--quick", dest="size", action="store_const", const="quick", help="about a minute, on Redis alone"
    )
    parser.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="whether it runs, no more")
    parser.add_argument(
        "--crowd", type=int, metavar="N", help="live challenges of a full store, a million in a full run"
    )
    parser.add_argument("--unpinned", action="store_true", help="use all processors, and take no verdict on ratios")
    parser.add_argument("--server", action="append", choices=list(BINARIES), help="which server; may be repeated")
    parser.add_argument("--strict", action="store_true", help="end with status 1 where a goal is not met")
    parser.set_defaults(size="full")
    options = parser.parse_args()
    if options.sections[:1] == ["compare"]:
        if len(options.sections) < 2:
            parser.error("compare takes a TREE")
    elif strays := set(options.sections) - set(SECTIONS):
        parser.error(f"no section: {', '.join(sorted(strays))}")
    options.server = options.server or (list(BINARIES) if options.size == "full" else ["redis"])
    return options


if __name__ == "__main__":
    sys.exit(main())
