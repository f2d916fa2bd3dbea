"""The lists in the reference that are written by hand match the code."""

from __future__ import annotations

import re

from page_blocks import ROOT

from otpkit import Event
from otpkit.service.metrics import Metrics


def page(name: str) -> str:
    return (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")


def test_event_names_are_listed() -> None:
    """The docstring of `Event` has them. There, `ip` is an argument."""
    sentence = re.split(r"`operation`\s+is", re.split("`name`", str(Event.__doc__), maxsplit=1)[1], maxsplit=1)[0]
    names = set(re.findall(r"`([a-z_]+)`", sentence)) - {"ip"}
    table = page("events.md").partition("## Names")[2].partition("## Fields")[0]
    listed = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert listed == names


def test_metrics_are_listed() -> None:
    families = list(Metrics().registry.collect())
    assert families
    for family in families:
        suffix = "_total" if family.type == "counter" else ""
        assert f"`{family.name}{suffix}`" in page("events.md")
