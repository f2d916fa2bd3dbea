"""`otpkit console` and `otpkit operator-key`: the console alone, and the keys of those who use it."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
from hashlib import sha256
from typing import Annotated, Final

import typer

from otpkit.cli.configured import require_settings
from otpkit.cli.serving import AsJson, Config
from otpkit.errors import ConfigurationError
from otpkit.store.url import MEMORY_URL

KEY_BYTES: Final = 32  # of a random secret or key
_LOCAL: Final = "local"  # the name of the operator that is made for one run


def console(
    config: Config = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", help="The port to listen on. 0 picks a free one.")] = 8001,
) -> None:
    """Serve the console for operators alone, until SIGTERM or Ctrl-C.

    It shows what `otpkit serve` shows at /console: figures, spending, attacks, the standing of a number, gateways and
    the audit. Those who may use it are in [operators.NAME] of FILE, or in OTPKIT_OPERATORS. If there are none, it
    prints a key for this run; then it listens on this machine alone.
    """
    from otpkit.service.command import run_console
    from otpkit.settings import Operator, read_settings

    if config is None:
        require_settings()
    settings = read_settings(os.environ, config)
    if settings.otp["redis"] == MEMORY_URL:
        raise ConfigurationError(
            f"OTPKIT_REDIS_URL is {MEMORY_URL}, which no other process can use.",
            "Set it to a Redis server, such as redis://localhost:6379/0.",
        )
    operators, key = settings.operators, ""
    if not operators:
        if not _is_loopback(host):
            raise ConfigurationError(
                f"There is no operator, so nobody could sign in to the console on {host}.",
                "Run `otpkit operator-key NAME` and add what it prints to the settings.",
            )
        key = secrets.token_urlsafe(KEY_BYTES)
        operators = (Operator(_LOCAL, sha256(key.encode()).digest(), "operator"),)

    def ready(url: str) -> None:
        typer.echo(f"Console: {url}")
        if key:
            typer.echo(f"Sign in with the key of this run: {key}")
        else:
            names = ", ".join(f"{each.name} ({each.role})" for each in operators)
            typer.echo(f"Sign in with the key of one of: {names}")

    run_console(settings, operators, host, port, ready)


def operator_key(
    name: Annotated[str, typer.Argument(help="The operator's name, which the audit shows.", show_default=False)],
    role: Annotated[str, typer.Option(help="viewer (may look) or operator (may act).")] = "operator",
    as_json: AsJson = False,
) -> None:
    """Print a new key for an operator of the console, and the settings that accept it.

    Give the key to that person alone. The settings hold only its SHA-256.
    """
    from otpkit.settings import Operator

    key = secrets.token_urlsafe(KEY_BYTES)
    digest = sha256(key.encode()).hexdigest()
    operator = Operator.of_digest(name, digest, role)
    if as_json:
        typer.echo(json.dumps({"name": name, "role": role, "key": key, "key_sha256": digest}))
        return
    typer.echo(f"Key: {key}\n")
    typer.echo(f'[operators."{operator.name}"]' if "." in operator.name else f"[operators.{operator.name}]")
    typer.echo(f'key_sha256 = "{digest}"')
    typer.echo(f'role = "{operator.role}"')


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
