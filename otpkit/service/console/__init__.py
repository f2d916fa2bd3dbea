"""The console for operators: pages with figures, the standing of numbers, the guard, the gateways and the audit."""

from otpkit.service.console.app import Console
from otpkit.service.console.operators import Operators

__all__ = ["Console", "Operators"]
