"""If libraries are missing, the command names the extra to install, without a traceback."""

from __future__ import annotations

import pytest
from cli_process import python

RUN = """
import sys
sys.modules[sys.argv.pop(1)] = None
from otpkit.cli import main
main()
"""


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_the_commands_own_libraries(library: str) -> None:
    done = python("-c", RUN, library, "--help")
    assert (done.status, done.out) == (2, "")
    assert library in done.err
    assert "pip install 'otpkit[cli]'" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("library", "args", "extra"),
    [
        ("starlette", ("sandbox",), "sandbox"),
        ("pydantic_settings", ("doctor",), "settings"),
        ("pydantic_settings", ("doctor", "--config", "otpkit.toml"), "settings"),
        ("uvicorn", ("demo", "--check"), "sandbox"),
        ("fakeredis", ("demo", "--check"), "embedded"),
        ("fakeredis", ("demo", "--port", "0"), "embedded"),
    ],
)
def test_the_libraries_of_one_command(library: str, args: tuple[str, ...], extra: str) -> None:
    done = python("-c", RUN, library, *args)
    assert (done.status, done.out) == (2, "")
    assert f"pip install 'otpkit[{extra}]'" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("library", ["starlette", "pydantic_settings"])
def test_keys_need_neither_a_web_server_nor_settings(library: str) -> None:
    assert python("-c", RUN, library, "keygen").status == 0


def test_a_fault_of_our_own_is_no_missing_extra() -> None:
    done = python("-c", RUN, "otpkit.cli.output", "--help")
    assert "Traceback" in done.err
