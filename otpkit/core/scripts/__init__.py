"""The Lua scripts: one for each call, in one copy, which every store runs. Stores and flows use their typed faces.

Call a face with a script's keys and arguments by name. Its `read` returns a reply as a typed value.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import get_type_hints

from otpkit.core.scripts.circuit import CircuitState, RecordFailure
from otpkit.core.scripts.limits import Consume, Refund
from otpkit.core.scripts.money import Spend, SpendingOf, Unspend
from otpkit.core.scripts.phone import Erase, Revoke, StandingOf, Status, Unblock
from otpkit.core.scripts.redemption import Redeem, Unredeem
from otpkit.core.scripts.sends import Receive, Reserve, Settle, Undo
from otpkit.core.scripts.verification import Unverify, Verify
from otpkit.policy import Policy, Rate, rates_of

_NUMBER = re.compile(r"\b(?:TTL|MAX_AGE|PROOF_TTL|ATTEMPTS|MAX_CONSECUTIVE_FAILURES|REPLICAS|SENDS|FAILURES)\b")
_INCLUDE = re.compile(r"^ *--# include (.+)$", re.MULTILINE)
_PART = re.compile(r"^ *--# if (\w+)\n(.*?)^ *--# end\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scripts:
    """The scripts of one policy. The policy's numbers are constants in their text: each policy has its own scripts."""

    reserve: Reserve
    settle: Settle
    undo: Undo
    verify: Verify
    unverify: Unverify
    redeem: Redeem
    unredeem: Unredeem
    status: Status
    standing: StandingOf
    revoke: Revoke
    unblock: Unblock
    erase: Erase
    consume: Consume
    refund: Refund
    receive: Receive
    circuit_state: CircuitState
    record_failure: RecordFailure
    spend: Spend
    unspend: Unspend
    spending: SpendingOf


def load(policy: Policy, parts: Collection[str] = ()) -> Scripts:
    """Return the scripts of a policy.

    Args:
        policy: the policy, whose numbers are in the text.
        parts: the features whose parts are in the text: `money`. A script without a part costs nothing for it.
    """
    numbers = _numbers(policy)
    return Scripts(
        **{
            name: face(name, _script(name, numbers, parts), policy.replicas)
            for name, face in get_type_hints(Scripts).items()
        }
    )


def _script(name: str, numbers: dict[str, str], parts: Collection[str]) -> str:
    # Defining a function or a variable costs Lua time in every call. So an included part stands where it is first
    # needed, and the policy's numbers stand where they are used.
    text = _PART.sub(lambda match: match[2] if match[1] in parts else "", _text(name))
    return _NUMBER.sub(lambda match: numbers[match[0]], text)


@cache
def _text(name: str) -> str:
    text = files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda match: "\n".join(map(_text, match[1].split())), text)


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
