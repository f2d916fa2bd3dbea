"""Listeners for `OTP(listeners=[…])`: they pass events on to logs, metrics and other servers.

A listener is a function that is called with every `Event`. Those here are imported when they are first used, because
some need an extra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_modules: dict[str, str] = {}


def _lazy(module: str, *names: str) -> bool:
    """Register public names that are imported from a module on first use."""
    _modules.update(dict.fromkeys(names, module))
    return False


# The registry, one entry for each module. Type checkers read the imports; at run time only the names are registered.
if TYPE_CHECKING or _lazy("otpkit.core.config", "Listener"):
    from otpkit.core.config import Listener as Listener
if TYPE_CHECKING or _lazy("otpkit.telemetry.log", "LogListener"):
    from otpkit.telemetry.log import *
if TYPE_CHECKING or _lazy("otpkit.telemetry.opentelemetry", "OpenTelemetryListener"):
    from otpkit.telemetry.opentelemetry import *
if TYPE_CHECKING or _lazy("otpkit.telemetry.prometheus", "PrometheusListener"):
    from otpkit.telemetry.prometheus import *
if TYPE_CHECKING or _lazy("otpkit.telemetry.queue", "QueuedListener"):
    from otpkit.telemetry.queue import QueuedListener as QueuedListener
if TYPE_CHECKING or _lazy("otpkit.telemetry.webhook", "WebhookListener"):
    from otpkit.telemetry.webhook import *

__all__ = sorted(_modules, key=lambda name: (name[0].islower(), name))  # noqa: PLE0605 - type checkers read the imports


if not TYPE_CHECKING:  # With a module `__getattr__`, a type checker would accept any name.

    def __getattr__(name: str) -> Any:
        if name not in _modules:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_modules[name]), name)
        globals()[name] = value
        return value
