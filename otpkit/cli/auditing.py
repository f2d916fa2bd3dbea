"""`otpkit audit` and `otpkit audit-keys`, and the options by which a command names its operator."""

from __future__ import annotations

import csv
import getpass
import io
import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from otpkit import OTPError, fold
from otpkit.cli.configured import configured
from otpkit.cli.durations import read_seconds
from otpkit.cli.output import audit_row, plain, show_audit, show_keys
from otpkit.cli.serving import AsJson, Config
from otpkit.core.arguments import DEFAULT_NAMESPACE
from otpkit.models import Audit
from otpkit.policy import DEFAULT_POLICY
from otpkit.store.errors import REDIS_ERRORS, store_error

_FORMULA: Final = "=+-@＝＋－＠"  # A spreadsheet runs a cell that begins with one of these.

Actor = Annotated[
    str | None,
    typer.Option(help="The operator's name, for the audit.", show_default="the user of the operating system"),
]
Reason = Annotated[str, typer.Option(help="The reason, for the audit; without the number.", show_default=False)]


def operator(actor: str | None, reason: str) -> dict[str, str]:
    """Return the arguments `actor` and `reason` of a call. Without `--actor`, it is the operating system's user."""
    return {"actor": _system_user() if actor is None else actor, "reason": reason}


def audit(
    phone: Annotated[str | None, typer.Option(help="Show only this number's entries.", show_default=False)] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Show entries from then on: a time ago such as 90m, 12h or 7d, or a date and time in ISO 8601, UTC.",
            show_default="all that is kept",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="The most entries to show, 1 to 10,000.")] = 100,
    region: Annotated[
        str | None, typer.Option(help="The region of a number without a country code.", show_default=False)
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a table for a spreadsheet; no cell of it is a formula.")
    ] = False,
) -> None:
    """Show what operators did, and which security events happened, newest first.

    Phones, ranges and addresses are shown by pseudonyms.
    """
    if as_json and as_csv:
        raise typer.BadParameter("use one of --json and --csv")
    start = None if since is None else _time(since)
    with configured(config) as otp:
        number = None if phone is None else fold(phone)
        found = otp.audit(number, since=start, limit=limit, region=region)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "is_capped": found.is_capped,
                    "oldest": plain(found.oldest),
                    "entries": [
                        {name: plain(value) for name, value in audit_row(each).items()} for each in found.entries
                    ],
                },
                ensure_ascii=False,
            )
        )
    elif as_csv:
        typer.echo(_table(found), nl=False)
    else:
        show_audit(found)


def audit_keys(config: Config = None, as_json: AsJson = False) -> None:
    """Check every key in Redis: its form, its life, and that nothing in it can be read. Changes nothing.

    Run it where otpkit has been used. The Redis user also needs scan, type and xrange. Keys that no version of otpkit
    writes, and those of a later version, are reported.

    Exit status: 0 if there is no problem, 1 with a problem, 2 for wrong usage.
    """
    from otpkit.doctor.keys import examine_keys
    from otpkit.doctor.probe import connect
    from otpkit.settings import read_settings

    with configured(config):  # It checks the settings, and refuses a store in memory.
        arguments = read_settings(os.environ, config).otp
    client = connect(arguments["redis"])
    failure: OTPError | None = None
    try:
        report = examine_keys(
            client, arguments.get("namespace", DEFAULT_NAMESPACE), arguments.get("policy", DEFAULT_POLICY)
        )
    except REDIS_ERRORS as error:
        failure = store_error(error)
    finally:
        client.close()
    if failure is not None:
        raise failure
    show_keys(report, as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)


def _table(found: Audit) -> str:
    """Return the entries as CSV. A cell that would be a formula begins with an apostrophe (OWASP, CSV injection)."""
    rows = [audit_row(each) for each in found.entries]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "at", "action", "actor", "reason", "phone_id", "scope", "subject", "outcome", "count"])
    for row in rows:
        cells = [str(plain(value)) for value in row.values()]
        writer.writerow([f"'{cell}" if cell[:1] and cell[0] in _FORMULA else cell for cell in cells])
    return text.getvalue()


def _time(text: str) -> datetime:
    seconds = read_seconds(text)
    time: datetime | None = None
    with suppress(ValueError, OverflowError):  # There is no date before the year 1.
        time = datetime.fromisoformat(text) if seconds is None else datetime.now(UTC) - timedelta(seconds=seconds)
    if time is None:
        raise typer.BadParameter("use --since with 90m, 12h, 7d or a time such as 2030-01-31T08:00")
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _system_user() -> str:
    """Return the name of the operating system's user: that of the process, which variables can't change, if known."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # Windows; a container whose user has no name.
        pass
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return f"uid {os.getuid()}"
