"""The gateway of Twilio."""

from otpkit.gateways.twilio.gateway import Twilio

__all__ = ["Twilio"]
