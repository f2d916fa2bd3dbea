"""`otpkit stats`: the figures of the last hours, as tables with bars or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from otpkit.cli.configured import configured
from otpkit.cli.serving import AsJson, Config
from otpkit.errors import StoreUnavailableError
from otpkit.models import Figures, Stats

_BAR: Final = 16
_NARROW_BAR: Final = 6
_WIDE: Final = 100  # The width from which a console has the wide bars.
_PARTS: Final = "▏▎▍▌▋▊▉"
_EVERY_S: Final = 5.0
_MOST_SPANS: Final = 48  # More lines would not fit on a screen. JSON has all of them.


def stats(
    hours: Annotated[int, typer.Option(help="The last hours, 1 to 9600. More than 840 are shown by the day.")] = 24,
    watch: Annotated[bool, typer.Option("--watch", help="Show them anew every 5 seconds, until Ctrl+C.")] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened: messages, verifications, refusals and cost, by region, gateway and hour.

    Of each line: sent messages; verified codes, and their share of the messages; messages that were lost, by a
    rejection or a receipt; wrong codes; refusals of limits and of the guard; the seconds in which half and 95 % of the
    receipts came; cost.

    With --watch --json, print a line for each look.
    """
    with configured(config) as otp:
        if as_json:
            while True:
                typer.echo(json.dumps(stats_row(otp.stats(hours)), ensure_ascii=False))
                if not watch:
                    return
                time.sleep(_EVERY_S)
        console = Console()
        if not watch:
            console.print(_page(otp.stats(hours), console))
            return
        page = _page(otp.stats(hours), console)
        with Live(page, console=console, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(_EVERY_S)
                try:
                    shown = page = _page(otp.stats(hours), console)
                except StoreUnavailableError as error:  # Watch on: keep what is known, and say that it is old.
                    shown = Group(Text(error.problem, "red"), page)
                live.update(shown, refresh=True)


def stats_row(found: Stats) -> dict[str, object]:
    """Return the figures as JSON has them. Amounts are decimal numbers in `currency`."""
    return {
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "currency": found.currency,
        "total": figures_row(found.total),
        "regions": {name: figures_row(each) for name, each in found.regions.items()},
        "gateways": {name: figures_row(each) for name, each in found.gateways.items()},
        "spans": [{"at": at.isoformat(), **figures_row(each)} for at, each in found.spans],
    }


def figures_row(figures: Figures) -> dict[str, object]:
    """Return the figures of one span as JSON has them."""
    each = figures.cost_per_verified
    return {
        "sent": figures.sent,
        "uncertain": figures.uncertain,
        "relayed": figures.relayed,
        "rejected": figures.rejected,
        "delivered": figures.delivered,
        "failed": figures.failed,
        "verified": figures.verified,
        "wrong_codes": figures.wrong_codes,
        "limited": dict(figures.limited),
        "guard": dict(figures.guard),
        "cost": f"{figures.cost:f}",
        "relayed_cost": f"{figures.relayed_cost:f}",
        "conversion": figures.conversion,
        "cost_per_verified": None if each is None else f"{each:f}",
        "receipt_p50": figures.receipt_p50,
        "receipt_p95": figures.receipt_p95,
    }


@dataclass(frozen=True, slots=True)
class _Bars:
    """The bars of a console: their greatest width, and whether it lacks block characters."""

    width: int
    is_plain: bool

    def draw(self, value: int, most: int) -> str:
        """Return a bar whose length is in proportion; of at least one part for any count."""
        eighths = round(8 * self.width * value / most) if most else 0
        eighths = max(eighths, 1) if value else 0
        if self.is_plain:
            return "#" * -(-eighths // 8)
        whole, rest = divmod(eighths, 8)
        return "█" * whole + (_PARTS[rest - 1] if rest else "")


def _page(found: Stats, console: Console) -> Group:
    is_plain = console.encoding.lower().replace("-", "") not in {"utf8", "gb18030"}
    bars = _Bars(_BAR if console.width >= _WIDE else _NARROW_BAR, is_plain)
    parts: list[Table | Text] = [_title(found)]
    parts += [_refusals("Limits", found.total.limited), _refusals("Guard", found.total.guard)]
    for name, rows in (("region", found.regions), ("gateway", found.gateways)):
        if rows:
            parts.append(_table(name, [(each, rows[each]) for each in rows], found.currency, bars))
    spans = [(_time(at, found), figures) for at, figures in found.spans[-_MOST_SPANS:]]
    parts.append(_table("since (UTC)", spans, found.currency, bars))
    return Group(*parts)


def _title(found: Stats) -> Text:
    total = found.total
    line = f"Since {found.since:%Y-%m-%d %H:%M}, until {found.until:%Y-%m-%d %H:%M:%S} UTC"
    relayed = f" ({total.relayed} with codes of other systems)" if total.relayed else ""
    sums = f"{total.sent} sent{relayed}, {total.verified} verified ({_share(total.conversion)})"
    if found.currency:
        each = total.cost_per_verified
        sums += f", {total.cost:f} {found.currency}"
        sums += "" if each is None else f", {each:f} for each verified"
    return Text.assemble((line, "bold"), "\n", sums)


def _refusals(name: str, counts: Mapping[str, int]) -> Text:
    text = ", ".join(f"{scope} {count}" for scope, count in counts.items()) or "none"
    return Text.assemble((f"{name}: ", "dim"), text)


def _table(name: str, rows: Sequence[tuple[str, Figures]], currency: str, bars: _Bars) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column(name, no_wrap=True)
    table.add_column("sent", justify="right")
    table.add_column("", no_wrap=True, width=bars.width)
    heads = ["verified", "share", "lost", "wrong", "refused", "p50 s", "p95 s", *([currency] if currency else [])]
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    most = max((figures.sent for _, figures in rows), default=0)
    for label, each in rows:
        cells = [
            str(each.verified),
            _share(each.conversion),
            str(each.failed + each.rejected),
            str(each.wrong_codes),
            str(sum(each.limited.values()) + sum(each.guard.values())),
            _seconds(each.receipt_p50),
            _seconds(each.receipt_p95),
            *([f"{each.cost:f}"] if currency else []),
        ]
        bar = Text(bars.draw(each.sent, most), "green")
        table.add_row(label, str(each.sent), bar, *cells)
    return table


def _time(at: datetime, found: Stats) -> str:
    by_day = len(found.spans) > 1 and (found.spans[1][0] - found.spans[0][0]).days >= 1
    return f"{at:%Y-%m-%d}" if by_day else f"{at:%m-%d %H:%M}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
