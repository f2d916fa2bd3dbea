"""A plug-in that saves the coverage data before a pytest-xdist worker ends abruptly."""

from __future__ import annotations

import coverage


def pytest_sessionfinish() -> None:
    """Save the coverage data."""
    if current := coverage.Coverage.current():
        current.save()
