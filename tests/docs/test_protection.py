"""The figures of the page about protection are the simulator's."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from make_protection import FIGURES, PAGE, compared, page_with

from otpkit.simulator.deployment import Deployment
from otpkit.simulator.runs import run
from otpkit.simulator.scenarios import Scenario, default_scenarios

ROWS: list[dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8"))
# Each of these is run again. The others come from the same run, and take too long here.
AGAIN = ("none", "burst-range-proxies", "slow-scattered-proxies", "lockout-region-60-proxies", "conversion-falls")


def scenario_of(row: dict[str, Any]) -> Scenario:
    return Scenario(**{name: row[name] for name in Scenario.__dataclass_fields__})


def test_table_is_made_from_the_figures() -> None:
    """`python tests/make_protection.py` writes both."""
    text = PAGE.read_text(encoding="utf-8")
    assert page_with(text, ROWS) == text


def test_figures_are_those_of_the_default_run() -> None:
    assert [scenario_of(row) for row in ROWS] == list(default_scenarios())


@pytest.mark.parametrize("attack", AGAIN)
def test_figures_are_still_what_the_simulator_finds(attack: str, valkey_url: str) -> None:
    for row in ROWS:
        if row["attack"] == attack:
            found = run(scenario_of(row), valkey_url, Deployment())
            assert compared(found.as_json()) == row
            assert set(asdict(scenario_of(row))) <= set(row)
