"""The commands that serve until Ctrl-C: the local gateway, the HTTP API, the demonstration."""

from __future__ import annotations

import ipaddress
import os
import shlex
from typing import Annotated

import typer

from otpkit.cli.configured import require_settings

Config = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="A TOML file with the settings; the environment overrides it.", show_default=False
    ),
]
Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(envvar="PORT", help="The port to listen on; 0 takes a free one.")]


def sandbox(
    host: Host = "127.0.0.1",
    port: Port = 8025,
    app_key: Annotated[str, typer.Option(help="What clients must send as their AppKey.")] = "sandbox",
    app_secret: Annotated[str, typer.Option(help="And as their AppSecret.")] = "sandbox-secret",  # noqa: S107
    access_key_id: Annotated[
        str, typer.Option(help="Whose signature Dysmsapi, Dyvmsapi and Tencent Cloud take.")
    ] = "sandbox",
    access_key_secret: Annotated[str, typer.Option(help="What it is made with.")] = "sandbox-secret",  # noqa: S107
    account_sid: Annotated[str, typer.Option(help="The account of Twilio; SK in place of AC is an API key.")] = (
        "ACsandbox"
    ),
    auth_token: Annotated[str, typer.Option(help="Its auth token, and its API key's secret.")] = "sandbox-secret",  # noqa: S107
    receipt_after: Annotated[float, typer.Option(help="Seconds until a message's receipt comes in.")] = 1.0,
    receipts_url: Annotated[
        str | None,
        typer.Option(
            help="Where receipts of Dysmsapi, Dyvmsapi and Tencent Cloud are pushed; {provider} in it is dysmsapi, "
            "dyvmsapi or tencent. Twilio's go to the StatusCallback of each request."
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
        typer.echo(f"Tencent Cloud: {address.base_url}, with the same as its SecretId")
        typer.echo(f"Twilio: {address.base_url}, with the account {shlex.quote(account_sid)}")
        typer.echo("Any template and signature are accepted. To use it with Alidayu's calls:\n")
        for name, value in variables.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        _warn_if_open(host)

    local = Sandbox(
        app_key=app_key,
        app_secret=app_secret,
        access_key_id=access_key_id,
        access_key_secret=access_key_secret,
        account_sid=account_sid,
        auth_token=auth_token,
        receipt_after=receipt_after,
        receipts_url=receipts_url,
    )
    serve(local, host, port, on_ready=ready)


def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(envvar="PORT", help="The port to listen on; 0 takes a free one.", show_default="8000")
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C; GET /openapi.json describes it.

    Beside the settings of the other commands it needs API keys, in FILE or OTPKIT_API_KEYS. Settings are read at the
    start alone: SIGHUP, SIGUSR1 and SIGUSR2 are ignored.
    """
    from otpkit.service.command import run
    from otpkit.settings import read_settings

    if config is None:
        require_settings(
            "Add an API key in OTPKIT_API_KEYS; or write it all in a file: otpkit serve --config otpkit.toml."
        )
    settings = read_settings(os.environ, config, serves=True)
    run(
        settings,
        settings.service.host if host is None else host,
        settings.service.port if port is None else port,
        lambda url: typer.echo(f"Listening on {url}"),
    )


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
