"""The figures of `docs/guides/protection.md`, from the simulator.

python tests/make_protection.py          # runs the simulator, and writes protection.json and the page's tables
python tests/make_protection.py NAME…    # runs these attacks or rules alone again
python tests/make_protection.py grid     # runs the part of the grid that the page shows, for protection-grid.json
python tests/make_protection.py table    # writes the tables from the files
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from otpkit.simulator.attacks import ATTACKS
from otpkit.simulator.deployment import Deployment
from otpkit.simulator.rows import Row
from otpkit.simulator.runs import run_all
from otpkit.simulator.scenarios import Scenario, default_scenarios, grid_scenarios
from otpkit.simulator.stores import store_url

Found = dict[str, Any]

GUIDES = Path(__file__).parent.parent / "docs" / "guides"
PAGE, FIGURES, GRID_FIGURES = (GUIDES / name for name in ("protection.md", "protection.json", "protection-grid.json"))
BEGIN, END = "<!-- begin of the simulator's table -->", "<!-- end of the simulator's table -->"
BEGIN_GRID, END_GRID = "<!-- begin of the grid's table -->", "<!-- end of the grid's table -->"
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
    ("lockout-device-60-proxies", "00:00"): "… whose owner has a device",
    ("gateway-down", "20:00"): "no attack; the gateway loses messages for 20 minutes",
    ("flash-crowd", "20:00"): "no attack; 10 % more people within a minute",
    ("conversion-falls", "10:00"): "no attack; conversion falls to 75 %",
}


# The part of the grid that the page shows: people a day, conversion, share of captchas that bots pass, and attacks.
GRID = (
    (1_000, 0.70, 0.01, ("none", "burst-scattered-proxies", "slow-scattered-proxies", "lockout-range-1200-proxies")),
    (1_000, 0.95, 0.01, ("none", "burst-scattered-proxies", "slow-scattered-proxies", "lockout-range-1200-proxies")),
    (1_000, 0.85, 0.03, ("burst-range-proxies", "burst-scattered-proxies", "slow-scattered-proxies")),
    (1_000, 0.85, 1.0, ("burst-range-proxies", "burst-scattered-proxies", "burst-scattered")),
    (1_000, 0.85, 0.01, ("weeks-none", "weeks-slow", "weeks-slow-always")),
    (20_000, 0.70, 0.01, ("none", "burst-scattered-proxies")),
    (20_000, 0.85, 0.01, ("none", "burst-scattered-proxies", "slow-scattered-proxies", "flash-crowd")),
    (20_000, 0.95, 0.01, ("none", "burst-scattered-proxies")),
)


def shown_of_grid() -> Iterator[Scenario]:
    """Give the scenarios of the grid that the page shows."""
    known = {key(asdict(each)): each for each in grid_scenarios()}
    for honest_per_day, conversion, bot_pass, attacks in GRID:
        for attack in attacks:
            for start in ATTACKS[attack].starts:
                scenario = Scenario(
                    attack=attack,
                    rule="guard",
                    mode="enforce",
                    start=start,
                    honest_per_day=honest_per_day,
                    conversion=conversion,
                    bot_pass=bot_pass,
                )
                yield known[key(asdict(scenario))]


def table(rows: list[Found]) -> str:
    """Return the table of the default run.

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
        if attack == "buyer-proxies":
            row = by_run[attack, start, "budget"]
            refused = f"{share(row['honest_refused'])}; {share(row['refused_by_money'])} by the budget"
            title = "… `Guard` with a budget of twice an ordinary day's cost"
            guesses = f"{row['expected_guesses']:.4f}"
            lines.append(f"| {title} | {row['sent']:,} | {refused} | {share(row['honest_captcha'])} | {guesses} |")
    return "\n".join(lines)


def grid_table(rows: list[Found]) -> str:
    """Return the table of the grid, with our rule alone.

    Args:
        rows: the rows of `shown_of_grid`.
    """
    lines = [
        "| people a day, conversion, bots pass | attack | messages sent, by a captcha | no code | saw a captcha |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        site = f"{row['honest_per_day']:,}, {row['conversion']:.0%}, {row['bot_pass']:.0%}"
        sent = f"{row['sent']:,}, {row['captchas_solved']:,}" if ATTACKS[row["attack"]].campaign else "–"
        attack = f"`{row['attack']}` at {row['start']}"
        lines.append(
            f"| {site} | {attack} | {sent} | {share(row['honest_refused'])} | {share(row['honest_captcha'])} |"
        )
    return "\n".join(lines)


def share(value: float) -> str:
    """Return a fraction in per cent, with one digit (two below 1 %), or 0."""
    return f"{100 * value:.{1 if value >= 0.01 else 2}f} %" if value else "0"


def page_with(text: str, rows: list[Found], grid: list[Found]) -> str:
    """Return the page with the tables of these rows in place of its own."""
    for begin, end, found in ((BEGIN, END, table(rows)), (BEGIN_GRID, END_GRID, grid_table(grid))):
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{found}\n\n{end}{rest.partition(end)[2]}"
    return text


def compared(row: Found) -> Found:
    """Return the figures of a row that any server gives alike."""
    return {name: value for name, value in row.items() if name != "bytes"}


def key(row: Found) -> tuple[Any, ...]:
    """Return what a row was run with."""
    return tuple(row[field.name] for field in fields(Scenario))


def rows_of(path: Path) -> list[Found]:
    """Return the rows of a file."""
    found: list[Found] = json.loads(path.read_text(encoding="utf-8"))
    assert all({*row, "bytes"} == {field.name for field in fields(Row)} for row in found)
    return found


def renew(path: Path, scenarios: Iterable[Scenario], only: list[str]) -> None:
    """Run scenarios, of certain attacks or rules alone if `only` has any, and write their rows to a file."""
    wanted = list(scenarios)
    with store_url(os.environ) as url:
        chosen = [each for each in wanted if not only or {each.attack, each.rule} & {*only}]
        found = run_all(chosen, url, Deployment(), on_row=lambda row: print(row.attack, row.rule, flush=True))
    known = {key(row): row for row in rows_of(path)} if only else {}
    known |= {key(row): row for row in (compared(each.as_json()) for each in found)}
    lines = ",\n".join(json.dumps(known[key(asdict(each))]) for each in wanted)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> None:
    """Run what the command line says, and write the page's tables."""
    match sys.argv[1:]:
        case ["table"]:
            pass
        case ["grid", *only]:
            renew(GRID_FIGURES, shown_of_grid(), only)
        case only:
            renew(FIGURES, default_scenarios(), only)
    page = page_with(PAGE.read_text(encoding="utf-8"), rows_of(FIGURES), rows_of(GRID_FIGURES))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
