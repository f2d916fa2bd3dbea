"""`otpkit gateways`: the circuits and last errors of gateways, and opening or closing a circuit by hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from otpkit.cli.auditing import Actor, Reason, operator
from otpkit.cli.configured import configured
from otpkit.cli.durations import For, seconds_of
from otpkit.cli.output import show_gateways
from otpkit.cli.serving import AsJson, Config

gateways = typer.Typer(
    name="gateways",
    help="Show the circuits and last errors of gateways, or open and close a circuit.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Name = Annotated[str, typer.Argument(help="The name of a gateway, as `otpkit gateways` shows it.", show_default=False)]


@gateways.callback()
def standing(context: typer.Context, config: Config = None, as_json: AsJson = False) -> None:
    """Show the circuits and last errors of gateways, or open and close a circuit."""
    if context.invoked_subcommand is not None:
        return
    with configured(config) as otp:
        found = otp.gateways()
    if as_json:
        rows = [asdict(each) for each in found]
        typer.echo(json.dumps({"gateways": rows}, ensure_ascii=False, default=datetime.isoformat))
    else:
        show_gateways(found)


@gateways.command("open")
def open_(
    name: Name,
    time: For = "1h",
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Skip the gateway NAME for a while: the others are tried before it."""
    seconds = seconds_of(time)
    with configured(config) as otp:
        otp.open_circuit(name, seconds=seconds, **operator(actor, reason))
    _done(name, "open", time, as_json=as_json)


@gateways.command()
def close(name: Name, actor: Actor = None, reason: Reason = "", config: Config = None, as_json: AsJson = False) -> None:
    """Use the gateway NAME again."""
    with configured(config) as otp:
        otp.close_circuit(name, **operator(actor, reason))
    _done(name, "closed", "", as_json=as_json)


def _done(name: str, state: str, time: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"gateway": name, "state": state, "for": time or None}))
    else:
        typer.echo(f"The circuit of {name} is {state}{f' for {time}' if time else ''}")
