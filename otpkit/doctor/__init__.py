"""The doctor: reads what a deployment is set up with, connects to it, and says what is wrong and what to do.

What is asked (`probe`) is apart from what it means (`server`, `settings`): the latter are pure functions.
"""

from __future__ import annotations

from otpkit.doctor.examination import examine
from otpkit.doctor.findings import Finding, Report

__all__ = ["Finding", "Report", "examine"]
