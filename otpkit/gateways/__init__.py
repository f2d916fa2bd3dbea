"""The gateways, the values that they speak in, and what the author of a gateway needs.

A provider's module is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otpkit.effects import Flow, HttpRequest, HttpResponse
from otpkit.gateways.base import Delivery, FunctionGateway, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.failover import Failover, Route

if TYPE_CHECKING:
    from otpkit.gateways.alidayu import Alidayu, SmsDetail, SmsDetailPage
    from otpkit.gateways.aliyun import Aliyun, SendDetail, SendDetailPage
    from otpkit.gateways.aliyun.voice import AliyunVoice, CallDetail
    from otpkit.gateways.apprise import Apprise
    from otpkit.gateways.console import Console
    from otpkit.gateways.credentials import Credentials
    from otpkit.gateways.provider import Provider, json_object, message_id
    from otpkit.gateways.tencent import Tencent
    from otpkit.gateways.twilio import Twilio
    from otpkit.gateways.webhook import Webhook, verify_webhook

__all__ = [
    "Alidayu",
    "Aliyun",
    "AliyunVoice",
    "Apprise",
    "CallDetail",
    "Console",
    "Credentials",
    "Delivery",
    "Failover",
    "Flow",
    "FunctionGateway",
    "Gateway",
    "HttpRequest",
    "HttpResponse",
    "Message",
    "Provider",
    "Push",
    "Receipt",
    "Receipts",
    "Route",
    "SendDetail",
    "SendDetailPage",
    "SmsDetail",
    "SmsDetailPage",
    "Tencent",
    "Twilio",
    "Webhook",
    "json_object",
    "message_id",
    "verify_webhook",
]

# Each module that is imported when it is first asked for, and its public names: a line for each provider.
_NAMES = {
    "alidayu": ("Alidayu", "SmsDetail", "SmsDetailPage"),
    "aliyun": ("Aliyun", "SendDetail", "SendDetailPage"),
    "aliyun.voice": ("AliyunVoice", "CallDetail"),
    "apprise": ("Apprise",),
    "console": ("Console",),
    "credentials": ("Credentials",),
    "provider": ("Provider", "json_object", "message_id"),
    "tencent": ("Tencent",),
    "twilio": ("Twilio",),
    "webhook": ("Webhook", "verify_webhook"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
