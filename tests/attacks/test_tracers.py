"""Sentry and OpenTelemetry record neither a code nor a number: in breadcrumbs, spans, and errors with their frames."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NUMBER = "13800138000"
SHELLS = ("OTP", "AsyncOTP on threads", "AsyncOTP by aiohttp")
GATEWAYS = ("alidayu", "aliyun", "aliyun-voice", "tencent", "twilio", "webhook", "apprise", "apprise-query")
CASES = [f"{name} {how} {shell}" for name in GATEWAYS for how in ("served", "failed", "dropped") for shell in SHELLS]


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    """Return the records of a process that makes every call."""
    script = Path(__file__).with_name("traced_calls.py")
    tests = script.parents[1]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tests, tests / "gateways")))}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def needles(recorded: dict[str, Any], case: str) -> list[str]:
    """Return the codes and the number that occur in a case's records, without the records."""
    texts = [*recorded["cases"][case]["sentry"], *recorded["cases"][case]["spans"]]
    return [where for where in (NUMBER, *recorded["codes"]) if any(where in text for text in texts)]


@pytest.mark.parametrize("case", CASES)
def test_no_gateway_shows_code_or_number_to_tracers(recorded: dict[str, Any], case: str) -> None:
    """This holds for any use of the URL by the gateway, and for any end of the exchange."""
    found = recorded["cases"][case]
    assert found["requests"] > 0
    assert needles(recorded, case) == []
    exchanges = [span for span in map(json.loads, found["spans"]) if span["kind"] == "SpanKind.CLIENT"]
    # Without spans the test would prove nothing.
    assert len(exchanges) == (0 if case.startswith("apprise") else found["requests"])
    # Sentry does not record a request by aiohttp that ended without an answer.
    is_shown = not case.startswith("apprise") and not case.endswith("dropped AsyncOTP by aiohttp")
    assert (json.dumps(found["sentry"]).count("http.method") > 0) is is_shown


@pytest.mark.parametrize("shell", SHELLS)
def test_no_error_report_shows_right_unused_code(recorded: dict[str, Any], shell: str) -> None:
    """Redis refuses every script, and each call's error is reported with the local variables of its frames."""
    found = recorded["cases"][f"no permission {shell}"]
    reports = [text for text in found["sentry"] if "ConfigurationError" in text]
    assert len(reports) == 8
    assert "otpkit/core/flows.py" in reports[0]  # The report has the frames and their places, without their variables.
    assert all("otpkit/frames.py" in text for text in reports)
    assert needles(recorded, f"no permission {shell}") == []
