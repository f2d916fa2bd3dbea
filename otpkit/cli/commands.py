"""The commands, and how they end. No output holds a code, a secret or a whole phone number, a usage error's neither.

`numbers` alone prints numbers: those of the user's own table.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import shlex
import sys
from typing import Annotated

import typer

from otpkit import OTP, fold
from otpkit.cli.output import challenge_row, delivery_row, proof_row, show, show_report, standing_row, standing_word
from otpkit.doctor import Finding, Report, examine
from otpkit.errors import ConfigurationError, OTPError
from otpkit.frames import without_locals
from otpkit.models import mask
from otpkit.store_url import MEMORY_URL

KEY_BYTES = 32
# Click's UsageError, which typer gives no name of its own.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="otpkit",
    help="Phone verification by one-time codes.",
    epilog="issue, verify, delivery, standing, unblock, doctor and serve are configured by OTPKIT_REDIS_URL, "
    "OTPKIT_SECRET, OTPKIT_GATEWAY, OTPKIT_TEMPLATE_CODE, OTPKIT_TEMPLATE_SIGN_NAME and the gateway's own variables.",
    pretty_exceptions_enable=False,  # its tracebacks would show local variables
)

Phone = Annotated[
    str,
    typer.Argument(help="The number in any spelling; in quotes if it holds blanks.", show_default=False, callback=fold),
]
Region = Annotated[
    str | None, typer.Option(help="The region of a number without a country code, such as CN.", show_default=False)
]
Purpose = Annotated[str, typer.Option(help="What the code is for.")]
Bind = Annotated[str, typer.Option(help="A text that the code is tied to, such as a session's id.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Config = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="A TOML file with the settings; the environment overrides it.", show_default=False
    ),
]
Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(envvar="PORT", help="The port to listen on; 0 takes a free one.")]


@without_locals
def run() -> int:
    """Run the command line and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a console without Chinese still shows the rest
    try:
        return app(prog_name="otpkit", standalone_mode=False) or 0
    except OTPError as error:
        return _fail(_line(error), 2 if isinstance(error, ConfigurationError) else 1)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("aborted", 130)
    except _USAGE_ERROR as error:
        return _fail(_careful(error), 2)


@app.command()
def keygen() -> None:
    """Print a fresh random secret, for OTPKIT_SECRET or an API key."""
    typer.echo(secrets.token_urlsafe(KEY_BYTES))


