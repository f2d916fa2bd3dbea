"""Interrupted calls on each kind of store, in a process of their own. interrupted_calls.py has the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from interrupted_calls import STORES

FILE = Path(__file__).with_name("interrupted_calls.py")


@pytest.mark.parametrize("store", STORES)
def test_no_reply_reaches_the_next_call(store: str) -> None:
    # Plain assertions need no rewriting of modules.
    options = ["-q", "-p", "no:xdist", "--assert=plain", "-o", "addopts="]
    command = [sys.executable, "-m", "pytest", *options, "-k", f"[{store}-", str(FILE)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=110, cwd=FILE.parents[2])
    assert done.returncode == 0, done.stdout[-3000:]
    assert "3 passed" in done.stdout
