"""A local gateway that speaks the providers' wire format, for development and tests: nothing is ever sent.

`Sandbox` holds the rules and the messages and needs nothing but the standard library. `running` and `serve`
put it on a socket, with an inbox page at `/` and a JSON interface under `/api`, where `/api/events` tells of what
happens as it happens; they need the extra `otpkit[sandbox]`. Alidayu's calls are under `/gw/alidayu`, Twilio's under
`/2010-04-01`, those of Dysmsapi, Dyvmsapi and Tencent Cloud at `/`, where the call that a request names tells it from
a visit to the inbox. Receipts are pushed as long as `running` or `serve` runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from otpkit.errors import ConfigurationError
from otpkit.sandbox.faults import Fault
from otpkit.sandbox.messages import Message
from otpkit.sandbox.state import Sandbox

if TYPE_CHECKING:
    from otpkit.sandbox.app import create_app
    from otpkit.sandbox.server import Address, running, serve

__all__ = ["Address", "Fault", "Message", "Sandbox", "create_app", "running", "serve"]

# Imported when first used, so that the rules can be used where no web server is installed.
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
