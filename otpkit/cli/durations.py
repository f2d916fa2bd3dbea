"""Lengths of time on the command line, such as 90m, 12h or 7d."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

_DURATION: Final = re.compile(r"([0-9]{1,7})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

For = Annotated[str, typer.Option("--for", help="How long it holds, such as 90m, 12h or 7d.", metavar="TIME")]


def read_seconds(text: str) -> int | None:
    """Return a length of time in seconds, or None if the text has another form."""
    found = _DURATION.fullmatch(text)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def seconds_of(text: str) -> int:
    """Return the value of `--for` in seconds; raise `typer.BadParameter` if it has another form."""
    seconds = read_seconds(text)
    if seconds is None:
        raise typer.BadParameter("use --for with a number and s, m, h or d, such as 12h")
    return seconds
