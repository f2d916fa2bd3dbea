"""The circuits of gateways: their states and last errors, and opening or closing one by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from otpkit.core.audit import Operator, Target, audited
from otpkit.core.config import Config
from otpkit.core.routing import Member
from otpkit.core.scripts.circuit import NO_CODE, GatewayRecord
from otpkit.core.tokens import from_ms
from otpkit.effects import Emit, Flow, run
from otpkit.errors import ConfigurationError, OTPError
from otpkit.models import Event, GatewayStanding

LEAST_S: Final = 60
MOST_S: Final = 86_400
_CODE: Final = re.compile(r"(?!.*[0-9]{10})[!-~]{1,64}")  # It contains no whole mobile number.
_REMEDIES: Final[Mapping[str, str]] = {
    "account": "The account's owner must top up, activate the product, or check the keys.",
    "configuration": "The operator must correct the template, the signature or the settings, or add a gateway.",
    "request": "The developer must check what was passed, and report it to otpkit if all of it is right.",
    "quota": "The operator must have the account's allowance raised, or add another gateway.",
    "connection": "The operator must check the gateway's address and the network.",
    "uncertain": "The operator must check the provider's records, and its status page.",
}


def gateways_key(config: Config) -> str:
    """Return the key of the gateways' failures."""
    return f"{config.namespace}:{{gateways}}:g"


def notes_key(config: Config) -> str:
    """Return the key of the gateways' last errors, and of the circuits that were opened by hand."""
    return f"{config.namespace}:{{gateways}}:e"


def note_error(config: Config, member: Member, how: str, code: str) -> Flow[None]:
    """Keep a gateway's last error for operators. If Redis refuses, it is lost: it never breaks a call.

    Args:
        config: the checked arguments of the `OTP`.
        member: the gateway.
        how: the category of its rejection, or `uncertain`.
        code: its own error code, or "".
    """
    value = f"{how} {code if _CODE.fullmatch(code) else NO_CODE}"
    with suppress(OTPError):
        yield from run(
            config.scripts.note_gateway(
                notes_key=notes_key(config), now=config.now_arg(), field=f"E:{member.name}", value=value
            )
        )


def gateways(config: Config) -> Flow[tuple[GatewayStanding, ...]]:
    """Return how each gateway stands, in the order of the settings."""
    members = list(config.routing.members.values())
    names = [member.name for member in members]
    found = yield from run(
        config.scripts.gateway_records(
            gateways_key=gateways_key(config), notes_key=notes_key(config), now=config.now_arg(), names=names
        )
    )
    return tuple(_standing(member, record, found.now_ms) for member, record in zip(members, found.records, strict=True))


def _standing(member: Member, record: GatewayRecord, now_ms: int) -> GatewayStanding:
    by_hand = record.by_hand_ends_ms > now_ms
    open_until_ms = max(record.ends_ms, record.by_hand_ends_ms)
    is_open = open_until_ms > now_ms
    remedy = member.gateway.remedy_for(record.code) if record.code else ""
    return GatewayStanding(
        name=member.name,
        state="open" if is_open else "half_open" if record.ends_ms else "closed",
        failures=record.failures,
        open_until=from_ms(open_until_ms) if is_open else None,
        last_error=record.code or record.category,
        last_error_at=from_ms(record.error_ms) if record.error_ms else None,
        remedy=remedy or _REMEDIES.get(record.category, ""),
        by_hand=by_hand,
    )


def open_circuit(config: Config, name: object, seconds: object, operator: Operator) -> Flow[None]:
    """Open the circuit of a gateway by hand; write it to the audit, and report it by events."""
    member = _member(config, name)
    if type(seconds) is not int or not LEAST_S <= seconds <= MOST_S:
        raise ConfigurationError(f"seconds is {seconds!r:.20}.", f"Pass a whole number from {LEAST_S} to {MOST_S}.")
    note = config.scripts.note_gateway(
        notes_key=notes_key(config), now=config.now_arg(), field=f"H:{member.name}", value=seconds * 1000
    )
    yield from _by_hand(config, "open_circuit", "circuit_opened", member, operator, run(note))


def close_circuit(config: Config, name: object, operator: Operator) -> Flow[None]:
    """Close the circuit of a gateway by hand; write it to the audit, and report it by events."""
    member = _member(config, name)
    close = config.scripts.close_circuit(
        gateways_key=gateways_key(config), notes_key=notes_key(config), now=config.now_arg(), name=member.name
    )
    yield from _by_hand(config, "close_circuit", "circuit_closed", member, operator, run(close))


def _by_hand(
    config: Config, operation: str, action: str, member: Member, operator: Operator, flow: Flow[bool]
) -> Flow[None]:
    target = Target(subject=member.name)
    yield from audited(config, flow, operation=operation, action=action, operator=operator, target=target)
    if config.listener is not None:
        yield Emit(Event(name=action, operation=operation, outcome="by_hand", gateway=member.name))


def _member(config: Config, name: object) -> Member:
    if not isinstance(name, str):
        raise ConfigurationError("gateway must be the name of a gateway.", "Pass one that gateways() returns.")
    return config.routing.member(name)
