"""Helpers for the tests of the doctor: an environment to examine, and its findings."""

from __future__ import annotations

import re
from typing import Any

from otpkit.doctor import Finding, examine
from otpkit.doctor.probe import facts
from otpkit.doctor.server import examine_server

SECRET = "a-secret-that-no-finding-may-ever-show-0123456789"
OTHER = "another-secret-that-no-finding-may-show-987654321"


def settings_of(url: str, **variables: str) -> dict[str, Finding]:
    """Examine an environment with a store and secrets only. Return the findings by name."""
    left_out = set() if any(name.startswith("guard") for name in variables) else {"guard"}
    named = {f"OTPKIT_{name.upper()}": value for name, value in variables.items()}
    report = examine({"OTPKIT_REDIS_URL": url, "OTPKIT_SECRET": SECRET} | named)
    assert not re.search(rf"{SECRET}|{OTHER}|13000000000", repr(report))
    return {
        finding.name: finding for finding in report.findings if finding.name not in {"template", "gateway", *left_out}
    }


def found_of(client: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine_server(facts(client))}