@app.command()
def issue(
    phone: Phone,
    purpose: Purpose = "signup",
    bind: Bind = "",
    region: Region = None,
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A template variable; may be given several times.", show_default=False),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Names this request: with the same key nothing is sent again.", show_default=False),
    ] = None,
    voice: Annotated[bool, typer.Option("--voice", help="Call the phone, and speak the code.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a code to PHONE; while one is live, the same code again."""
    params = None if param is None else dict(map(_name_and_value, param))
    with _configured() as otp:
        challenge = otp.issue(
            phone,
            purpose,
            bind=bind,
            params=params,
            idempotency_key=idempotency_key,
            channel="voice" if voice else "sms",
            region=region,
        )
    show(f"A code for {mask(challenge.phone)}: {challenge.delivery}", challenge_row(challenge), as_json=as_json)


@app.command()
def verify(
    phone: Phone,
    code: Annotated[
        str | None,
        typer.Argument(help="Left out, it is asked for, or read from standard input.", show_default=False),
    ] = None,
    purpose: Purpose = "signup",
    bind: Bind = "",
    region: Region = None,
    token: Annotated[bool, typer.Option("--token", help="Print the proof's token, which shows the phone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Verify the CODE that PHONE received, and use it up."""
    with _configured() as otp:
        typed = fold(_read_code() if code is None else code)
        proof = otp.verify(phone, typed, purpose, bind=bind, region=region)
        show(f"Verified {mask(proof.phone)}", proof_row(proof, with_token=token), as_json=as_json)


@app.command()
def delivery(
    phone: Phone, purpose: Purpose = "signup", bind: Bind = "", region: Region = None, as_json: AsJson = False
) -> None:
    """Ask the gateway what became of the latest message of the live code."""
    with _configured() as otp:
        found = otp.delivery(phone, purpose, bind=bind, region=region)
    show(f"The latest message: {found.state}", delivery_row(found), as_json=as_json)


@app.command()
def standing(phone: Phone, region: Region = None, as_json: AsJson = False) -> None:
    """Tell whether PHONE is limited or blocked, and for how long."""
    with _configured() as otp:
        found = otp.standing(phone, region=region)
    show(f"The phone {mask(found.phone)}: {standing_word(found)}", standing_row(found), as_json=as_json)


@app.command()
def unblock(phone: Phone, region: Region = None, as_json: AsJson = False) -> None:
    """Lift a block of PHONE and clear its wrong codes; its messages stay counted."""
    with _configured() as otp:
        otp.unblock(phone, region=region)
        found = otp.standing(phone, region=region)
    show(f"Unblocked {mask(found.phone)}", standing_row(found), as_json=as_json)


@app.command()
def numbers(
    file: Annotated[str, typer.Argument(help="A CSV file; - is standard input.")] = "-",
    column: Annotated[
        str | None,
        typer.Option(help="Which column has the numbers: its name, or its place from 1 on.", show_default="phone"),
    ] = None,
    region: Annotated[str, typer.Option(help="The region of a number without a country code.")] = "CN",
    encoding: Annotated[str, typer.Option(help="How the file is encoded, such as gb18030.")] = "utf-8-sig",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each finding, and the sum.")] = False,
) -> None:
    """Check a table of users: which numbers are not E.164 or stand twice, and what each becomes. It needs no settings.

    The rows stand in FILE as before. What is printed holds whole numbers.

    Exit status: 0 if all are E.164 and stand once, 1 with a finding, 2 where the table can't be read.
    """
    from otpkit.cli.numbers import check_numbers

    raise typer.Exit(check_numbers(typer.echo, file, column, region, encoding, as_json=as_json))


@app.command()
def doctor(config: Config = None, as_json: AsJson = False) -> None:
    """Check the configuration, Redis and the gateway, and say what to do; sends nothing.

    With --config it checks what `otpkit serve` would run with: FILE, the environment over it, and the API keys too.

    Exit status: 0 if all is well or there are warnings alone, 1 with a problem, 2 where the usage is wrong.

    In Redis it keeps a keyed fingerprint of the index secret, for 400 days.
    """
    report = examine(os.environ) if config is None else _examine_service(config)
    show_report(report, as_json=as_json)
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def sandbox(
    host: Host = "127.0.0.1",
    port: Port = 8025,
    app_key: Annotated[str, typer.Option(help="What clients must send as their AppKey.")] = "sandbox",
    app_secret: Annotated[str, typer.Option(help="And as their AppSecret.")] = "sandbox-secret",  # noqa: S107
    access_key_id: Annotated[str, typer.Option(help="Whose signature Dysmsapi and Dyvmsapi take.")] = "sandbox",
    access_key_secret: Annotated[str, typer.Option(help="What it is made with.")] = "sandbox-secret",  # noqa: S107
    receipt_after: Annotated[float, typer.Option(help="Seconds until a message's receipt comes in.")] = 1.0,
    receipts_url: Annotated[
        str | None,
        typer.Option(
            help="Where receipts of Dysmsapi and Dyvmsapi are pushed; {provider} in it is dysmsapi or dyvmsapi."
        ),
    ] = None,
) -> None:
    """Run a local gateway that sends nothing and shows every message on a page, until Ctrl-C."""
    from otpkit.sandbox import Address, Sandbox, serve

    def ready(listening: Address) -> None:
        address = Address(_reachable(listening.host), listening.port)
        variables = {
            "OTPKIT_GATEWAY": "alidayu",
            "OTPKIT_ALIDAYU_BASE_URL": address.gateway_url,
            "OTPKIT_ALIDAYU_APP_KEY": app_key,
            "OTPKIT_ALIDAYU_APP_SECRET": app_secret,
        }
        typer.echo(f"Inbox: {address.base_url}/")
        typer.echo(f"Dysmsapi and Dyvmsapi: {address.base_url}, with the access key {shlex.quote(access_key_id)}")
        typer.echo("Any template and signature are accepted. To use it with Alidayu's calls:\n")
        for name, value in variables.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        _warn_if_open(host)

    local = Sandbox(
        app_key=app_key,
        app_secret=app_secret,
        access_key_id=access_key_id,
        access_key_secret=access_key_secret,
        receipt_after=receipt_after,
        receipts_url=receipts_url,
    )
    serve(local, host, port, on_ready=ready)


@app.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(envvar="PORT", help="The port to listen on; 0 takes a free one.", show_default="8000")
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C; GET /openapi.json describes it.

    Beside the settings of the other commands it needs API keys, in FILE or OTPKIT_API_KEYS.
    """
    from otpkit.service.command import run
    from otpkit.service.settings import read_settings

    settings = read_settings(os.environ, config)
    run(
        settings,
        settings.host if host is None else host,
        settings.port if port is None else port,
        lambda url: typer.echo(f"Listening on {url}"),
    )


@app.command()
def demo(
    check: Annotated[bool, typer.Option("--check", help="Do it all at once, say what happens, and end.")] = False,
    host: Host = "127.0.0.1",
    port: Port = 8025,
) -> None:
    """Show what otpkit does, with a local gateway and an embedded store: a sign-up page, until Ctrl-C."""
    from otpkit.cli.demo import serve_page, tell_story

    if check:
        tell_story(typer.echo)
    else:
        _warn_if_open(host)
        serve_page(typer.echo, host, port)


def _configured() -> OTP:
    if os.environ.get("OTPKIT_REDIS_URL", "").strip() == MEMORY_URL:
        raise ConfigurationError(
            f"OTPKIT_REDIS_URL is {MEMORY_URL}, which forgets the code as soon as the command ends; "
            "name a Redis server, such as redis://localhost:6379/0."
        )
    return OTP.from_env()


def _examine_service(config: str) -> Report:
    from otpkit.service.settings import read_settings, read_variables

    try:
        read_settings(os.environ, config)
    except ConfigurationError as error:
        said = " ".join(line.removeprefix("- ") for line in str(error).splitlines())
        finding = Finding("service", "problem", said, f"Correct {config}, or the environment, which overrides it.")
    else:
        finding = Finding("service", "ok", f"`otpkit serve` starts with {config}.")
    return Report((*examine(read_variables(os.environ, config, [])).findings, finding))


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter("write --param NAME=VALUE")
    return name, value


def _read_code() -> str:
    if sys.stdin.isatty():
        code: str = typer.prompt("Code", hide_input=True, err=True)
        return code
    return sys.stdin.readline().strip()


def _reachable(host: str) -> str:
    """Return where a server can be reached from this machine that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _warn_if_open(host: str) -> None:
    try:
        is_open = not ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_open = host != "localhost"
    if is_open:
        typer.echo(f"Mind that whoever can reach {host} can read every code.", err=True)


def _line(error: OTPError) -> str:
    return f"{error}" if error.retry_after is None else f"{error} Retry after {error.retry_after} s."


def _careful(error: Exception) -> str:
    """Return a usage error's text without surplus arguments, and without digits: they may be of a phone or a code."""
    text: str = error.format_message()  # type: ignore[attr-defined]
    text = re.sub(r"\d", "*", re.sub(r" \(.*\)", "", " ".join(text.split())))
    return f"{text.rstrip('.')}. Try: otpkit --help"


def _fail(line: str, status: int) -> int:
    typer.echo(f"otpkit: {line}", err=True)
    return status
