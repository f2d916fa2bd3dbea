"""Run an example as its reader does: one command, then HTTP."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 30  # Time limit of a start or an end.


@dataclass
class Example:
    """A running example: `url` is its own, `inbox` that of its messages, `printed` its output so far."""

    url: str
    inbox: str
    printed: list[str]
    session: requests.Session = field(default_factory=requests.Session)

    def messages(self, phone: str) -> list[dict[str, Any]]:
        """Return the messages to a phone, newest first."""
        found: list[dict[str, Any]] = requests.get(f"{self.inbox}/api/messages", {"phone": phone}, timeout=10).json()
        return found

    def code(self, phone: str) -> str:
        """Return the code of the newest message to a phone."""
        return str(self.messages(phone)[0]["code"])


@contextlib.contextmanager
def example(name: str, env: Mapping[str, str] | None = None) -> Iterator[Example]:
    """Run an example on a free port during the block. Afterwards it must end quietly on Ctrl-C."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("OTPKIT_")}
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / name)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=own | {"PORT": "0", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"} | dict(env or {}),
        encoding="utf-8",
    ) as process:
        printed: list[str] = []
        started = threading.Event()
        reader = threading.Thread(target=_read, args=(process, printed, started))
        reader.start()
        try:
            assert started.wait(SECONDS), printed
            said = "".join(printed)
            inbox = re.search(r"messages are at (\S+)", said)
            url = re.search(r"running on (\S+)", said, re.IGNORECASE)
            assert url, said
            running = Example(url[1], inbox[1] if inbox else "", printed)
            with running.session:
                yield running
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
        finally:
            process.kill()
            reader.join(SECONDS)
    assert "Traceback" not in "".join(printed)


def _read(process: subprocess.Popen[str], printed: list[str], started: threading.Event) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        printed.append(line)
        if "running on" in line.lower():
            started.set()
    started.set()


def other_than(code: str) -> str:
    """Return a code that differs."""
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"
