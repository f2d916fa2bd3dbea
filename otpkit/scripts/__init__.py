"""The Lua scripts: one a operation, one copy, run by every store alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from otpkit.effects import Script
from otpkit.policy import Policy, Rate


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts of one policy. Its numbers are constants of their text, so each policy has scripts of its own."""

    reserve: Script
    settle: Script
    undo: Script
    verify: Script
    redeem: Script
    status: Script
    revoke: Script
    unblock: Script
    erase: Script
    take: Script
    give: Script


def load(policy: Policy) -> Scripts:
    """Return the scripts with `policy` written into them."""
    head = _policy(policy) + _text("phone") + _text("window")
    return Scripts(*(_script(name, head + _text(name)) for name in Scripts.__dataclass_fields__))


def _script(name: str, text: str) -> Script:
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def _text(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


def _policy(policy: Policy) -> str:
    numbers = (
        f"ttl = {policy.ttl * 1000}, max_age = {policy.max_age * 1000}, attempts = {policy.attempts}, "
        f"max_consecutive_failures = {policy.max_consecutive_failures}, proof_ttl = {policy.proof_ttl * 1000}"
    )
    return f"local POLICY = {{ {numbers}, sends = {_rates(policy.sends)}, failures = {_rates(policy.failures)} }}\n"


def _rates(rates: Any) -> str:
    pairs: list[str] = [f"{{ {rate.limit}, {rate.seconds * 1000} }}" for rate in rates if isinstance(rate, Rate)]
    return f"{{ {', '.join(pairs)} }}"
