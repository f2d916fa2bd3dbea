"""The command `healthcheck`, for the HEALTHCHECK of an image and for scripts."""

from __future__ import annotations

import os
from http.client import HTTPConnection, HTTPException
from typing import Annotated, Final

import typer

from otpkit.cli.failures import FINDING
from otpkit.cli.output import show
from otpkit.cli.serving import AsJson, Config, reachable

SECONDS: Final = 3.0


def healthcheck(
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask /readyz, which needs Redis, in place of /healthz.")
    ] = False,
    config: Config = None,
    host: Annotated[
        str | None, typer.Option(help="The address that the service listens on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(envvar="PORT", help="The port that the service listens on.", show_default="8000")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the service on this machine if it is healthy. The answer must come within 3 s.

    It finds the address as `otpkit serve` does: the options, PORT, FILE, 127.0.0.1 and 8000.

    Exit status: 0 if it is healthy, 1 if not, 2 for wrong usage or settings.
    """
    if host is None or port is None:
        from otpkit.settings.reading import read_service

        service = read_service(os.environ, config)
        host, port = service.host if host is None else host, service.port if port is None else port
    host = reachable(host)
    path = "/readyz" if ready else "/healthz"
    url = f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"
    problem = _problem(host, port, path)
    if problem is None or as_json:
        title = f"Healthy: {url}"
        show(title, {"healthy": problem is None, "url": url, "problem": problem}, as_json=as_json)
    if problem is not None:
        typer.echo(f"otpkit: {url} {problem}", err=True)
        raise typer.Exit(FINDING)


def _problem(host: str, port: int, path: str) -> str | None:
    """Return what is wrong with the answer of a service, and a remedy, or None if it is healthy."""
    connection = HTTPConnection(host, port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except TimeoutError:
        return f"does not answer within {SECONDS:g} s. Check its log and the load of the machine."
    except (OSError, HTTPException, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return f"can't be asked: {reason}. Check that `otpkit serve` runs, and its host and port."
    finally:
        connection.close()
    if status == 200:
        return None
    remedy = "Check Redis and its URL." if status == 503 else "Check that `otpkit serve` listens on this port."
    return f"answers with the status {status}. {remedy}"
