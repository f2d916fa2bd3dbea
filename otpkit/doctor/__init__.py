"""The doctor: read the settings, connect to Redis and the gateway, and report problems with their remedies.

`probe` asks the questions. `server` and `settings` interpret the answers; they are pure functions.
"""

from __future__ import annotations

from otpkit.doctor.examination import examine
from otpkit.doctor.findings import Finding, Report

__all__ = ["Finding", "Report", "examine"]
