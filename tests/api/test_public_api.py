"""A change of the public API must be intended: it changes public_api.txt too."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import snapshot

import otpkit


def test_public_api_is_what_file_says() -> None:
    """The script runs in its own process, where no other test has imported or changed anything."""
    done = subprocess.run(
        [sys.executable, snapshot.__file__], capture_output=True, text=True, timeout=100, check=True, encoding="utf-8"
    )
    now, kept = done.stdout.splitlines(), snapshot.FILE.read_text(encoding="utf-8").splitlines()
    remedy = "If it is meant, run tests/api/snapshot.py --write, and add a line to CHANGELOG.md."
    assert now == kept, remedy


def test_every_public_name_is_listed() -> None:
    kept = snapshot.FILE.read_text(encoding="utf-8")
    for name in otpkit.__all__:
        assert f" otpkit.{name}" in kept


REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
DOCUMENTED = sorted(
    found
    for path in REFERENCE.glob("*.md")
    for found in re.findall(r"auto(?:class|function|exception|data):: ([\w.]+)", path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("path", DOCUMENTED)
def test_documented_name_is_public(path: str) -> None:
    """A reader may import it from where the reference names it, and the file notes its changes."""
    module, _, name = path.rpartition(".")
    assert module in snapshot.MODULES
    assert name in snapshot.names(import_module(module))
