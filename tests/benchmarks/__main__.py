"""Measure, and print one table.

    python -m tests.benchmarks                     all of it, on Redis and on Valkey: some minutes
    python -m tests.benchmarks --quick             under a minute, on Redis
    python -m tests.benchmarks verify issue        some sections

Whatever else the machine does shows in the figures: only ratios within one run mean something.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.benchmarks.beside import beside
from tests.benchmarks.calls import issue, verify
from tests.benchmarks.gateways import gateways
from tests.benchmarks.hops import hops
from tests.benchmarks.imports import imports
from tests.benchmarks.memory import crowd, memory
from tests.benchmarks.races import races
from tests.benchmarks.sizes import FULL, QUICK, TINY, Sizes
from tests.benchmarks.subjects import BINARIES
from tests.benchmarks.table import Row, render

SECTIONS: dict[str, Callable[[str, Sizes], Iterator[Row]]] = {
    "verify": verify,
    "issue": issue,
    "memory": memory,
    "crowd": crowd,
    "beside": beside,
    "races": races,
    "hops": hops,
    "gateways": gateways,
    "imports": imports,
}


def main() -> int:
    """Run what the command line names; the status is 1 where `--strict` and a goal is not met."""
    options = _options()
    sizes = {"full": FULL, "quick": QUICK, "tiny": TINY}[options.size]
    if options.crowd is not None:
        sizes = replace(sizes, crowd=options.crowd)
    rows = [
        replace(row, figure=f"{server}: {row.figure}")
        for name in options.sections or SECTIONS
        for server in (options.server if name != "imports" else ["python"])
        for row in _measure(name, server, sizes)
    ]
    print(render(rows))
    return int(options.strict and any(row.met is False for row in rows))


def _measure(name: str, server: str, sizes: Sizes) -> Iterator[Row]:
    print(f"{name}, {server} …", file=sys.stderr, flush=True)
    return SECTIONS[name](server, sizes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help=f"of {', '.join(SECTIONS)}; none is all")
    parser.add_argument(
        "--quick", dest="size", action="store_const", const="quick", help="under a minute, on Redis alone"
    )
    parser.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="whether it runs, no more")
    parser.add_argument(
        "--crowd", type=int, metavar="N", help="live challenges of a full store, a million in a full run"
    )
    parser.add_argument("--server", action="append", choices=list(BINARIES), help="which server; may be repeated")
    parser.add_argument("--strict", action="store_true", help="end with status 1 where a goal is not met")
    parser.set_defaults(size="full")
    options = parser.parse_args()
    options.server = options.server or (list(BINARIES) if options.size == "full" else ["redis"])
    return options


if __name__ == "__main__":
    sys.exit(main())
