"""This tree compared with one of an earlier commit (`git archive`): no kind of call may cost more than before.

Each tree has its own process, and both call the same servers alternately. If the system allows it, all are pinned to
one processor.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.benchmarks import measure
from tests.benchmarks.imports import import_ms
from tests.benchmarks.nodes import Cluster, Single
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.table import Row, at_least

ROOT = Path(__file__).parents[2]
GOAL = 0.97
_RUN = "import runpy, sys; sys.path[:1] = [sys.argv[1]]; runpy.run_path(sys.argv[2], run_name='__main__')"
_PROGRAM = str(Path(__file__).with_name("compared.py"))


def compare(tree: str, kinds: list[str], sizes: Sizes) -> Iterator[Row]:
    """Return for each kind of call the number of this tree's calls with the cost of one of the other tree's.

    `kinds` are words, one of which a kind's name must contain. An empty list selects all kinds.
    """
    measure.pin(to_one=True)
    print(f"compare: {measure.set_up()} …", file=sys.stderr, flush=True)
    paths = [str(ROOT), str(Path(tree).resolve(strict=True))]
    single, nodes = Single(appendfsync="none"), Cluster(replicas=0, primaries=1)
    servers = [node.pid for node in (*single.nodes, *nodes.nodes)]
    with contextlib.ExitStack() as stack:
        for node in (*single.nodes, *nodes.nodes):
            stack.callback(node.remove)
        ours, theirs = (stack.enter_context(_asked(path, [single.url, nodes.url])) for path in paths)
        for kind in _kinds(ours, theirs):
            if kinds and not any(word in kind for word in kinds):
                continue
            found = []
            for number in range(sizes.rounds + 1):
                order = (ours, theirs) if number % 2 else (theirs, ours)
                cost = {id(each): _cost(each, kind, sizes.calls, servers) for each in order}
                found.append(cost[id(theirs)] / cost[id(ours)])
            yield _row(kind, found[1:])
        if kinds and not any(word in "import otpkit" for word in kinds):
            return
        our_ms, their_ms = import_ms(paths, sizes.imports)
        yield _row("import otpkit", [before / now for now, before in zip(our_ms, their_ms, strict=True)])


Asked = subprocess.Popen[str]


@contextlib.contextmanager
def _asked(tree: str, urls: list[str]) -> Iterator[Asked]:
    command = [sys.executable, "-c", _RUN, tree, _PROGRAM, *urls]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree) as process:
        try:
            yield process
        finally:
            process.kill()


def _say(process: Asked, line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit(f"the process of one tree ended at: {line}")
    return answer.strip()


def _kinds(ours: Asked, theirs: Asked) -> list[str]:
    known = set(_say(theirs, "kinds").split(";"))
    return [kind for kind in _say(ours, "kinds").split(";") if kind in known]


def _cost(process: Asked, kind: str, calls: int, servers: list[int]) -> int:
    _say(process, f"prepare {calls} {kind}")
    start = measure.spent_ns([process.pid, *servers])
    _say(process, "run")
    return measure.spent_ns([process.pid, *servers]) - start


def _row(kind: str, found: list[float]) -> Row:
    row = at_least(kind, median(found), GOAL)
    return row if measure.is_pinned() else Row(row.figure, row.measured)
