"""Print the extras for users in pip's format: all except those for examples, tests and documentation."""

from __future__ import annotations

import tomllib
from pathlib import Path

NOT_FOR_USERS = {"dev", "docs", "examples", "test"}


def names() -> list[str]:
    """Return their names."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    return sorted(set(tomllib.loads(text)["project"]["optional-dependencies"]) - NOT_FOR_USERS)


if __name__ == "__main__":
    print(",".join(names()))
