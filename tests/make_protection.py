"""The figures of `docs/guides/protection.md`, from the simulator.

python tests/make_protection.py          # runs the simulator, and writes protection.json and the page's table
python tests/make_protection.py ATTACK…  # runs these attacks alone again
python tests/make_protection.py table    # writes the table from protection.json
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from otpkit.simulator.attacks import ATTACKS
from otpkit.simulator.deployment import Deployment
from otpkit.simulator.rows import Row
from otpkit.simulator.runs import run_all
from otpkit.simulator.scenarios import Scenario, default_scenarios
from otpkit.simulator.stores import store_url

GUIDES = Path(__file__).parent.parent / "docs" / "guides"
PAGE, FIGURES = GUIDES / "protection.md", GUIDES / "protection.json"
BEGIN, END = "<!-- begin of the simulator's table -->", "<!-- end of the simulator's table -->"
RULES = ("none", "authgear", "prefix", "guard")
# The attacks of the table, and what they are called in it.
SHOWN = {
    ("none", "00:00"): "no attack",
    ("burst-range-proxies", "10:00"): "10,000 requests in 33 minutes to one range",
    ("burst-100-ranges-proxies", "10:00"): "… to a hundred ranges",
    ("burst-scattered-proxies", "10:00"): "… to scattered numbers",
    ("burst-scattered-proxies", "20:00"): "… in the evening",
    ("burst-scattered", "20:00"): "… from one datacentre",
    ("slow-scattered-proxies", "08:00"): "1,000 requests in 14 hours to scattered numbers",
    ("slow-100-ranges-proxies", "08:00"): "… to a hundred ranges",
    ("buyer-proxies", "08:00"): "10,000 requests, of which the attacker verifies 80 %",
    ("sprayer-proxies", "08:00"): "10,000 requests, and every code is guessed at",
    ("bomber-one-proxies", "10:00"): "600 requests for one victim's number",
    ("bomber-10000-proxies", "10:00"): "one request for each of 10,000 numbers",
    ("lockout-region-60-proxies", "00:00"): "60 requests an hour, to lock out a region",
    ("lockout-region-1200-proxies", "00:00"): "1,200 an hour, to lock out a region",
    ("lockout-office-1200", "00:00"): "1,200 an hour from an office's address",
    ("lockout-range-1200-proxies", "00:00"): "1,200 an hour, to lock out a range",
    ("lockout-phone-60-proxies", "00:00"): "60 an hour, to lock out one phone without a device",
    ("gateway-down", "20:00"): "no attack; the gateway loses messages for 20 minutes",
    ("flash-crowd", "20:00"): "no attack; 10 % more people within a minute",
    ("conversion-falls", "10:00"): "no attack; conversion falls to 75 %",
}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the table of the page.

    Args:
        rows: the rows of `otpkit simulate --json`.
    """
    by_run = {(row["attack"], row["start"], row["rule"]): row for row in rows if row["mode"] != "observe"}
    lines = [
        "| attack | messages sent | people without a code | people who saw a captcha | accounts guessed |",
        "|---|---|---|---|---|",
    ]
    for (attack, start), name in SHOWN.items():
        of_rules = [by_run[attack, start, rule] for rule in RULES]
        guard = of_rules[-1]
        sent = ", ".join(f"{row['sent']:,}" for row in of_rules) if ATTACKS[attack].campaign else "–"
        refused = ", ".join(share(row["honest_refused"]) for row in of_rules)
        guesses = f"{guard['expected_guesses']:.4f}" if ATTACKS[attack].campaign else "–"
        lines.append(f"| {name} | {sent} | {refused} | {share(guard['honest_captcha'])} | {guesses} |")
    return "\n".join(lines)


def share(value: float) -> str:
    """Return a fraction in per cent, with one digit, or 0."""
    return f"{100 * value:.1f} %" if value else "0"


def page_with(text: str, rows: list[dict[str, Any]]) -> str:
    """Return the page with the table of these rows in place of its own."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{rest.partition(END)[2]}"


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a row that any server gives alike."""
    return {name: value for name, value in row.items() if name != "bytes"}


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a row was run with."""
    return tuple(row[field.name] for field in fields(Scenario))


def main() -> None:
    """Run the simulator, unless only the table is wanted, and write the files."""
    only = sys.argv[1:]
    if only != ["table"]:
        scenarios = [each for each in default_scenarios() if not only or each.attack in only]
        with store_url(os.environ) as url:
            found = run_all(scenarios, url, Deployment(), on_row=lambda row: print(row.attack, row.rule, flush=True))
        known = {key(row): row for row in json.loads(FIGURES.read_text(encoding="utf-8"))} if only else {}
        known |= {key(row): row for row in (compared(each.as_json()) for each in found)}
        lines = ",\n".join(json.dumps(known[key(asdict(each))]) for each in default_scenarios())
        FIGURES.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    rows = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert {*rows[0], "bytes"} == {field.name for field in fields(Row)}
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
