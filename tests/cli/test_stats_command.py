"""`otpkit stats`: the figures as tables and as JSON."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from typing import Self

import pytest
from cli_process import otpkit
from rich.console import Console
from support.console import figures_of

from otpkit import StoreUnavailableError
from otpkit.cli import stats as command

PRICES = {"OTPKIT_PRICES": '{"CN": "0.045 CNY"}'}


def test_it_shows_what_happened(configured: dict[str, str]) -> None:
    """The table has a line for each region, gateway and hour, and a bar."""
    env = configured | PRICES | {"COLUMNS": "120"}
    for phone in ("13800138000", "13900139000"):
        assert otpkit("issue", phone, env=env).status == 0
    assert otpkit("verify", "13800138000", "000000", env=env).status == 4
    done = otpkit("stats", "--hours", "2", env=env)
    assert (done.status, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["2", "sent,", "0", "verified", "(0%),", "0.09", "CNY"] in lines
    for name in ("CN", "alidayu"):
        (row,) = [line for line in lines if line[:1] == [name]]
        assert row == [name, "2", "█" * 16, "0", "0%", "0", "1", "0", "-", "-", "0.09"]
    assert len([line for line in lines if line and re.fullmatch(r"[0-9]{2}-[0-9]{2}", line[0])]) == 2


def test_a_console_without_blocks_gets_other_bars(configured: dict[str, str]) -> None:
    assert otpkit("issue", "13800138000", env=configured).status == 0
    done = otpkit("stats", env=configured | {"PYTHONIOENCODING": "ascii"})
    assert "#" * 6 in done.out
    assert done.out.isascii()


def test_json_has_every_figure(configured: dict[str, str]) -> None:
    env = configured | PRICES
    assert otpkit("issue", "13800138000", env=env).status == 0
    done = otpkit("stats", "--json", env=env)
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["currency"], found["total"]["sent"], found["total"]["cost"]) == ("CNY", 1, "0.045")
    assert found["regions"] == {"CN": found["total"]}
    assert found["gateways"] == {"alidayu": found["total"]}
    assert len(found["spans"]) == 24
    assert found["spans"][0]["at"] == found["since"]


def test_days_are_shown_for_a_long_span(configured: dict[str, str]) -> None:
    done = otpkit("stats", "--hours", "2000", env=configured)
    assert len(re.findall(r"^20[0-9]{2}-[0-9]{2}-[0-9]{2} ", done.out, re.MULTILINE)) == 48


def test_hours_that_are_not_kept_are_refused(configured: dict[str, str]) -> None:
    done = otpkit("stats", "--hours", "0", "--json", env=configured)
    assert done.status != 0
    assert "9600" in done.out + done.err


def test_watching_prints_a_line_for_each_look_until_it_is_interrupted(configured: dict[str, str]) -> None:
    command = [sys.executable, "-m", "otpkit", "stats", "--watch", "--json"]
    with subprocess.Popen(
        command, env=configured, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["total"]["sent"] == 0
        time.sleep(0.1)  # It is now between two looks.
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode != 0


def test_watching_goes_on_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures stay, below the problem, until Redis answers again."""
    looks = iter([figures_of(), StoreUnavailableError("It is away.", "Look."), figures_of(), KeyboardInterrupt()])
    shown: list[str] = []

    class Recorded:
        """An `OTP` whose looks are given, and a screen that keeps what it shows."""

        def __init__(self, *page: object, **options: object) -> None:
            for each in page:
                self.update(each)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *exc_info: object) -> None:
            return None

        def stats(self, hours: int) -> object:
            look = next(looks)
            if isinstance(look, BaseException):
                raise look
            return look

        def update(self, page: object, *, refresh: bool = False) -> None:
            console = Console(width=100)
            with console.capture() as capture:
                console.print(page)
            shown.append(capture.get())

    monkeypatch.setattr(command, "configured", lambda config: Recorded())
    monkeypatch.setattr(command, "Live", Recorded)
    monkeypatch.setattr(command, "_EVERY_S", 0)
    with pytest.raises(KeyboardInterrupt):
        command.stats(watch=True)
    usual, away, again = shown
    assert usual == again
    assert away == "It is away.\n" + usual
