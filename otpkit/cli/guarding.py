"""`otpkit guard`: what the guard has decided and counts, and an operator's overrides."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from otpkit import fold
from otpkit.cli.auditing import Actor, Reason, operator
from otpkit.cli.configured import configured
from otpkit.cli.durations import For, seconds_of
from otpkit.cli.output import show_guard
from otpkit.cli.serving import AsJson, Config
from otpkit.guard.report import OverrideScope

guard = typer.Typer(
    name="guard",
    help="Show what the guard decided and counts now, or override it.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Scope = Annotated[str, typer.Argument(help="range, ip, net, region or total.", show_default=False)]
Subject = Annotated[
    str,
    typer.Argument(
        help="A number of the range, an address, or a region's code; none for the total.",
        show_default=False,
        callback=fold,
    ),
]


@guard.callback()
def report(
    context: typer.Context,
    hours: Annotated[int, typer.Option(help="The last hours whose decisions are counted, 1 to 168.")] = 24,
    phone: Annotated[
        str | None, typer.Option(help="Show the range and the region of this number.", show_default=False)
    ] = None,
    ip: Annotated[
        str | None, typer.Option(help="Show this address and its network.", show_default=False, metavar="ADDRESS")
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what the guard decided and what it counts now, or override it for a while.

    Ranges and addresses are shown by pseudonyms.
    """
    if context.invoked_subcommand is not None:
        return
    with configured(config) as otp:
        found = otp.guard_report(hours, phone=None if phone is None else fold(phone), ip=ip)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, default=datetime.isoformat))
    else:
        show_guard(found)


@guard.command()
def allow(
    scope: Scope,
    subject: Subject = "",
    time: For = "12h",
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Let SCOPE neither refuse nor ask for a captcha. Budgets still hold."""
    seconds = seconds_of(time)
    with configured(config) as otp:
        otp.guard_allow(_scope(scope), subject, seconds=seconds, **operator(actor, reason))
    _done("allowed", scope, time, as_json=as_json)


@guard.command()
def block(
    scope: Scope,
    subject: Subject = "",
    time: For = "12h",
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Refuse all sends of SCOPE, also to known users and safe phones. In mode observe it refuses nothing."""
    seconds = seconds_of(time)
    with configured(config) as otp:
        otp.guard_block(_scope(scope), subject, seconds=seconds, **operator(actor, reason))
    _done("blocked", scope, time, as_json=as_json)


@guard.command()
def clear(
    scope: Scope,
    subject: Subject = "",
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End what `allow` or `block` set."""
    with configured(config) as otp:
        otp.guard_clear(_scope(scope), subject, **operator(actor, reason))
    _done("cleared", scope, "", as_json=as_json)


def _scope(text: str) -> OverrideScope:
    return text  # type: ignore[return-value]  # The call checks it.


def _done(outcome: str, scope: str, time: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"scope": scope, "outcome": outcome, "for": time or None}))
    else:
        typer.echo(f"The scope {scope} is {outcome}{f' for {time}' if time else ''}")
