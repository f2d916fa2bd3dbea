"""The gateways, and the values that they speak in."""

from otpkit.gateways.acs3 import Credentials
from otpkit.gateways.alidayu import Alidayu, SmsDetail, SmsDetailPage
from otpkit.gateways.aliyun import Aliyun, SendDetail, SendDetailPage
from otpkit.gateways.aliyun_voice import AliyunVoice, CallDetail
from otpkit.gateways.base import Delivery, FunctionGateway, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.failover import Failover, Route

__all__ = [
    "Alidayu",
    "Aliyun",
    "AliyunVoice",
    "CallDetail",
    "Credentials",
    "Delivery",
    "Failover",
    "FunctionGateway",
    "Gateway",
    "Message",
    "Push",
    "Receipt",
    "Receipts",
    "Route",
    "SendDetail",
    "SendDetailPage",
    "SmsDetail",
    "SmsDetailPage",
]
