"""The gateways, the values that they speak in, and what the author of a gateway needs.

A provider's module is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

_modules: dict[str, str] = {}
CLASSES: Final[dict[str, str]] = {}
"""The gateways that settings can name, and their classes."""


def _lazy(module: str, *names: str) -> bool:
    """Have public names imported from a module here when they are first asked for."""
    _modules.update(dict.fromkeys(names, module))
    return False


def _gateway(module: str, name: str, *names: str) -> bool:
    """Same as `_lazy`, for a gateway that settings can name: its class comes first."""
    CLASSES[module.replace(".", "-")] = name
    return _lazy(f"{__name__}.{module}", name, *names)


# The registry, one entry for each module. Type checkers read the import, Python the names. Settings show this order.
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
):  # It takes any number of URLs, which no setting can say.
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


if not TYPE_CHECKING:  # They would take any name for one of ours.

    def __getattr__(name: str) -> Any:
        if name not in _modules:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_modules[name]), name)
        globals()[name] = value
        return value
