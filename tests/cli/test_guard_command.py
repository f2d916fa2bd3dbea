"""`otpkit guard`, in a process of its own: the report, and an operator's overrides."""

from __future__ import annotations

import json

import pytest
from cli_process import PHONE, otpkit

Env = dict[str, str]


@pytest.fixture
def guarded(configured: Env) -> Env:
    return configured | {"OTPKIT_GUARD_MODE": "enforce", "OTPKIT_GUARD_ASK": "always"}


def test_report_counts_decisions(guarded: Env) -> None:
    """And a captcha has an exit status and parameters of its own."""
    asked = otpkit("issue", PHONE, "--json", env=guarded)
    assert (asked.status, asked.out) == (10, "")
    error = json.loads(asked.err)
    assert (error["code"], error["provider"], error["reasons"]) == ("captcha_required", "proof-of-work", ["always"])
    assert error["parameters"]["challenge"]["algorithm"] == "SHA-256"
    found = otpkit("guard", "--json", env=guarded)
    assert (found.status, found.err) == (0, "")
    report = json.loads(found.out)
    assert (report["mode"], report["hours"]) == ("enforce", 24)
    assert [each["scope"] for each in report["scopes"]] == ["range", "ip", "net", "region", "total", "guesses"]
    shown = otpkit("guard", "--phone", PHONE, env=guarded)
    assert shown.status == 0
    assert "Mode enforce, the last 24 h" in shown.out
    assert "unverified 0 of" in shown.out
    assert PHONE[:7] not in shown.out


def test_override_holds_until_it_is_cleared(guarded: Env) -> None:
    env = guarded | {"OTPKIT_GUARD_ASK": "over_allowance"}
    done = otpkit("guard", "block", "range", PHONE, "--for", "2h", env=env)
    assert (done.status, done.out, done.err) == (0, "The scope range is blocked for 2h\n", "")
    assert otpkit("issue", PHONE, env=env).status == 6
    assert "block until" in otpkit("guard", "--phone", PHONE, env=env).out
    assert otpkit("guard", "clear", "range", PHONE, env=env).out == "The scope range is cleared\n"
    assert otpkit("issue", PHONE, env=env).status == 0
    allowed = otpkit("guard", "allow", "total", "--json", env=env | {"OTPKIT_POLICY": '{"regions": ["CN", "HK"]}'})
    assert json.loads(allowed.out) == {"scope": "total", "outcome": "allowed", "for": "12h"}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("block", "range", PHONE, "--for", "5x"), 2, "use --for with a number"),
        (("block", "range", PHONE, "--for", "90d"), 2, "seconds is"),
        (("block", "planet"), 2, "can't be overridden"),
        (("block", "range", "12"), 3, "Not a mobile number"),
        (("--hours", "9999"), 2, "hours is"),
    ],
)
def test_wrong_use_is_told(guarded: Env, arguments: tuple[str, ...], status: int, said: str) -> None:
    done = otpkit("guard", *arguments, env=guarded)
    assert (done.status, done.out) == (status, "")
    assert said in done.err


def test_no_guard_is_told(configured: Env) -> None:
    done = otpkit("guard", env=configured)
    assert (done.status, done.out) == (2, "")
    assert "OTPKIT_GUARD_MODE" in done.err
