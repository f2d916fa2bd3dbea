"""The command that simulates attacks: its table, its JSON, its list, and its progress bar."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from otpkit.core.checks import nearest
from otpkit.errors import ConfigurationError
from otpkit.store.url import MEMORY_URL

if TYPE_CHECKING:
    from otpkit.simulator.rows import Row

_DEFAULT_SEED = 1


def simulate(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ATTACK", help="Run this attack alone. You can repeat this option. --list shows the names."
        ),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Run every attack at every size and conversion. It takes about two hours.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Equal seeds have equal figures.")] = _DEFAULT_SEED,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The TOML file of a deployment: run with its policy, guard, budgets and prices.",
            show_default=False,
        ),
    ] = None,
    trace: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A CSV file with a deployment's own log, in place of the honest people: time, number, address, "
            "outcome [, range].",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a picture of the rows, as SVG.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="How many runs at a time.", show_default="one a processor")
    ] = None,
    list_names: Annotated[bool, typer.Option("--list", help="Print the attacks, rules and modes, and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array with a row for each run.")] = False,
) -> None:
    """Simulate days of honest users and attackers, under several rules, through the real flows. Sends nothing.

    It uses the Redis server at OTPKIT_REDIS_URL, in a namespace of its own that it deletes. Without one it starts a
    server in a temporary directory, or uses the embedded store, which takes about ten times as long.

    Exit status: 0 if all runs are complete, 1 if a run's books do not balance, 2 for wrong usage or settings.
    """
    from otpkit.simulator.deployment import Deployment, read_deployment
    from otpkit.simulator.runs import run_all
    from otpkit.simulator.scenarios import default_scenarios, grid_scenarios
    from otpkit.simulator.stores import store_url
    from otpkit.simulator.traces import read_trace

    if list_names:
        _show_names(as_json=as_json)
        return
    chosen = _check_names(only or ())
    _check_plot(plot)
    deployment = Deployment() if policy is None else read_deployment(os.environ, policy)
    if grid and trace is not None:
        raise ConfigurationError("--grid and --trace exclude each other: a log has one size.", "Leave one out.")
    log = None if trace is None else read_trace(trace)
    if grid:
        scenarios = list(grid_scenarios(seed, only=chosen))
    elif log is None:
        scenarios = list(default_scenarios(seed, only=chosen))
    else:
        scenarios = list(default_scenarios(seed, only=chosen, honest_per_day=log.per_day, conversion=log.conversion))
    with store_url(os.environ) as url, _progress(len(scenarios)) as advance:
        if url == MEMORY_URL:
            typer.echo("No Redis server: the embedded store takes about ten times as long.", err=True)
        rows = run_all(scenarios, url, deployment, log=log, processes=processes, on_row=advance)
    if plot is not None:
        from otpkit.simulator.plot import svg

        _write(plot, svg(rows))
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows]))
    else:
        _show_table(rows)


def _check_names(names: Sequence[str]) -> frozenset[str]:
    from otpkit.simulator.attacks import ATTACKS

    for name in names:
        if name not in ATTACKS:
            raise ConfigurationError(
                f"--only: {name!r:.60} is no attack{nearest(name, ATTACKS)}", "`otpkit simulate --list` shows all."
            )
    return frozenset(names)


def _check_plot(path: str | None) -> None:
    """Refuse a file that can't be written before the runs, which take minutes."""
    if path is not None and not (Path(path).parent.is_dir() and os.access(Path(path).parent, os.W_OK)):
        raise ConfigurationError(f"--plot: {path} can't be written.", "Choose a file in a folder that you can write.")


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    else:
        return
    raise ConfigurationError(f"--plot: {path} can't be written: {reason}.", "Choose another file.")


def _show_names(*, as_json: bool) -> None:
    from otpkit.simulator.attacks import ATTACKS
    from otpkit.simulator.rules import RULES

    modes = list(dict.fromkeys(mode for rule in RULES.values() for mode in rule.modes))
    if as_json:
        found = {
            "attacks": [{"name": each.name, "about": each.about, "starts": each.starts} for each in ATTACKS.values()],
            "rules": [{"name": each.name, "about": each.about, "modes": each.modes} for each in RULES.values()],
            "modes": modes,
        }
        typer.echo(json.dumps(found))
        return
    width = max(map(len, ATTACKS))
    typer.echo("Attacks")
    for attack in ATTACKS.values():
        typer.echo(f"  {attack.name:<{width}}  {attack.about}, at {' and '.join(attack.starts)}")
    typer.echo("\nRules")
    for rule in RULES.values():
        typer.echo(f"  {rule.name:<{width}}  {rule.about} ({', '.join(rule.modes)})")
    typer.echo(f"\nModes\n  {', '.join(modes)}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Row], object]]:
    """Give a function that advances a bar on standard error. It does nothing unless that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Runs", total=total)
        yield lambda row: progress.update(task, advance=1, description=row.attack)


def _show_table(rows: Sequence[Row]) -> None:
    console = Console()
    heading: tuple[object, ...] = ()
    for row in rows:
        group = (row.attack, row.start, row.honest_per_day, row.conversion, row.bot_pass)
        if group != heading:
            heading = group
            size = f"{row.honest_per_day:,} people a day, {row.conversion:.0%} conversion, bots pass {row.bot_pass:.0%}"
            console.print(Text(f"\n{row.attack} at {row.start}: {size}", "bold"), soft_wrap=True)
            console.print(Text(_HEADER, "dim"), soft_wrap=True)
        console.print(_line(row), soft_wrap=True, highlight=False, markup=False)
    console.print(f"\nSeed {rows[0].seed if rows else '-'}. Shares are those of honest people.", soft_wrap=True)


_HEADER = "rule              wanted    sent               cost  refused  captcha  no money   guessed  answered after"


def _line(row: Row) -> str:
    from otpkit.simulator.plot import bar

    rule = row.rule if row.mode in {"off", "enforce"} else f"{row.rule} ({row.mode})"
    share = bar(row.sent / row.attempted if row.attempted else 0.0)
    answered = "-" if row.minutes_until_answered is None else f"{row.minutes_until_answered:.1f} min"
    return (
        f"{rule:<16}{row.attempted:>8,}{row.sent:>8,} {share:<10}{row.cost:>8.2f}{row.honest_refused:>9.2%}"
        f"{row.honest_captcha:>9.2%}{row.refused_by_money:>10.2%}{row.expected_guesses:>10.4f}{answered:>16}"
    )
