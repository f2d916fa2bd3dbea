"""The HTTP service, for programs in other languages: `otpkit serve`, or `create_app` to mount it. Extra `service`."""

from otpkit.service.app import create_app
from otpkit.service.keys import ApiKey
from otpkit.service.metrics import Metrics

__all__ = ["ApiKey", "Metrics", "create_app"]
