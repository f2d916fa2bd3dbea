"""Bad captcha answers and bad providers at the command line: each has its own exit status, and sends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from cli_process import otpkit

from otpkit.cli.failures import EXIT_STATUS
from otpkit.errors import CaptchaRequiredError, CaptchaUnavailableError
from otpkit.sandbox import Fault, Sandbox, SolvedCaptcha, running

_numbers = count(13200000000)
API: Any = "turnstile.siteverify"


@pytest.fixture
def guarded(configured: dict[str, str], sandbox: Sandbox) -> Iterator[dict[str, str]]:
    """Return the environment of a deployment that always asks for the sandbox's Turnstile."""
    with running(sandbox) as address:
        yield configured | {
            "OTPKIT_GUARD_MODE": "enforce",
            "OTPKIT_GUARD_ASK": "always",
            "OTPKIT_GUARD_FALLBACK": "refuse",
            "OTPKIT_GUARD_CAPTCHA": "turnstile",
            "OTPKIT_TURNSTILE_SITE_KEY": "sandbox",
            "OTPKIT_TURNSTILE_SECRET_KEY": "sandbox-secret",
            "OTPKIT_TURNSTILE_HOSTNAMES": "localhost",
            "OTPKIT_TURNSTILE_BASE_URL": address.base_url,
            "OTPKIT_TURNSTILE_TIMEOUT": "3",
        }


def ask(guarded: dict[str, str], *options: str) -> tuple[int, str, str]:
    """Ask for a code; return the exit status, the word of the error or "", and all output."""
    done = otpkit("issue", str(next(_numbers)), "--json", *options, env=guarded)
    found = json.loads(done.out or done.err)
    return done.status, found.get("error", found).get("code", "") if done.status else "", done.out + done.err


def test_answers_are_judged(guarded: dict[str, str], sandbox: Sandbox) -> None:
    required = rejected = EXIT_STATUS[CaptchaRequiredError]
    assert ask(guarded)[:2] == (required, "captcha_required")
    right = sandbox.solve_captcha(SolvedCaptcha("turnstile", action="signup"))
    assert ask(guarded, "--captcha", right)[0] == 0
    bad = {
        "replayed": right,
        "another site": sandbox.solve_captcha(SolvedCaptcha("turnstile", action="signup", hostname="evil.example")),
        "another purpose": sandbox.solve_captcha(SolvedCaptcha("turnstile", action="login")),
        "expired": sandbox.solve_captcha(SolvedCaptcha("turnstile", action="signup", age=301)),
        "long": "x" * 100_000,
        "made up": "an answer",
    }
    for name, answer in bad.items():
        status, code, text = ask(guarded, "--captcha", answer)
        assert (status, code) == (rejected, "captcha_rejected"), name
        assert answer not in text, name
    assert len(sandbox.messages()) == 1


@pytest.mark.parametrize("fault", ["http_500", "not_json", "drop", "late"])
def test_bad_provider_is_told(guarded: dict[str, str], sandbox: Sandbox, fault: Any) -> None:
    sandbox.add_fault(Fault(fault, api=API, delay=6 if fault == "late" else None))
    answer = sandbox.solve_captcha(SolvedCaptcha("turnstile", action="signup"))
    status, code, text = ask(guarded, "--captcha", answer)
    assert (status, code) == (EXIT_STATUS[CaptchaUnavailableError], "captcha_unavailable")
    assert answer not in text
    assert sandbox.messages() == []
