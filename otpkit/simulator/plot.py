"""Draw rows as an SVG picture: for each attack, what each rule let through, and whom it refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

from otpkit.simulator.rows import Row

_COLOURS: Final = {"none": "#8a8a8a", "authgear": "#d98a29", "prefix": "#4f86c6", "guard": "#2f8f5b"}
_OTHER: Final = "#555555"
_LEFT, _PANEL, _GAP, _BAR, _TOP, _RIGHT = 400, 300, 60, 9, 64, 40  # Pixels.
_SVG: Final = 'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="11"'
_Panel = tuple[str, Callable[[Row], float]]
_PANELS: Final[tuple[_Panel, ...]] = (
    ("the attacker's messages that were sent", lambda row: row.sent / row.attempted if row.attempted else 0.0),
    ("honest people who got no code", lambda row: row.honest_refused),
    ("honest people who saw a captcha", lambda row: row.honest_captcha),
)


def bar(share: float, width: int = 10) -> str:
    """Return a share as a bar of text, in eighths of a character.

    Args:
        share: from 0 to 1. A share above 0 is visible.
        width: the characters of the whole bar.
    """
    eighths = min(8 * width, max(round(share * 8 * width), int(share > 0)))
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def svg(rows: Sequence[Row]) -> str:
    """Return the picture of rows.

    Args:
        rows: rows of one size of site and one conversion are easiest to read, in the order of a run.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_label(row), []).append(row)
    parts: list[str] = []
    y = _TOP
    for label, group in groups.items():
        height = _BAR * len(group)
        parts.append(f'<text x="{_LEFT - 10}" y="{y + height / 2 + 4:.0f}" text-anchor="end">{escape(label)}</text>')
        for index, row in enumerate(group):
            parts += _bars(row, y + index * _BAR)
        y += height + 8
    width = _LEFT + len(_PANELS) * (_PANEL + _GAP)
    head = [
        f'<svg {_SVG} width="{width}" height="{y + 20}" viewBox="0 0 {width} {y + 20}" role="img">',
        f"<title>{escape(_title(rows))}</title>",
        f'<rect width="{width}" height="{y + 20}" fill="#ffffff"/>',
        f'<text x="10" y="20" font-size="14">{escape(_title(rows))}</text>',
        *_legend(rows),
        *(
            f'<text x="{_x(index)}" y="{_TOP - 8}">{escape(name)}</text>'
            f'<line x1="{_x(index)}" y1="{_TOP - 3}" x2="{_x(index)}" y2="{y}" stroke="#cccccc"/>'
            for index, (name, _) in enumerate(_PANELS)
        ),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _x(panel: int) -> int:
    return _LEFT + panel * (_PANEL + _GAP)


def _label(row: Row) -> str:
    return f"{row.attack} {row.start} ({row.honest_per_day:,} a day, {row.conversion:.0%}, bots {row.bot_pass:.0%})"


def _title(rows: Sequence[Row]) -> str:
    return f"otpkit simulate, seed {rows[0].seed}" if rows else "otpkit simulate"


def _colour(rule: str) -> str:
    return _COLOURS.get(rule, _OTHER)


def _legend(rows: Sequence[Row]) -> list[str]:
    found = []
    for index, rule in enumerate(dict.fromkeys(row.rule for row in rows)):
        x = _LEFT + 110 * index
        found.append(f'<rect x="{x}" y="12" width="10" height="10" fill="{_colour(rule)}"/>')
        found.append(f'<text x="{x + 15}" y="21">{escape(rule)}</text>')
    return found


def _bars(row: Row, y: int) -> list[str]:
    found = []
    for index, (name, share_of) in enumerate(_PANELS):
        share = share_of(row)
        width = max(share * (_PANEL - _RIGHT), 0.5)
        about = f"{row.attack} {row.start}, {row.rule} ({row.mode}): {name} {share:.2%}"
        found.append(
            f'<rect x="{_x(index)}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{_colour(row.rule)}">'
            f"<title>{escape(about)}</title></rect>"
            f'<text x="{_x(index) + width + 4:.0f}" y="{y + _BAR - 2}" font-size="8">{share:.1%}</text>'
        )
    return found
