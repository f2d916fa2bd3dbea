"""What a check found, in plain words, and what to do about it. No text holds a secret, a code or a whole number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from otpkit.errors import OTPError

Status = Literal["ok", "warning", "problem"]
_SEVERITY: dict[Status, int] = {"ok": 0, "warning": 1, "problem": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `remedy` is "" where there is nothing to do.

    A `problem` keeps otpkit from working, or from keeping its promises; a `warning` is a choice to be made knowingly.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order of the checks. A check that needs what another one misses is left out."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem; there may be warnings."""
        return self.count("problem") == 0

    def count(self, status: Status) -> int:
        """Return how many findings have this status."""
        return sum(finding.status == status for finding in self.findings)


def refused(name: str, error: OTPError, remedy: str) -> Finding:
    """Return the problem that one of our errors tells; `remedy` is for one that names none."""
    return Finding(name, "problem", error.problem, error.remedy or remedy)


def worst(findings: Sequence[tuple[str, Finding]]) -> Finding:
    """Return the worst of what one check found at several servers, by the servers' names; the first of equals."""
    place, chosen = max(findings, key=lambda each: _SEVERITY[each[1].status])
    alike = sum(finding.status == chosen.status for _, finding in findings)
    if len(findings) == 1:
        return chosen
    where = f"{place} (and {alike - 1} more like it)" if alike > 1 else place
    return Finding(chosen.name, chosen.status, f"{where}: {chosen.found}", chosen.remedy)
