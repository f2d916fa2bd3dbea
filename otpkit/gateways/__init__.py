"""The gateways, and the values that they speak in."""

from otpkit.gateways.alidayu import Alidayu, SmsDetail, SmsDetailPage
from otpkit.gateways.base import Delivery, FunctionGateway, Gateway, Message, Receipt

__all__ = ["Alidayu", "Delivery", "FunctionGateway", "Gateway", "Message", "Receipt", "SmsDetail", "SmsDetailPage"]
