"""The import path of `AliyunVoice`; its code is in `otpkit.gateways.aliyun.voice`."""

from otpkit.gateways.aliyun.voice import AliyunVoice, CallDetail

__all__ = ["AliyunVoice", "CallDetail"]
