"""The command that simulates attacks."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_process import COMMAND, environment, otpkit

from otpkit.simulator.attacks import ATTACKS
from otpkit.simulator.rules import RULES


@pytest.fixture
def store(valkey_url: str) -> dict[str, str]:
    return {"OTPKIT_REDIS_URL": valkey_url}


def test_list_names_attacks_rules_and_modes() -> None:
    ended = otpkit("simulate", "--list", "--json")
    assert ended.status == 0
    found = json.loads(ended.out)
    assert [each["name"] for each in found["attacks"]] == list(ATTACKS)
    assert [each["name"] for each in found["rules"]] == list(RULES)
    assert found["modes"] == ["off", "enforce", "observe"]
    text = otpkit("simulate", "--list").out
    assert all(name in text for name in (*ATTACKS, *RULES, *found["modes"]))


def test_json_is_one_array_of_rows(store: dict[str, str]) -> None:
    ended = otpkit("simulate", "--json", "--only", "none", "--seed", "3", env=store)
    assert (ended.status, ended.err) == (0, "")
    rows = json.loads(ended.out)
    assert [(row["rule"], row["mode"]) for row in rows] == [
        ("none", "off"),
        ("authgear", "enforce"),
        ("prefix", "enforce"),
        ("guard", "enforce"),
        ("guard", "observe"),
        ("budget", "enforce"),
    ]
    assert {row["seed"] for row in rows} == {3}
    assert {row["honest"] for row in rows} == {1_000}


def test_a_table_and_a_picture_are_made(store: dict[str, str], tmp_path: Path) -> None:
    picture = tmp_path / "out.svg"
    ended = otpkit("simulate", "--only", "lockout-region-30-proxies", "--plot", str(picture), env=store)
    assert ended.status == 0
    assert "lockout-region-30-proxies at 00:00: 1,000 people a day" in ended.out
    assert [line.split()[0] for line in ended.out.splitlines()[3:7]] == [name for name in RULES if name != "budget"]
    assert picture.read_text("utf-8").startswith("<svg")


def test_a_file_and_a_log_replace_settings_and_people(store: dict[str, str], tmp_path: Path) -> None:
    log, policy = tmp_path / "log.csv", tmp_path / "otpkit.toml"
    log.write_text("time,number,address,outcome\n100,a,b,verified\n200,c,d,unverified\n", "utf-8")
    policy.write_text('[policy]\ntotal_sends = "1/day"\n', "utf-8")
    ended = otpkit(
        "simulate",
        "--json",
        "--only",
        "none",
        "--trace",
        str(log),
        "--policy",
        str(policy),
        "--processes",
        "1",
        env=store,
    )
    assert ended.status == 0
    first = json.loads(ended.out)[0]
    assert (first["honest"], first["honest_sent"], first["conversion"]) == (2, 1, 0.5)
    assert first["honest_refused"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "burst"), "'burst' is no attack"),
        (("--seed", "x"), "Invalid value for '--seed'"),
        (("--processes", "0"), "Invalid value for '--processes'"),
        (("--policy", "missing.toml"), "missing.toml can't be read"),
        (("--trace", "missing.csv"), "missing.csv can't be read"),
        (("--plot", os.path.join("missing", "a.svg")), "can't be written"),
        (("--grid", "--trace", "a.csv"), "--grid and --trace exclude each other"),
    ],
)
def test_bad_input_is_refused_before_a_run(arguments: tuple[str, ...], said: str) -> None:
    ended = otpkit("simulate", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_store_that_is_away_is_reported() -> None:
    ended = otpkit("simulate", "--only", "none", "--processes", "1", env={"OTPKIT_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert ended.status == 9
    assert "Traceback" not in ended.err


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_killed_command_leaves_no_process(tmp_path: Path) -> None:
    """Neither its workers nor the server that it started."""
    marker = f"TMPDIR={tmp_path}"
    process = subprocess.Popen(
        [*COMMAND, "simulate", "--only", "bomber-10000-proxies", "--processes", "2"],
        env=environment({"TMPDIR": str(tmp_path)}),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(processes_with(marker)) >= 5)  # the command, a shell, the server, two workers
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not processes_with(marker))


def processes_with(variable: str) -> list[str]:
    """Return the processes that have a variable in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder.name)
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
