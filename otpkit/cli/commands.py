"""The commands and their exit. No output, not even a usage error, contains a code, a secret or a whole phone number.

The only exception is `numbers`, which prints the numbers of the user's own table.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from base64 import b64encode
from importlib.metadata import version
from typing import Annotated

import typer

from otpkit import fold
from otpkit.cli.auditing import Actor, Reason, audit, audit_keys, operator
from otpkit.cli.configured import configured
from otpkit.cli.console import KEY_BYTES, console, operator_key
from otpkit.cli.failures import HELP, USAGE_ERROR, fail, fail_aborted, fail_output, fail_usage, wants_json
from otpkit.cli.gateways import gateways
from otpkit.cli.guarding import guard
from otpkit.cli.health import healthcheck
from otpkit.cli.output import (
    challenge_row,
    delivery_row,
    erased_row,
    proof_row,
    sent_row,
    show,
    show_budgets,
    show_report,
    standing_row,
    standing_word,
)
from otpkit.cli.serving import AsJson, Config, demo, sandbox, serve
from otpkit.cli.simulate import simulate
from otpkit.cli.stats import stats
from otpkit.core.arguments import NOT_GIVEN
from otpkit.environment import REQUIRED
from otpkit.errors import OTPError
from otpkit.frames import without_locals
from otpkit.models import mask

app = typer.Typer(
    name="otpkit",
    help="Phone verification by one-time codes.",
    epilog="issue, send, verify, redeem, status, delivery, revoke, standing, unblock, forget-devices, erase, budgets, "
    "stats, guard, audit, audit-keys, gateways, doctor, serve and console read their settings from "
    f"{', '.join(REQUIRED)} and the gateway's variables. OTPKIT_POLICY and OTPKIT_TEMPLATES are JSON objects: the "
    "policy's fields, and a template for each purpose. OTPKIT_BUDGETS is a JSON list, and OTPKIT_PRICES an object with "
    "the price of a message for each region. --config FILE reads the same from "
    f"TOML.\n\n{HELP}",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # typer's tracebacks would show local variables
)

Phone = Annotated[
    str,
    typer.Argument(
        help="The phone number in any spelling. Quote it if it contains blanks.", show_default=False, callback=fold
    ),
]
Region = Annotated[
    str | None, typer.Option(help="The region of a number without a country code, such as CN.", show_default=False)
]
Purpose = Annotated[str, typer.Option(help="The purpose of the code.")]
Bind = Annotated[str, typer.Option(help="A text that the code is tied to, such as a session id.", show_default=False)]
Param = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="A template variable. You can repeat this option.", show_default=False),
]
SendKey = Annotated[
    str | None,
    typer.Option(help="Identifies this request. A repeated key sends no second message.", show_default=False),
]
Voice = Annotated[bool, typer.Option("--voice", help="Call the phone and read the code aloud.")]
Device = Annotated[str | None, typer.Option(help="The device token that `verify --json` printed.", show_default=False)]


@without_locals
def run() -> int:
    """Run the command line and return the exit status."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # A console that can't show Chinese still shows the rest.
    as_json = wants_json(sys.argv[1:])
    if as_json:  # A warning in the log would stand beside the one object on standard error.
        logging.getLogger("otpkit").addHandler(logging.NullHandler())
    try:
        return app(prog_name="otpkit", standalone_mode=False) or 0
    except OTPError as error:
        return fail(error, as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        return fail_aborted(as_json=as_json)
    except USAGE_ERROR as error:
        return fail_usage(error, as_json=as_json)
    except OSError as error:  # All other errors of the system are an OTPError.
        return fail_output(error, as_json=as_json)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"otpkit {version('otpkit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def keygen(
    webhook: Annotated[
        bool, typer.Option("--webhook", help="Print one for the webhook of events, which begins with whsec_.")
    ] = False,
) -> None:
    """Print a new random secret, for OTPKIT_SECRET or an API key."""
    if webhook:
        typer.echo(f"whsec_{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}")
    else:
        typer.echo(secrets.token_urlsafe(KEY_BYTES))


