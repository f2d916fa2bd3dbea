"""The commands that serve until Ctrl-C: the local gateway, the HTTP API, and the demo."""

from __future__ import annotations

import ipaddress
import os
import shlex
from typing import Annotated

import typer

from otpkit.cli.configured import require_settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Config = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A TOML file with settings. The environment overrides it.", show_default=False),
]
Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(envvar="PORT", help="The port to listen on. 0 picks a free one.")]


def sandbox(
    host: Host = "127.0.0.1",
    port: Port = 8025,
    app_key: Annotated[str, typer.Option(help="The AppKey of Alidayu's clients.")] = "sandbox",
    app_secret: Annotated[str, typer.Option(help="The AppSecret of Alidayu's clients.")] = "sandbox-secret",  # noqa: S107
    access_key_id: Annotated[
        str, typer.Option(help="The access key of Dysmsapi and Dyvmsapi, and the SecretId of Tencent Cloud.")
    ] = "sandbox",
    access_key_secret: Annotated[str, typer.Option(help="The secret of the access key.")] = "sandbox-secret",  # noqa: S107
    account_sid: Annotated[
        str, typer.Option(help="Twilio's account SID. With SK in place of AC, it is an API key.")
    ] = "ACsandbox",
    auth_token: Annotated[str, typer.Option(help="Twilio's auth token, and the API key's secret.")] = "sandbox-secret",  # noqa: S107
    receipt_after: Annotated[float, typer.Option(help="Seconds from a message to its receipt.")] = 1.0,
    receipts_url: Annotated[
        str | None,
        typer.Option(
            help="The URL to push receipts of Dysmsapi, Dyvmsapi and Tencent Cloud to. {provider} in it is replaced by "
            "dysmsapi, dyvmsapi or tencent. Twilio's receipts go to the StatusCallback of each request."
        ),
    ] = None,
) -> None:
    """Run a local gateway that sends nothing and shows every message on a page. Stop it with Ctrl-C."""
    from otpkit.sandbox import Address, Sandbox, serve

    def ready(listening: Address) -> None:
        address = Address(reachable(listening.host), listening.port)
        variables = {
            "OTPKIT_GATEWAY": "alidayu",
            "OTPKIT_ALIDAYU_BASE_URL": address.gateway_url,
            "OTPKIT_ALIDAYU_APP_KEY": app_key,
            "OTPKIT_ALIDAYU_APP_SECRET": app_secret,
        }
        typer.echo(f"Inbox: {address.base_url}/")
        typer.echo(f"Dysmsapi and Dyvmsapi: {address.base_url}, with the access key {shlex.quote(access_key_id)}")
        typer.echo(f"Tencent Cloud: {address.base_url}, with the same key as its SecretId")
        typer.echo(f"Twilio: {address.base_url}, with the account {shlex.quote(account_sid)}")
        typer.echo("Any template and signature are accepted. To use it as Alidayu:\n")
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
        int | None, typer.Option(envvar="PORT", help="The port to listen on. 0 picks a free one.", show_default="8000")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="The number of processes that serve.", show_default="1")
    ] = None,
) -> None:
    """Serve the HTTP API until SIGTERM or Ctrl-C. GET /openapi.json describes the API.

    Tables in FILE open more: [operators.NAME] the console, [twilio_verify.NAME] a door for clients of Twilio Verify,
    [hooks.NAME] one for systems that make their own codes, such as Supabase Auth.

    It needs the settings of the other commands, and API keys, in FILE or OTPKIT_API_KEYS. SIGHUP makes it read FILE,
    and files with secrets, again: requests go on, and wrong settings change nothing. It has no TLS.
    """
    from otpkit.service.command import run
    from otpkit.settings import read_settings

    if config is None:
        require_settings(
            "Set an API key in OTPKIT_API_KEYS, or write all settings to a file: otpkit serve --config otpkit.toml."
        )
    status = run(
        lambda: read_settings(os.environ, config, serves=True),
        lambda url: typer.echo(f"Listening on {url}"),
        host=host,
        port=port,
        workers=workers,
    )
    raise typer.Exit(status)


def demo(
    check: Annotated[bool, typer.Option("--check", help="Run all steps, print the results, and exit.")] = False,
    host: Host = "127.0.0.1",
    port: Port = 8025,
) -> None:
    """Show otpkit with a local gateway and an embedded store: a sign-up page. Stop it with Ctrl-C."""
    from otpkit.cli.demo import run_steps, serve_page

    if check:
        run_steps(typer.echo)
    else:
        _warn_if_open(host)
        serve_page(typer.echo, host, port)


def reachable(host: str) -> str:
    """Return the address at which this machine can reach a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _warn_if_open(host: str) -> None:
    try:
        is_open = not ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_open = host != "localhost"
    if is_open:
        typer.echo(f"Warning: anyone who can reach {host} can read every code.", err=True)
