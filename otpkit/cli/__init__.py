"""The command `otpkit`: keys, codes from the shell, the local gateway, and a demo. It needs the extra `cli`."""

from __future__ import annotations

import sys

_LIBRARIES = {"typer", "rich"}


def main() -> None:
    """Run the command and exit the process. `otpkit.cli.failures` defines the exit status of each kind of error."""
    try:
        from otpkit.cli.commands import run
    except ModuleNotFoundError as missing:
        library = (missing.name or "").partition(".")[0]
        if library not in _LIBRARIES:
            raise
    else:
        sys.exit(run())
    sys.stderr.write(f"otpkit: the command needs {library!r}, which is not installed. Run: pip install 'otpkit[cli]'\n")
    sys.exit(2)
