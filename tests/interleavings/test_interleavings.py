"""Calls at once: every order of their steps, with every fault, keeps every promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import states
from explorer import Explorer, Scenario
from scenarios import SCENARIOS
from snapshots import Snapshots

from otpkit.core.scripts import Scripts

READ_ONLY = {"audit_entries", "figures", "gateway_records", "look", "notes", "spending", "standing"}
OF_OPERATORS = {"close_circuit", "override"}
OF_FIGURES = {"add_figures"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_order_keeps_every_promise(
    scenario: Scenario, snapshots: Snapshots, record_property: Callable[[str, object], None]
) -> None:
    """The numbers are those of states.json. After a change, run `python tests/interleavings/states.py --write`."""
    counts = Explorer(scenario, snapshots).run()
    record_property("interleavings", counts._asdict())
    assert states.kept()["scenarios"][scenario.name] == counts._asdict()


def test_states_are_added_up() -> None:
    kept = states.kept()
    assert list(kept["scenarios"]) == [scenario.name for scenario in SCENARIOS]
    for name in ("states", "steps", "orders"):
        assert kept["together"][name] == sum(row[name] for row in kept["scenarios"].values())
    assert kept["together"]["scenarios"] == len(SCENARIOS)


def test_scenarios_run_every_script_that_writes() -> None:
    """A new script needs a scenario, or a place among those that count and grant nothing."""
    names = set(Scripts.__dataclass_fields__)
    assert names - set(states.kept()["scripts"]) <= READ_ONLY | OF_OPERATORS | OF_FIGURES