@app.command()
def issue(
    phone: Phone,
    purpose: Purpose = "signup",
    bind: Bind = "",
    region: Region = None,
    param: Param = None,
    idempotency_key: SendKey = None,
    voice: Voice = False,
    device: Device = None,
    captcha: Annotated[
        str | None, typer.Option(help="The answer to the captcha that the guard asks for.", show_default=False)
    ] = None,
    known: Annotated[
        bool, typer.Option("--known", help="The number is verified for this account: the guard does not refuse it.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Send a code to PHONE. While a code is live, send the same code again."""
    params = _params(param)
    with configured(config) as otp:
        challenge = otp.issue(
            phone,
            purpose,
            bind=bind,
            params=params,
            idempotency_key=idempotency_key,
            channel="voice" if voice else "sms",
            region=region,
            device=device,
            captcha=captcha,
            known=known,
        )
    show(f"A code for {mask(challenge.phone)}: {challenge.delivery}", challenge_row(challenge), as_json=as_json)


@app.command()
def send(
    phone: Phone,
    code: Annotated[
        str | None,
        typer.Argument(help="If omitted, it is prompted for or read from standard input.", show_default=False),
    ] = None,
    template: Annotated[str, typer.Option(help="The purpose whose template is sent.")] = "signup",
    minutes: Annotated[
        int | None, typer.Option(help="The life of the code, for a template that names it.", show_default=False)
    ] = None,
    region: Region = None,
    param: Param = None,
    idempotency_key: SendKey = None,
    voice: Voice = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Send the CODE of another system to PHONE. Nothing is stored to verify it."""
    params = _params(param)
    with configured(config) as otp:
        sent = otp.send(
            phone,
            template,
            _read_secret("Code") if code is None else code,
            minutes=minutes,
            params=params,
            idempotency_key=idempotency_key,
            channel="voice" if voice else "sms",
            region=region,
        )
    show(f"A message for {mask(sent.phone)}: {sent.delivery}", sent_row(sent), as_json=as_json)


@app.command()
def verify(
    phone: Phone,
    code: Annotated[
        str | None,
        typer.Argument(help="If omitted, it is prompted for or read from standard input.", show_default=False),
    ] = None,
    purpose: Purpose = "signup",
    bind: Bind = "",
    region: Region = None,
    token: Annotated[bool, typer.Option("--token", help="Print the proof's token, which contains the phone.")] = False,
    device: Device = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Verify the CODE that PHONE received, and use it up. With --json, also print the token of this device."""
    with configured(config) as otp:
        typed = fold(_read_secret("Code") if code is None else code)
        proof = otp.verify(phone, typed, purpose, bind=bind, region=region, device=device)
        row = proof_row(proof, with_token=token, with_device=as_json)
        show(f"Verified {mask(proof.phone)}", row, as_json=as_json)


@app.command()
def redeem(
    token: Annotated[
        str | None,
        typer.Argument(help="If omitted, it is prompted for or read from standard input.", show_default=False),
    ] = None,
    purpose: Purpose = "signup",
    bind: Bind = "",
    phone: Annotated[
        str | None, typer.Option(help="The phone that the token must belong to.", show_default=False)
    ] = None,
    region: Region = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Identifies this request. A repeated key returns the same proof.", show_default=False),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Redeem the TOKEN of a proof. A proof can be redeemed once."""
    with configured(config) as otp:
        proof = otp.redeem(
            _read_secret("Token") if token is None else token,
            purpose,
            bind=bind,
            phone=NOT_GIVEN if phone is None else fold(phone),
            idempotency_key=idempotency_key,
            region=region,
        )
    row = proof_row(proof, with_token=False) | {"replayed": proof.replayed}
    show(f"Redeemed the proof of {mask(proof.phone)}", row, as_json=as_json)


@app.command()
def status(
    phone: Phone,
    purpose: Purpose = "signup",
    bind: Bind = "",
    region: Region = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the challenge of the live code, if there is one. Sends nothing."""
    with configured(config) as otp:
        found = otp.status(phone, purpose, bind=bind, region=region)
    title = "No code is live" if found is None else f"A code for {mask(found.phone)} is live"
    show(title, {"live": found is not None} | ({} if found is None else challenge_row(found)), as_json=as_json)


@app.command()
def revoke(
    phone: Phone,
    purpose: Purpose = "signup",
    bind: Bind = "",
    region: Region = None,
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Cancel the live code of PHONE, if there is one. Its messages still count."""
    with configured(config) as otp:
        otp.revoke(phone, purpose, bind=bind, region=region, **operator(actor, reason))
        found = otp.standing(phone, region=region)
    shown = mask(found.phone)
    show(f"No code for {shown} is live", {"phone": shown, "purpose": purpose, "live": False}, as_json=as_json)


@app.command()
def delivery(
    phone: Phone,
    purpose: Purpose = "signup",
    bind: Bind = "",
    region: Region = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Ask the gateway for the delivery of the live code's latest message."""
    with configured(config) as otp:
        found = otp.delivery(phone, purpose, bind=bind, region=region)
    show(f"The latest message: {found.state}", delivery_row(found), as_json=as_json)


@app.command()
def standing(phone: Phone, region: Region = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show if PHONE is limited or blocked, and for how long."""
    with configured(config) as otp:
        found = otp.standing(phone, region=region)
    show(f"The phone {mask(found.phone)}: {standing_word(found)}", standing_row(found), as_json=as_json)


@app.command()
def unblock(
    phone: Phone,
    region: Region = None,
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Remove a block of PHONE and reset its wrong codes. Its messages still count."""
    with configured(config) as otp:
        otp.unblock(phone, region=region, **operator(actor, reason))
        found = otp.standing(phone, region=region)
    show(f"Unblocked {mask(found.phone)}", standing_row(found), as_json=as_json)


@app.command()
def forget_devices(
    phone: Phone,
    region: Region = None,
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End the device tokens of PHONE: each device is a stranger until it verifies the phone again."""
    with configured(config) as otp:
        otp.forget_devices(phone, region=region, **operator(actor, reason))
        found = otp.standing(phone, region=region)
    show(f"Forgot the devices of {mask(found.phone)}", standing_row(found), as_json=as_json)


@app.command()
def erase(
    phone: Phone,
    region: Region = None,
    actor: Actor = None,
    reason: Reason = "",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Delete all data about PHONE, including its limits and a block, and end its device tokens."""
    with configured(config) as otp:
        removed = otp.erase(phone, region=region, **operator(actor, reason))
        found = otp.standing(phone, region=region)
    show(f"Erased {mask(found.phone)}", erased_row(removed) | standing_row(found), as_json=as_json)


@app.command()
def budgets(config: Config = None, as_json: AsJson = False) -> None:
    """Show what each budget has spent in its day or month, and what is left."""
    with configured(config) as otp:
        found = otp.spending()
    show_budgets(found, as_json=as_json)


@app.command()
def numbers(
    file: Annotated[str, typer.Argument(help="A CSV file; - is standard input.")] = "-",
    column: Annotated[
        str | None,
        typer.Option(help="The column with the numbers: its name, or its position from 1.", show_default="phone"),
    ] = None,
    region: Annotated[str, typer.Option(help="The region of a number without a country code.")] = "CN",
    encoding: Annotated[str, typer.Option(help="The encoding of the file, such as gb18030.")] = "utf-8-sig",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each finding and one for the sums.")
    ] = False,
) -> None:
    """Check a table of users: find numbers that are not E.164 or that occur twice, and print the correct form.

    It needs no settings, and does not change FILE. The output contains whole phone numbers.

    Exit status: 0 if all numbers are E.164 and unique, 1 with findings, 2 if the table can't be read.
    """
    from otpkit.cli.numbers import check_numbers

    raise typer.Exit(check_numbers(typer.echo, file, column, region, encoding, as_json=as_json))


@app.command()
def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Check the configuration, Redis and the gateway, and print how to fix problems. Sends nothing.

    With --config it checks the settings of `otpkit serve`: FILE, the environment (which overrides it) and API keys.

    Exit status: 0 if there are no problems (warnings are allowed), 1 with a problem, 2 for wrong usage.

    In Redis it stores a keyed fingerprint of the index secret for 400 days.
    """
    from otpkit.doctor import examine

    report = examine(os.environ, config)
    show_report(report, as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)


for _command in (stats, audit, audit_keys, sandbox, serve, healthcheck, console, operator_key, demo, simulate):
    app.command()(_command)
app.add_typer(gateways)
app.add_typer(guard)


def _params(given: list[str] | None) -> dict[str, str] | None:
    return None if given is None else dict(map(_name_and_value, given))


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter("use --param NAME=VALUE")
    return name, value


def _read_secret(name: str) -> str:
    if sys.stdin is None:  # It was closed before the command started.
        return ""
    if sys.stdin.isatty():
        typed: str = typer.prompt(name, hide_input=True, err=True)
        return typed
    return sys.stdin.readline().strip()
