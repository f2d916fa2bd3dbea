"""`otpkit serve` uses uvicorn's internals, and has a list of tested versions."""

from __future__ import annotations

import logging
import tomllib
from pathlib import Path

import pytest
import uvicorn

from otpkit import ConfigurationError
from otpkit.service.server import TESTED_UVICORN, check_uvicorn

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def warnings_of(version: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING, "otpkit.service"):
        check_uvicorn(version)
    return [record.getMessage() for record in caplog.records]


def test_installed_uvicorn_is_tested(caplog: pytest.LogCaptureFixture) -> None:
    """For a newer version, run all of tests/service, and raise the upper bound."""
    assert warnings_of(uvicorn.__version__, caplog) == []


def test_oldest_uvicorn_is_that_of_the_extra() -> None:
    extras = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    major, minor = TESTED_UVICORN[0]
    assert f"uvicorn>={major}.{minor}" in extras["service"]


@pytest.mark.parametrize("version", ["0.29.9", "0.9"])
def test_older_uvicorn_is_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match=f"uvicorn {version} is too old.*pip install"):
        check_uvicorn(version)


@pytest.mark.parametrize("version", ["0.999.0", "1.0", "1.0rc1"])
def test_newer_uvicorn_is_warned_of(version: str, caplog: pytest.LogCaptureFixture) -> None:
    [warning] = warnings_of(version, caplog)
    assert f"uvicorn {version} is newer" in warning
