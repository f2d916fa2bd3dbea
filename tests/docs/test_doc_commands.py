"""The commands of the README and of the start page work in a fresh clone, and their servers stop at Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from page_blocks import ROOT, blocks_of

BIN = Path(sys.executable).parent


def shell_block(page: str, mark: str) -> str:
    """Return the shell block that contains `mark`."""
    (found,) = [block.text for block in blocks_of(page) if block.language == "sh" and mark in block.text]
    return found


FIRST = shell_block("README.md", "otpkit demo --check")
SECOND = shell_block("README.md", ".venv/bin/pytest")
INSTALL = shell_block("README.md", "/path/to/otpkit")
TRIED = shell_block("docs/start.md", "otpkit demo\n").splitlines()


def in_shell(script: str, **options: Any) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    done = subprocess.run(
        ["bash", "-euc", script], env=environ, capture_output=True, text=True, timeout=600, check=False, **options
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.timeout(900)
def test_commands_work_in_fresh_clone(tmp_path: Path) -> None:
    """The first command runs, and then the others, in a new shell and in another project."""
    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns(
        ".venv", ".git", ".*_cache", "__pycache__", "build", "dist", "_build", "node_modules"
    )
    shutil.copytree(ROOT, clone, ignore=ignored)
    in_shell(FIRST, cwd=clone)
    in_shell(TRIED[0], cwd=clone)
    project = tmp_path / "project"
    project.mkdir()
    install = INSTALL.replace("/path/to/otpkit", str(clone))
    in_shell(
        f"python3 -m venv .venv && . .venv/bin/activate\n{install}\notpkit --version && flask --version", cwd=project
    )


def test_whole_check_runs_second_command() -> None:
    """The pipeline reads the command from the README."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert """grep -m1 -F "pip install -e '.[test]'" README.md""" in script
    for name in ("README.md", "README.zh-CN.md"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert next(line for line in lines if "pip install -e '.[test]'" in line) == SECOND.strip()


def test_contributors_run_one_test() -> None:
    command = shell_block("CONTRIBUTING.md", "pytest tests/test_policy.py").replace(".venv/bin", str(BIN))
    in_shell(f"{command.strip()} -n 0", cwd=ROOT)


@pytest.mark.parametrize("command", TRIED[1:])
def test_commands_serve_and_stop_at_ctrl_c(command: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    environ |= {"PATH": f"{BIN}{os.pathsep}{environ['PATH']}", "PYTHONUNBUFFERED": "1", "PORT": "0"}
    process = subprocess.Popen(
        command.split(), cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        printed = ""
        wanted = 2 if "examples" in command else 1  # First the inbox, then the example itself.
        while len(found := re.findall(r"http://127\.0\.0\.1:\d+", printed)) < wanted:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        assert eventually(found[-1]) < 500
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    finally:
        watchdog.cancel()
        process.kill()
    assert "Traceback" not in printed + rest


def eventually(url: str) -> int:
    deadline = time.monotonic() + 20
    while True:
        try:
            return requests.get(url, timeout=5).status_code
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
