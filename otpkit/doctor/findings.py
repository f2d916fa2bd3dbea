"""The results of checks, with remedies. No text contains a secret, a code or a whole phone number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from otpkit.errors import OTPError

Status = Literal["ok", "warning", "problem"]
_SEVERITY: dict[Status, int] = {"ok": 0, "warning": 1, "problem": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `remedy` is "" if nothing needs to be done.

    A `problem` stops otpkit from working or breaks a promise of otpkit. A `warning` is a risk to decide on.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order of the checks. A check is omitted if something that it needs is missing."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if there is no problem. There may be warnings."""
        return self.count("problem") == 0

    def count(self, status: Status) -> int:
        """Return the number of findings with this status."""
        return sum(finding.status == status for finding in self.findings)


def refused(name: str, error: OTPError, remedy: str) -> Finding:
    """Return an otpkit error as a problem. `remedy` is used if the error has none."""
    return Finding(name, "problem", error.problem, error.remedy or remedy)


def worst(findings: Sequence[tuple[str, Finding]]) -> Finding:
    """Return the worst finding of one check on several servers, the first if several are equal.

    Args:
        findings: pairs of a server's name and its finding.
    """
    place, chosen = max(findings, key=lambda each: _SEVERITY[each[1].status])
    alike = sum(finding.status == chosen.status for _, finding in findings)
    if len(findings) == 1:
        return chosen
    where = f"{place} (and {alike - 1} more like it)" if alike > 1 else place
    return Finding(chosen.name, chosen.status, f"{where}: {chosen.found}", chosen.remedy)
