"""The figures of the page about protection are the simulator's."""

from __future__ import annotations

from typing import Any

import pytest
from make_protection import (
    FIGURES,
    GRID_FIGURES,
    PAGE,
    compared,
    key,
    page_with,
    rows_of,
    shown_of_grid,
)

from otpkit.simulator.deployment import Deployment
from otpkit.simulator.runs import run
from otpkit.simulator.scenarios import Scenario, default_scenarios

ROWS, GRID_ROWS = rows_of(FIGURES), rows_of(GRID_FIGURES)
# These are run again. The others come from the same runs, and take too long here.
AGAIN = ("none", "burst-range-proxies", "slow-scattered-proxies", "lockout-region-60-proxies", "conversion-falls")
SMALL = [row for row in ROWS + GRID_ROWS if row["attack"] in AGAIN and row["honest_per_day"] == 1_000]


def scenario_of(row: dict[str, Any]) -> Scenario:
    return Scenario(**{name: row[name] for name in Scenario.__dataclass_fields__})


def test_tables_are_made_from_the_figures() -> None:
    """`python tests/make_protection.py` writes them all."""
    text = PAGE.read_text(encoding="utf-8")
    assert page_with(text, ROWS, GRID_ROWS) == text


def test_figures_are_those_of_the_documented_runs() -> None:
    assert [scenario_of(row) for row in ROWS] == list(default_scenarios())
    assert [scenario_of(row) for row in GRID_ROWS] == list(shown_of_grid())


@pytest.mark.parametrize("row", SMALL, ids=lambda row: "-".join(map(str, key(row))))
def test_figures_are_still_what_the_simulator_finds(row: dict[str, Any], valkey_url: str) -> None:
    assert compared(run(scenario_of(row), valkey_url, Deployment()).as_json()) == row
