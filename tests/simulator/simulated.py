"""Runs of the simulator for tests, each from an empty namespace."""

from __future__ import annotations

from typing import Any

from otpkit.simulator.attacks import ATTACKS
from otpkit.simulator.deployment import Deployment
from otpkit.simulator.rows import Row
from otpkit.simulator.rules import RULES
from otpkit.simulator.runs import run
from otpkit.simulator.scenarios import Scenario


def row_of(url: str, attack: str, rule: str = "guard", deployment: Deployment | None = None, **values: Any) -> Row:
    """Run one scenario; its start is the attack's first one, its mode the rule's first one."""
    values.setdefault("start", ATTACKS[attack].starts[0])
    values.setdefault("mode", RULES[rule].modes[0])
    return run(Scenario(attack=attack, rule=rule, **values), url, deployment or Deployment())
