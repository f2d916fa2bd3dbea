"""SIGHUP, which asks `otpkit serve` to read its settings again. It must never end the service, however early it comes.

Python ends by default at SIGHUP, and importing otpkit takes a quarter of a second. So `otpkit/__init__.py` imports this
module before all others, and its import holds the signals if the process is `otpkit serve` or `otpkit console`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

_COMMANDS = {"serve", "console"}
_PROGRAMS = {"otpkit", "otpkit.exe"}
# Other signals that ask for no end. Their default ends a process too. Windows does not have them.
_IGNORED = ("SIGUSR1", "SIGUSR2")


class _Arrived:
    value = False


def hold() -> None:
    """Keep each SIGHUP until `take` is called, and ignore SIGUSR1 and SIGUSR2. It must run in the main thread."""
    for number, handler in handlers().items():
        signal.signal(number, handler)


def handlers() -> dict[signal.Signals, Any]:
    """Return the handlers of the signals that must not end the service."""
    found: dict[signal.Signals, Any] = {
        signal.Signals[name]: signal.SIG_IGN for name in _IGNORED if name in signal.Signals.__members__
    }
    if "SIGHUP" in signal.Signals.__members__:
        found[signal.Signals["SIGHUP"]] = _note
    return found


def take() -> bool:
    """Return True if a SIGHUP has come since the last call."""
    found, _Arrived.value = _Arrived.value, False
    return found


def is_waiting() -> bool:
    """Return True if the next `take` does."""
    return _Arrived.value


def ignore() -> None:
    """Ignore SIGHUP from now on: the process is ending, and Python restores the default of other handlers."""
    if "SIGHUP" in signal.Signals.__members__:
        signal.signal(signal.Signals["SIGHUP"], signal.SIG_IGN)


def _note(*_: object) -> None:
    _Arrived.value = True


def _is_command(argv: list[str], original: list[str]) -> bool:
    """Return True for the command line of a service, with the arguments that Python got in front of them.

    With `python -m otpkit`, `argv` begins with `-m` during imports, as it does with the modules of others.
    """
    if argv[1:2] == [] or argv[1] not in _COMMANDS:
        return False
    if argv[0] == "-m":
        return original[-len(argv) - 1 :][:2] == ["-m", "otpkit"]
    return os.path.basename(argv[0]) in _PROGRAMS


if _is_command(sys.argv, sys.orig_argv):
    hold()
