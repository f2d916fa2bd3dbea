"""Examine the audit: whether it keeps its entries for as long as the policy says."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from otpkit import OTP
from otpkit.core.scripts.audit import LENGTH
from otpkit.doctor.findings import Finding
from otpkit.environment import ARGUMENTS
from otpkit.errors import OTPError
from otpkit.store.url import MEMORY_URL

if TYPE_CHECKING:
    from otpkit.settings import Reading


def examine_audit(reading: Reading) -> list[Finding]:
    """Return the finding about the audit's length, or none if it can't be read: another check reports why."""
    if any(map(reading.of_part, ARGUMENTS)) or reading.otp.get("redis") == MEMORY_URL:
        return []
    with suppress(OTPError), OTP(**reading.otp) as otp:
        found = otp.audit(limit=1)
        days = otp.policy.audit_days
        if not found.is_capped:
            return [Finding("audit", "ok", f"It keeps each entry for {days} days.")]
        oldest = "" if found.oldest is None else f" The oldest is of {found.oldest.date()}."
        problem = f"It has reached its greatest length, {LENGTH} entries: older ones leave before {days} days.{oldest}"
        remedy = "Copy it regularly (`otpkit audit --json --since 1d --limit 10000`), and look at what fills it."
        return [Finding("audit", "warning", problem, remedy)]
    return []
