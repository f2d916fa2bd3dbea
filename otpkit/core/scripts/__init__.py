"""The Lua scripts: one for each call, in one copy, which every store runs. Stores and flows use their typed faces.

Call a face with a script's keys and arguments by name. Its `read` returns a reply as a typed value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, get_type_hints

from otpkit.core.scripts.audit import LENGTH, AuditAction, AuditEntries, AuditEvents
from otpkit.core.scripts.circuit import CircuitState, CloseCircuit, GatewayRecords, NoteGateway, RecordFailure
from otpkit.core.scripts.figures import AddFigures, FiguresOf
from otpkit.core.scripts.guard import Look, Note, Notes, Override, Remember
from otpkit.core.scripts.limits import Consume, Refund
from otpkit.core.scripts.money import Spend, SpendingOf, Unspend
from otpkit.core.scripts.phone import CheckDevice, Erase, ForgetDevices, Revoke, StandingOf, Status, Unblock
from otpkit.core.scripts.places import PlacedScript, Places
from otpkit.core.scripts.redemption import Redeem, Unredeem
from otpkit.core.scripts.scopes import Claim, CountNarrow, CountWide, MoveNarrow, MoveWide
from otpkit.core.scripts.sends import Receive, Reserve, Settle, Undo
from otpkit.core.scripts.verification import Unverify, Verify
from otpkit.guard.rule import DEFAULT_RULE, Rule, numbers_of
from otpkit.policy import DAY_S, Policy, Rate, rates_of, stranger_consecutive, stranger_failures, stranger_sends

_INCLUDE = re.compile(r"^ *--# (include|guard) (.+)\n", re.MULTILINE)
_BLOCK = re.compile(r"^ *--# if (\w+)\n(.*?)^ *--# end\n", re.MULTILINE | re.DOTALL)
STATS_KEY: Final[Mapping[str, str]] = {"add_figures": "1", "settle": "2", "undo": "2", "receive": "2"}
"""The place of the figures' key, by script, where it is not 3: tally.lua is a part of all of them."""
_NAME = re.compile(r"\b[A-Z][A-Z_]*\b")
_ELSEWHERE = frozenset({"judge", "count", "verified", "unverified", "guessed", "uncount"})
"""The parts of a guard that are others on a cluster, where its scopes lie on other nodes than phones."""


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
    check_device: CheckDevice
    forget_devices: ForgetDevices
    consume: Consume
    refund: Refund
    receive: Receive
    circuit_state: CircuitState
    record_failure: RecordFailure
    note_gateway: NoteGateway
    close_circuit: CloseCircuit
    gateway_records: GatewayRecords
    remember: Remember
    look: Look
    override: Override
    note: Note
    notes: Notes
    count_narrow: CountNarrow
    move_narrow: MoveNarrow
    count_wide: CountWide
    move_wide: MoveWide
    claim: Claim
    spend: Spend
    unspend: Unspend
    spending: SpendingOf
    add_figures: AddFigures
    figures: FiguresOf
    audit_action: AuditAction
    audit_events: AuditEvents
    audit_entries: AuditEntries


def load(
    policy: Policy,
    rule: Rule | None = None,
    *,
    counts: bool = True,
    has_budgets: bool = False,
    clustered: bool = False,
) -> Scripts:
    """Return the scripts with the numbers of `policy` in their text.

    Args:
        policy: the policy.
        rule: the rule of the guard; None leaves out all that a guard needs.
        counts: False for a guard that is off: it only takes back what others counted.
        has_budgets: False leaves out all that budgets need.
        clustered: True if the guard's scopes lie on other nodes than phones.
    """
    places = Places(
        has_guard=rule is not None and not clustered,
        has_total=len(policy.regions) > 1,
        has_budgets=has_budgets and not clustered,
    )
    numbers = _numbers(policy) | numbers_of(rule or DEFAULT_RULE) | places.numbers()
    wanted = {
        "plain": rule is None,
        "guard": rule is not None,
        "counting": rule is not None and counts,
        "total": places.has_total,
        "elsewhere": rule is not None and clustered,
        "money": has_budgets,
    }
    texts = _texts(frozenset(name for name, is_on in wanted.items() if is_on), tuple(numbers.items()))
    faces = {name: face(name, texts[name], policy.replicas) for name, face in _faces().items()}
    for each in faces.values():
        if isinstance(each, PlacedScript):
            each.places = places
    return Scripts(**faces)


@cache
def _faces() -> dict[str, type]:
    return get_type_hints(Scripts)


@lru_cache(maxsize=16)
def _texts(parts: frozenset[str], numbers: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """Return all scripts' texts by name. A process has few policies, and filling in their numbers takes long."""
    values = dict(numbers)

    def filled(name: str) -> str:
        # Defining a function or a variable costs Lua time in every call. So an included part stands where it is first
        # needed, and the numbers stand where they are used.
        its_values = values | {"STATS_KEY": STATS_KEY.get(name, "3")}
        return _NAME.sub(lambda match: its_values.get(match[0], match[0]), _text(name, parts))

    return {name: filled(name) for name in _faces()}


@cache
def _text(name: str, parts: frozenset[str]) -> str:
    """Return a script's text with all that it includes, and with the blocks of those `parts` alone.

    The part `plain` stands for no guard.
    """
    text = files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    text = _BLOCK.sub(lambda match: match[2] if match[1] in parts else "", text)

    def included(match: re.Match[str]) -> str:
        if match[1] == "guard" and "guard" not in parts:
            return ""
        names = match[2].split()
        if match[1] == "guard" and "elsewhere" in parts:
            names = [f"{name}_elsewhere" if name in _ELSEWHERE else name for name in names]
        return "\n".join(_text(name, parts) for name in names) + "\n"

    return _INCLUDE.sub(included, text)


def _numbers(policy: Policy) -> dict[str, str]:
    return {
        "TTL": str(policy.ttl * 1000),
        "MAX_AGE": str(policy.max_age * 1000),
        "PROOF_TTL": str(policy.proof_ttl * 1000),
        "DEVICE_TTL": str(policy.device_ttl * 1000),
        "ATTEMPTS": str(policy.attempts),
        "MAX_CONSECUTIVE_FAILURES": str(policy.max_consecutive_failures),
        "STRANGER_CONSECUTIVE": str(stranger_consecutive(policy)),
        "REPLICAS": str(policy.replicas),
        "AUDIT_LIFE": str(policy.audit_days * DAY_S * 1000),
        "AUDIT_LENGTH": str(LENGTH),
        "SENDS": _table(rates_of(policy.sends)),
        "FAILURES": _table(rates_of(policy.failures)),
        "STRANGER_SENDS": _table(stranger_sends(policy)),
        "STRANGER_FAILURES": _table(stranger_failures(policy)),
    }


def _table(rates: tuple[Rate, ...]) -> str:
    return f"{{ {', '.join(f'{rate.limit}, {rate.seconds * 1000}' for rate in rates)} }}"
