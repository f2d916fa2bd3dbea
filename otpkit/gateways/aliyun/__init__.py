"""The gateways of Alibaba Cloud's SMS and voice services."""

from otpkit.gateways.aliyun.gateway import Aliyun
from otpkit.gateways.aliyun.responses import SendDetail, SendDetailPage

__all__ = ["Aliyun", "SendDetail", "SendDetailPage"]
