"""The gateway of Tencent Cloud's SMS service."""

from otpkit.gateways.tencent.gateway import Tencent

__all__ = ["Tencent"]
