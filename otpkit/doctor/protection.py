"""Examine the guard and its captcha. The captcha's provider is asked about an answer that is never right."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from otpkit import OTP
from otpkit.captcha import ProofOfWork
from otpkit.captcha.base import Captcha, CaptchaCheck, CaptchaSilent
from otpkit.doctor.findings import Finding
from otpkit.environment import ARGUMENTS
from otpkit.errors import OTPError
from otpkit.guard.options import OTHERS, Guard
from otpkit.guard.report import GuardReport
from otpkit.store.url import MEMORY_URL
from otpkit.transport.http import drive

if TYPE_CHECKING:
    from otpkit.settings import Reading

_PURPOSE: Final = "doctor"
_WEEK_H: Final = 168
_LONG_DAYS: Final = 14  # Some days show what the guard would do.
_ENFORCE: Final = (
    "Look at its decisions with `otpkit guard`. Set OTPKIT_GUARD_MODE=enforce once all processes have the guard."
)


def examine_guard(reading: Reading) -> list[Finding]:
    """Return the findings about the guard's mode and its captchas, or about its absence."""
    guard: Guard | None = reading.otp.get("guard")
    if guard is None:
        found = "There is none: nothing but the policy's limits stops SMS pumping and bombing."
        return [Finding("guard", "warning", found, "Set OTPKIT_GUARD_MODE=observe, and later enforce.")]
    return [_mode(guard, reading), *_examine_captchas(guard)]


def _examine_captchas(guard: Guard) -> list[Finding]:
    """Return a finding for each captcha. If there are several, each says what it is for."""
    uses: dict[Captcha, list[str]] = {}
    for purpose, captcha in guard.captchas().items():
        if captcha is not None:
            uses.setdefault(captcha, []).append("all other purposes" if purpose == OTHERS else purpose)
    if isinstance(guard.fallback, Captcha):
        uses.setdefault(guard.fallback, []).append("the fallback")
    found = [(examine_captcha(captcha), ", ".join(names)) for captcha, names in uses.items()]
    if len(found) < 2:
        return [finding for finding, _ in found]
    return [replace(finding, found=f"{use}: {finding.found}") for finding, use in found]


def examine_captcha(captcha: Captcha) -> Finding:
    """Check that a captcha's provider answers and accepts the deployment's keys."""
    name = captcha.name
    if isinstance(captcha, ProofOfWork):
        return Finding("captcha", "ok", f"{name} needs no provider.")
    if captcha.uses_test_keys:
        found = f"{name} has the public test keys, with which everybody passes."
        return Finding("captcha", "problem", found, "Set your own keys.")
    if not captcha.probe:
        return Finding("captcha", "warning", f"{name} can't be checked.", "Solve it once on your page.")
    check = CaptchaCheck(purpose=_PURPOSE, ip=None, now_ms=int(time.time() * 1000))
    try:
        drive(captcha.verify(captcha.probe, check))
    except CaptchaSilent as silent:
        remedy = silent.remedy or "Run this again. If it fails again, check the network and the provider's status page."
        return Finding("captcha", "problem" if silent.misconfigured else "warning", silent.problem, remedy)
    return Finding("captcha", "ok", f"{name} responds and accepts the keys.")


def _mode(guard: Guard, reading: Reading) -> Finding:
    if guard.mode == "off":
        return Finding("guard", "warning", "Its mode is off: it counts nothing.", "Set OTPKIT_GUARD_MODE=observe.")
    if guard.mode == "enforce" and reading.hooks:
        names = ", ".join(hook.name for hook in reading.hooks)
        found = (
            f"It enforces its decisions, also for the hooks {names}: their codes stay unverified, and it refuses them."
        )
        return Finding("guard", "warning", found, "Set OTPKIT_GUARD_MODE=observe where hooks send codes.")
    if guard.mode == "enforce":
        return Finding("guard", "ok", "It enforces its decisions.")
    found, report = "It only observes", _report(reading)
    if report is not None and report.observing_since is not None:
        days = (report.at - report.observing_since).days
        if days >= _LONG_DAYS:
            found = f"It has only observed for {days // 7} weeks, since {report.observing_since:%Y-%m-%d}"
    found += ": it refuses nothing and asks for no captcha."
    if report is not None:
        found += f" Decisions about its scopes in the last week: {sum(scope.observed for scope in report.scopes)}."
    return Finding("guard", "warning", found, _ENFORCE)


def _report(reading: Reading) -> GuardReport | None:
    """Return what the guard decided in the last week, or None if that can't be read."""
    if any(map(reading.of_part, ARGUMENTS)) or reading.otp.get("redis") == MEMORY_URL:
        return None
    with suppress(OTPError), OTP(**reading.otp) as otp:
        return otp.guard_report(_WEEK_H)
    return None
