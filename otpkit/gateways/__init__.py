"""The gateways, and the values that they speak in."""

from otpkit.gateways.alidayu import Alidayu, SmsDetail, SmsDetailPage
from otpkit.gateways.base import Delivery, FunctionGateway, Gateway, Message, Push, Receipt, Receipts

__all__ = [
    "Alidayu",
    "Delivery",
    "FunctionGateway",
    "Gateway",
    "Message",
    "Push",
    "Receipt",
    "Receipts",
    "SmsDetail",
    "SmsDetailPage",
]
