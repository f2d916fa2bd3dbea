"""The gateways, their values, and the parts from which a custom gateway is built.

A provider's module is imported when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

_modules: dict[str, str] = {}
CLASSES: Final[dict[str, str]] = {}
"""Gateway names, as in settings, mapped to the names of their classes."""


def _lazy(module: str, *names: str) -> bool:
    """Register public names that are imported from a module on first use."""
    _modules.update(dict.fromkeys(names, module))
    return False


def _gateway(module: str, name: str, *names: str) -> bool:
    """Register a gateway that settings can name. The name of its class comes first, then its other public names."""
    CLASSES[module.replace(".", "-")] = name
    return _lazy(f"{__name__}.{module}", name, *names)


# The registry, one entry for each module. Type checkers read the imports; at run time only the names are registered.
# Settings list the gateways in this order.
if TYPE_CHECKING or _gateway("alidayu", "Alidayu", "SmsDetail", "SmsDetailPage"):
    from otpkit.gateways.alidayu import *
if TYPE_CHECKING or _gateway("aliyun", "Aliyun", "SendDetail", "SendDetailPage"):
    from otpkit.gateways.aliyun import *
if TYPE_CHECKING or _gateway("aliyun.voice", "AliyunVoice", "CallDetail"):
    from otpkit.gateways.aliyun.voice import *
if TYPE_CHECKING or _gateway("tencent", "Tencent"):
    from otpkit.gateways.tencent import *
if TYPE_CHECKING or _gateway("twilio", "Twilio"):
    from otpkit.gateways.twilio import *
if TYPE_CHECKING or _gateway("webhook", "Webhook", "verify_webhook"):
    from otpkit.gateways.webhook import *
if TYPE_CHECKING or _gateway("console", "Console"):
    from otpkit.gateways.console import *
if TYPE_CHECKING or _lazy(
    "otpkit.gateways.apprise", "Apprise"
):  # Its constructor takes any number of URLs, which a setting cannot express.
    from otpkit.gateways.apprise import *
if TYPE_CHECKING or _lazy("otpkit.gateways.credentials", "Credentials"):
    from otpkit.gateways.credentials import *
if TYPE_CHECKING or _lazy("otpkit.gateways.provider", "Provider", "json_object", "message_id"):
    from otpkit.gateways.provider import *
if TYPE_CHECKING or _lazy("otpkit.gateways.failover", "Failover", "Route"):
    from otpkit.gateways.failover import *
if TYPE_CHECKING or _lazy(
    "otpkit.gateways.base", "Delivery", "FunctionGateway", "Gateway", "Message", "Push", "Receipt", "Receipts"
):
    from otpkit.gateways.base import *
if TYPE_CHECKING or _lazy("otpkit.effects", "Flow", "HttpRequest", "HttpResponse"):
    from otpkit.effects import Flow as Flow
    from otpkit.effects import HttpRequest as HttpRequest
    from otpkit.effects import HttpResponse as HttpResponse

__all__ = sorted(_modules, key=lambda name: (name[0].islower(), name))  # noqa: PLE0605 - type checkers read the imports


if not TYPE_CHECKING:  # With a module `__getattr__`, a type checker would accept any name.

    def __getattr__(name: str) -> Any:
        if name not in _modules:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_modules[name]), name)
        globals()[name] = value
        return value
