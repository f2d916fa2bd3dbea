"""The Lua scripts: one a operation, one copy, run by every store alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha1
from importlib.resources import files

from otpkit.core.scripts.shapes import CHECKS
from otpkit.effects import Script
from otpkit.policy import Policy, Rate, rates_of

_NUMBER = re.compile(r"\b(?:TTL|MAX_AGE|PROOF_TTL|ATTEMPTS|MAX_CONSECUTIVE_FAILURES|REPLICAS|SENDS|FAILURES)\b")
_INCLUDE = re.compile(r"^ *--# include (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts of one policy. Its numbers are constants of their text, so each policy has scripts of its own."""

    reserve: Script
    settle: Script
    undo: Script
    verify: Script
    unverify: Script
    redeem: Script
    unredeem: Script
    status: Script
    standing: Script
    revoke: Script
    unblock: Script
    erase: Script
    take: Script
    give: Script
    receive: Script
    resting: Script
    faltered: Script


def load(policy: Policy) -> Scripts:
    """Return the scripts with `policy` written into them."""
    numbers = _numbers(policy)
    return Scripts(*(_script(field.name, numbers) for field in fields(Scripts)))


def _script(name: str, numbers: Mapping[str, str]) -> Script:
    # Defining a function or a variable costs Lua time in every call. So what a script includes stands where it is first
    # needed, and the policy's numbers stand where they are used.
    text = _INCLUDE.sub(lambda match: "\n".join(map(_text, match[1].split())), _text(name))
    text = _NUMBER.sub(lambda match: numbers[match[0]], text)
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest(), CHECKS[name])


@cache
def _text(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


def _numbers(policy: Policy) -> dict[str, str]:
    return {
        "TTL": str(policy.ttl * 1000),
        "MAX_AGE": str(policy.max_age * 1000),
        "PROOF_TTL": str(policy.proof_ttl * 1000),
        "ATTEMPTS": str(policy.attempts),
        "MAX_CONSECUTIVE_FAILURES": str(policy.max_consecutive_failures),
        "REPLICAS": str(policy.replicas),
        "SENDS": _table(rates_of(policy.sends)),
        "FAILURES": _table(rates_of(policy.failures)),
    }


def _table(rates: tuple[Rate, ...]) -> str:
    return f"{{ {', '.join(f'{rate.limit}, {rate.seconds * 1000}' for rate in rates)} }}"
