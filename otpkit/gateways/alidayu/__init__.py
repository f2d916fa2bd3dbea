"""The gateway of Alidayu (阿里云大鱼)."""

from otpkit.gateways.alidayu.gateway import Alidayu
from otpkit.gateways.alidayu.responses import SmsDetail, SmsDetailPage

__all__ = ["Alidayu", "SmsDetail", "SmsDetailPage"]
