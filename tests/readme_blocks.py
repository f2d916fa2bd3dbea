"""The code blocks of the README, by their language."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


PYTHON, SHELL, TOML = blocks("python"), blocks("sh"), blocks("toml")


def block_with(mark: str, among: list[str] = PYTHON) -> str:
    """Return the one block that holds `mark`."""
    (found,) = [block for block in among if mark in block]
    return found
