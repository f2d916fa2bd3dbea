"""The gateways, and the values that they speak in. A provider's module is imported when it is first asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otpkit.gateways.base import Delivery, FunctionGateway, Gateway, Message, Push, Receipt, Receipts

if TYPE_CHECKING:
    from otpkit.gateways.alidayu import Alidayu, SmsDetail, SmsDetailPage
    from otpkit.gateways.apprise import Apprise
    from otpkit.gateways.console import Console
    from otpkit.gateways.tencent import Tencent
    from otpkit.gateways.twilio import Twilio
    from otpkit.gateways.webhook import Webhook, verify_webhook

__all__ = [
    "Alidayu",
    "Apprise",
    "Console",
    "Delivery",
    "FunctionGateway",
    "Gateway",
    "Message",
    "Push",
    "Receipt",
    "Receipts",
    "SmsDetail",
    "SmsDetailPage",
    "Tencent",
    "Twilio",
    "Webhook",
    "verify_webhook",
]

_MODULES = {
    "Alidayu": "alidayu",
    "Apprise": "apprise",
    "Console": "console",
    "SmsDetail": "alidayu",
    "SmsDetailPage": "alidayu",
    "Tencent": "tencent",
    "Twilio": "twilio",
    "Webhook": "webhook",
    "verify_webhook": "webhook",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
