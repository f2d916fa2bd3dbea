"""The public import path of `AliyunVoice`. Its code is in `otpkit.gateways.aliyun.voice`."""

from otpkit.gateways.aliyun.voice import AliyunVoice, CallDetail

__all__ = ["AliyunVoice", "CallDetail"]
