"""A local gateway that speaks the providers' wire formats, for development and tests. It never sends anything.

`Sandbox` holds the rules and the messages. It needs only the standard library. `running` and `serve` put it on a
socket, with an inbox page at `/` and a JSON interface under `/api`. `/api/events` is a stream of server-sent events.
The server needs the extra `otpkit[sandbox]`.

Paths: Alidayu's calls are under `/gw/alidayu`, Twilio's under `/2010-04-01`. Dysmsapi, Dyvmsapi and Tencent Cloud are
at `/`, like the inbox; a request that names a call goes to the provider. Receipts are pushed while `running` or `serve`
runs.

The captchas are verified at their documented paths. `Sandbox.solve_captcha` and `POST /api/captchas` make right
answers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from otpkit.errors import ConfigurationError
from otpkit.sandbox.captchas import SolvedCaptcha
from otpkit.sandbox.faults import Fault
from otpkit.sandbox.messages import Message
from otpkit.sandbox.state import Sandbox

if TYPE_CHECKING:
    from otpkit.sandbox.app import create_app
    from otpkit.sandbox.server import Address, running, serve

__all__ = ["Address", "Fault", "Message", "Sandbox", "SolvedCaptcha", "create_app", "running", "serve"]

# Imported on first use: the rules must work without a web server installed.
_LAZY = {
    "Address": "otpkit.sandbox.server",
    "create_app": "otpkit.sandbox.app",
    "running": "otpkit.sandbox.server",
    "serve": "otpkit.sandbox.server",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_LAZY[name])
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("otpkit"):
            raise
        raise ConfigurationError(
            f"The sandbox's server needs {missing.name!r}, which is not installed.",
            "Run: pip install 'otpkit[sandbox]'.",
        ) from missing
    return getattr(module, name)
