"""Run the command as a person does: in its own process, with an environment without variables of otpkit."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

COMMAND = [sys.executable, "-m", "otpkit"]
SECONDS = 30  # Time limit of any command.
PHONE = "13800138000"


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a process."""

    status: int
    out: str
    err: str


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this environment without otpkit's variables, but with those of the argument."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    return own | {"PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error"} | dict(given or {})


def otpkit(*args: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ended:
    """Run `otpkit` with `args` to its end."""
    return python(*COMMAND[1:], *args, env=env, stdin=stdin)


def python(*args: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ended:
    """Run Python with `args` to its end."""
    done = subprocess.run(
        [sys.executable, *args],
        input=stdin,
        env=environment(env),
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Serving:
    """A command that serves until it is interrupted. `head` is its output up to the line that `running` waits for."""

    def __init__(self, process: subprocess.Popen[str], head: str) -> None:
        self._process = process
        self.head = head

    @property
    def base_url(self) -> str:
        """The first URL it printed, without a path."""
        found = re.search(r"http://[^/\s]+", self.head)
        assert found, self.head
        return found[0]

    def interrupt(self) -> Ended:
        """Press Ctrl-C, and return the end of the process."""
        self._process.send_signal(signal.SIGINT)
        out, err = self._process.communicate(timeout=SECONDS)
        return Ended(self._process.returncode, out, err)


@contextlib.contextmanager
def running(*args: str, until: str, env: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """Run `otpkit` with `args`, and yield after it has printed a line with `until`. Stop it after the block."""
    with subprocess.Popen(
        [*COMMAND, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env) | {"PYTHONUNBUFFERED": "1"},
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout is not None
            head = ""
            for line in process.stdout:
                head += line
                if until in line:
                    break
            assert until in head, process.communicate(timeout=SECONDS)
            yield Serving(process, head)
        finally:
            process.kill()
