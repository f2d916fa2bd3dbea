"""The gateways, and the values that they speak in."""

from otpkit.gateways.alidayu import Alidayu, SmsDetail, SmsDetailPage
from otpkit.gateways.base import Delivery, FunctionGateway, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.failover import Failover, Route

__all__ = [
    "Alidayu",
    "Delivery",
    "Failover",
    "FunctionGateway",
    "Gateway",
    "Message",
    "Push",
    "Receipt",
    "Receipts",
    "Route",
    "SmsDetail",
    "SmsDetailPage",
]
