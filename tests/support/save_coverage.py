"""A plug-in that saves what coverage has measured, before a worker of pytest-xdist ends without a farewell."""

from __future__ import annotations

import coverage


def pytest_sessionfinish() -> None:
    """Save it."""
    if current := coverage.Coverage.current():
        current.save()
