"""Report a failed command: an exit status for each kind of error, and a message or JSON object on standard error."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import Final

import typer

from otpkit.errors import (
    BlockedError,
    CaptchaRequiredError,
    CaptchaUnavailableError,
    CodeError,
    ConfigurationError,
    GatewayRejectedError,
    OTPError,
    PhoneError,
    RateLimitError,
    RefusedError,
    StoreUnavailableError,
    TokenError,
)

FINDING: Final = 1
WRONG_USE: Final = 2
ABORTED: Final = 130  # the status that shells use for a process ended by SIGINT
EXIT_STATUS: Final[Mapping[type[OTPError], int]] = {
    ConfigurationError: WRONG_USE,
    PhoneError: 3,
    CodeError: 4,
    TokenError: 5,
    RateLimitError: 6,
    BlockedError: 7,
    GatewayRejectedError: 8,
    StoreUnavailableError: 9,
    CaptchaRequiredError: 10,
    CaptchaUnavailableError: 11,
    RefusedError: 12,
}
HELP: Final = (
    "Exit status: 0 success; 1 finding of doctor, numbers or healthcheck, or output that can't be written; 2 wrong "
    "usage or settings; 3 not a mobile number, or its region is not allowed; 4 code not verified; 5 token not valid; "
    "6 limit reached; 7 phone blocked; 8 message rejected by the gateway; 9 store unavailable; 10 captcha required; "
    "11 captcha unavailable; 12 refused by Guard.risk; 130 interrupted. With --json the error is one JSON object on "
    "standard error."
)

_EVIDENCE: Final = (
    "retry_after",
    "attempts_left",
    "scope",
    "kind",
    "gateway",
    "gateway_code",
    "category",
    "provider",
    "parameters",
    "reasons",
)
_LONG: Final = 300  # characters; a longer message is wrapped
_WIDTH: Final = 100
_RANGE: Final = re.compile(r" is not in the range \d{1,4}<=x<=\d{1,4}\Z")  # the end of a usage error
# Click's UsageError. Typer does not export it.
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


def exit_status(error: OTPError) -> int:
    """Return the exit status for an error."""
    return next((status for kind, status in EXIT_STATUS.items() if isinstance(error, kind)), FINDING)


def fail(error: OTPError, *, as_json: bool) -> int:
    """Print an error to standard error. Return the exit status."""
    status = exit_status(error)
    if as_json:
        evidence = {name: getattr(error, name) for name in _EVIDENCE if hasattr(error, name)}
        evidence |= {"problem": error.problem, "remedy": error.remedy}
        if isinstance(error, ConfigurationError):
            evidence["problems"] = [each._asdict() for each in error.problems]
        return _fail_json(error.code, str(error), status, evidence)
    text = f"{error.problem}\n{error.remedy}" if "\n" in error.remedy else str(error)
    return _fail_text(text if error.retry_after is None else f"{text} Retry after {error.retry_after} s.", status)


def fail_usage(error: Exception, *, as_json: bool) -> int:
    """Print a usage error to standard error. Return the exit status."""
    text = _careful(error)
    return _fail_json("usage", text, WRONG_USE, {}) if as_json else _fail_text(text, WRONG_USE)


def fail_aborted(*, as_json: bool) -> int:
    """Print to standard error that the command was interrupted. Return the exit status."""
    return _fail_json("aborted", "aborted", ABORTED, {}) if as_json else _fail_text("aborted", ABORTED)


def fail_output(error: OSError, *, as_json: bool) -> int:
    """Print to standard error that standard output can't be written. Return the exit status."""
    text = f"The output can't be written: {error.strerror}. Check where standard output goes."
    return _fail_json("output", text, FINDING, {}) if as_json else _fail_text(text, FINDING)


def wants_json(arguments: list[str]) -> bool:
    """Return True if a command line contains --json, even if the rest can't be parsed."""
    return "--json" in arguments[: arguments.index("--") if "--" in arguments else None]


def _careful(error: Exception) -> str:
    """Return a usage error's text without extra arguments and digits, which may belong to a phone or a code."""
    text: str = error.format_message()  # type: ignore[attr-defined]
    text = re.sub(r" \(.*\)", "", " ".join(text.split())).rstrip(".")
    limits = _RANGE.search(text)  # They are the option's own.
    kept = len(text) if limits is None else limits.start()
    text = re.sub(r"\d", "*", text[:kept]) + text[kept:]
    end = "" if text.endswith("?") else "."
    return f"{text}{end} Try: otpkit --help"


def _fail_text(text: str, status: int) -> int:
    if len(text) > _LONG:
        lines = text.splitlines()
        folding = textwrap.TextWrapper(_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        text = "\n".join(map(folding.fill, lines))
    typer.echo(f"otpkit: {text}", err=True)
    return status


def _fail_json(code: str, message: str, status: int, evidence: Mapping[str, object]) -> int:
    found = {"code": code, "message": message, "exit_status": status, **evidence}
    typer.echo(json.dumps(found, ensure_ascii=False), err=True)
    return status
