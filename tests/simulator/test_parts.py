"""Each part of the rule is needed: without it, a named row of the simulator fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from simulated import row_of

from otpkit import Guard
from otpkit.core import scripts
from otpkit.guard.rule import Rule
from otpkit.simulator.deployment import Deployment
from otpkit.simulator.rows import Row

NEVER = 10**6


@dataclass(frozen=True)
class Part:
    """A part of the rule: how to take it out, and the row that then fails.

    `rule` are numbers that switch it off. `text`, a pattern, and `instead` change a script.
    """

    name: str
    attack: str
    holds: Callable[[Row], bool]
    values: dict[str, Any]
    rule: Rule | None = None
    text: str = ""
    instead: str = ""


PARTS = [
    Part("range", "burst-range-proxies", lambda row: row.sent <= 30, {}, Rule(range_floor=NEVER)),
    Part("range-refusal", "burst-range-proxies", lambda row: row.sent <= 30, {}, Rule(range_refusal=NEVER)),
    Part("address", "lockout-office-1200", lambda row: row.honest_captcha <= 0.05, {}, Rule(address_floor=NEVER)),
    Part(
        "address-refusal",
        "burst-scattered",
        lambda row: row.sent <= 1_500,
        {"bot_pass": 1.0},
        Rule(address_refusal=NEVER),
    ),
    Part(
        "address-that-verified",
        "lockout-office-60",
        lambda row: row.honest_refused == 0,
        {"bot_pass": 1.0},
        text=r"byte\(address, 8\) >= 96",
        instead="true",
    ),
    Part("network", "burst-scattered", lambda row: row.honest_captcha <= 0.02, {}, Rule(network_floor=NEVER)),
    Part(
        "short-window",
        "burst-scattered-proxies",
        lambda row: row.sent - row.captchas_solved <= 60,
        {"start": "20:00"},
        Rule(short_floor=NEVER),
    ),
    Part("day-window", "slow-scattered-proxies", lambda row: row.sent <= 75, {}, Rule(day_floor=NEVER)),
    Part(
        "guesses",
        "sprayer-proxies",
        lambda row: row.expected_guesses <= 0.00125,
        {"honest_per_day": 6_000},
        Rule(guesses_floor=NEVER),
    ),
    Part(
        "slot",
        "lockout-range-1200-proxies",
        lambda row: row.honest_refused == 0,
        {},
        text="SLOT_MS = 600000",
        instead="SLOT_MS = 86400000",
    ),
    Part(
        "verified-sends-are-taken-back",
        "none",
        lambda row: row.honest_captcha < 0.005,
        {},
        text=r"if records\[1\] then(?=\n  local has_address)",
        instead="if false then",
    ),
    Part(
        "rejected-sends-are-taken-back",
        "gateway-rejects",
        lambda row: row.honest_captcha < 0.005,
        {},
        text=r"if \(ARGV\[\d+\] or ''\) ~= '' then(?=\n  local record)",
        instead="if false then",
    ),
    Part(
        "passed-captchas-do-not-count-widely",
        "burst-scattered-proxies",
        lambda row: row.honest_captcha <= 0.12,
        {},
        text="not device and captcha ~= 112",
        instead="not device",
    ),
]


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Return a function that replaces a pattern in the scripts. It fails if no script has it."""

    def change(text: str, instead: str) -> None:
        read, seen = scripts._text, []

        def text_of(name: str, *options: Any, **more: Any) -> str:
            found, count = re.subn(text, instead, read(name, *options, **more))
            seen.extend([name] * count)
            return found

        monkeypatch.setattr(scripts, "_text", text_of)
        scripts._texts.cache_clear()
        scripts.load(Deployment().policy, Rule())
        assert seen, f"no script has {text!r}"

    yield change
    scripts._texts.cache_clear()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_row_fails_without_a_part(valkey_url: str, part: Part, changed: Callable[[str, str], None]) -> None:
    """It holds with the part."""
    assert part.holds(row_of(valkey_url, part.attack, **part.values))
    if part.text:
        changed(part.text, part.instead)
    guard = Guard() if part.rule is None else Guard(rule=part.rule)
    assert not part.holds(row_of(valkey_url, part.attack, deployment=Deployment(guard=guard), **part.values))
