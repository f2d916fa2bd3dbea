"""The README keeps its word: every command and every block in it is run."""

from __future__ import annotations

import ast
import builtins
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from support.readme_blocks import PYTHON, ROOT, SHELL, TEXT, TOML, Inbox, block_with, production, run_block
from support.secrets import SECRET

from otpkit import OTP, Template, gateways
from otpkit.settings import read_settings
from otpkit.testing import MovableClock, Outbox

BIN = Path(sys.executable).parent


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """What the blocks send, in the environment that the README sets."""
    with production(monkeypatch) as inbox:
        yield inbox


@pytest.fixture
def paste(inbox: Inbox) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Run a block as it stands; nothing is given to it but that environment."""
    with ExitStack() as opened:

        def paste(mark: str) -> dict[str, Any]:
            scope = run_block(mark)
            for each in scope.values():
                if isinstance(each, OTP):
                    opened.callback(each.close)
            return scope

        yield paste


def test_the_first_example_pasted_into_a_file_verifies_a_phone(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(PYTHON[0], encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-u", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        prompt = ""
        while not prompt.endswith("type it: "):
            character = process.stdout.read(1)
            assert character, process.stderr.read() if process.stderr else ""
            prompt += character
        inbox = re.findall(r"http://\S+", prompt)[0]
        (message,) = requests.get(f"{inbox}/api/messages?phone=13800138000", timeout=5).json()
        output, errors = process.communicate(message["code"] + "\n", timeout=30)
    finally:
        watchdog.cancel()
        process.kill()
    assert process.returncode == 0, errors
    assert output.startswith("Proof(")


def test_the_first_example_has_about_ten_lines() -> None:
    statement = PYTHON[0].partition("with running")[2].strip().splitlines()
    assert len(statement) <= 11


def test_no_block_uses_a_name_that_it_lacks() -> None:
    """It imports or defines all that it names, and where it is the body of a file, nothing more is needed."""
    for block in PYTHON:
        assert lacking(block) == set(), block


def lacking(block: str) -> set[str]:
    """Return the names that a block reads and neither imports nor assigns nor takes as an argument."""
    tree = ast.parse(block)
    has = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            has |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            has.add(node.name)
        elif isinstance(node, ast.arg):
            has.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            has.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            has.add(node.id)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - has


def test_the_form_redeems_the_proof(paste: Any, inbox: Inbox) -> None:
    form = paste("def create_account")
    form["send_code"]("138 0013 8000", "203.0.113.7")
    assert form["create_account"]("13800138000", inbox.code(), "138 0013 8000", "203.0.113.7") == (201, "", None)
    assert form["accounts"] == {"+8613800138000"}


@pytest.mark.parametrize("missing", [None, ""])
def test_the_form_without_a_phone_creates_nothing(paste: Any, inbox: Inbox, missing: Any) -> None:
    form = paste("def create_account")
    form["send_code"]("138 0013 8000", "203.0.113.7")
    assert form["create_account"]("13800138000", inbox.code(), missing, "203.0.113.7")[0] == 401
    assert form["accounts"] == set()


def test_the_form_answers_an_error_in_the_persons_language(paste: Any, inbox: Inbox) -> None:
    form = paste("def create_account")
    form["send_code"]("138 0013 8000", "203.0.113.7")
    status, sentence, _ = form["create_account"]("13800138000", "x" + inbox.code(), "13800138000", "203.0.113.7")
    assert (status, "验证码" in sentence) == (422, True)


def test_a_login_is_the_same_two_calls(paste: Any, inbox: Inbox) -> None:
    login = paste("def send_login_code")
    login["send_login_code"]("13800138000", "a session", "203.0.113.7")
    assert login["log_in"]("13800138000", inbox.code(), "a session", "203.0.113.7") == "+8613800138000"


def test_the_policy_says_what_a_bill_may_come_to(paste: Any) -> None:
    assert paste("region_sends=")["policy"].code_length == 8


def test_the_secret_is_rotated_in_two_steps(paste: Any, inbox: Inbox) -> None:
    otp = paste("new_secret, old_secret")["otp"]
    otp.issue("13800138000")
    assert otp.verify("13800138000", inbox.code())


def test_a_reviewer_gets_a_number_to_which_nothing_is_sent(paste: Any) -> None:
    otp = paste("FixedCode(")["otp"]
    otp.issue("13800000000")
    assert otp.verify("13800000000", "135790").fixed


def test_the_gateway_is_used_directly(paste: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert paste("gateway.send_sms")["receipt"].outcome == "accepted"
    assert re.search("delivered|waiting", capsys.readouterr().out)


def test_a_function_is_a_gateway(paste: Any, capsys: pytest.CaptureFixture[str]) -> None:
    template = Template("SMS_1", "阿里大鱼", body="验证码${code}")
    with OTP("memory://", paste("def my_gateway")["my_gateway"], template, SECRET) as otp:
        assert otp.issue("13800138000").delivery == "accepted"
    assert "【阿里大鱼】验证码" in capsys.readouterr().out


def test_several_gateways_serve_two_regions(paste: Any) -> None:
    otp = paste("failover = Failover(")["otp"]
    assert otp.policy.regions == {"CN", "HK"}
    assert len(otp._config.routing.members) >= 4


def test_a_code_is_spoken(paste: Any, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gateways.AliyunVoice

    def voice(key_id: str, key_secret: str) -> Any:
        assert (key_id, key_secret) == ("key-id", "key-secret")  # which the reader replaces
        return real("sandbox", "sandbox-secret", base_url=inbox.url)

    monkeypatch.setattr("otpkit.gateways.AliyunVoice", voice)
    paste('channel="voice"')["call"]("13800138000")
    assert len(inbox.code()) == 6


def test_a_view_takes_receipts(paste: Any) -> None:
    request = SimpleNamespace(url="https://me.example/secret", headers={}, get_data=lambda: b"[]")
    assert paste("def receipts_view")["receipts_view"](request)[:2] == (b'{"code":0,"msg":"ok"}', 200)


def test_a_gateway_of_ones_own_sends(paste: Any) -> None:
    names = runpy.run_path(str(ROOT / "examples" / "custom_gateway.py"))  # its server
    carrier = paste("class Carrier(")["Carrier"]
    template = Template("text", "otpkit", body="Your code is ${code}")
    with HTTPServer(("127.0.0.1", 0), names["Provided"]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/messages"
        with OTP("memory://", carrier(url, "a key"), template, SECRET) as otp:
            assert otp.issue("13800138000").delivery == "accepted"
            assert otp.verify("13800138000", names["Provided"].texts[-1][-6:])
        server.shutdown()
        thread.join()


def test_the_test_of_a_user_passes(otp: OTP, otp_outbox: Outbox, otp_clock: MovableClock) -> None:
    run_block("def test_signup")["test_signup"](otp, otp_outbox, otp_clock)


def in_shell(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    environ["PATH"] = f"{BIN}{os.pathsep}{environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", script], env=environ, capture_output=True, text=True, timeout=600, check=False, **options
    )


def test_the_environment_of_production_configures_an_otp() -> None:
    exports = block_with("export OTPKIT_SECRET", SHELL)
    from_env = block_with("OTP.from_env(policy")
    done = in_shell(f"{exports}\npython -c '{from_env}print(otp)'")
    assert done.returncode == 0, done.stderr
    assert "OTP" in done.stdout


def test_the_file_with_two_gateways_configures_an_otp(tmp_path: Path) -> None:
    """Beside what the file and the environment hold that are shown above it."""
    file = tmp_path / "otpkit.toml"
    shown = block_with("[keys.shop]", TOML).replace("c2a5…", "0" * 64)
    root, tables = block_with("failover.rest_after", TOML).split("\n\n", 1)
    file.write_text(shown.replace('gateway = "alidayu"', root) + tables, encoding="utf-8")
    keys = {"ALIDAYU_APP_SECRET": "x", "TENCENT_SECRET_ID": "x", "TENCENT_SECRET_KEY": "x", "TENCENT_SDK_APP_ID": "1"}
    environ = {f"OTPKIT_{name}": value for name, value in keys.items()} | {"OTPKIT_SECRET": SECRET}
    chosen = read_settings(environ, str(file), serves=True).otp["gateway"]
    assert (len(chosen.gateways), chosen.rest_after) == (2, 5)
    assert chosen.gateways[1].template["signup"].params == {"1": "{code}"}


@pytest.mark.timeout(700)
def test_the_first_command_works_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(
        ROOT, clone, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", "build", "dist")
    )
    for command in (SHELL[0], TRIED[0]):  # the second activates what the first made, in a shell of another day
        done = in_shell(command, cwd=clone)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_second_command_is_what_the_whole_check_runs() -> None:
    (command,) = SHELL[1].splitlines()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert """grep -m1 -F "pip install -e '.[test]'" README.md""" in script
    assert next(line for line in TEXT.splitlines() if "pip install -e '.[test]'" in line) == command


TRIED = block_with("otpkit demo\n", SHELL).splitlines()


@pytest.mark.parametrize("command", TRIED[1:])
def test_what_can_be_tried_starts_serves_and_stops_at_ctrl_c(command: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    environ |= {"PATH": f"{BIN}{os.pathsep}{environ['PATH']}", "PYTHONUNBUFFERED": "1", "PORT": "0"}
    process = subprocess.Popen(
        command.split(), cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        printed = ""
        wanted = 2 if "examples" in command else 1  # the inbox first, then the example itself
        while len(found := re.findall(r"http://127\.0\.0\.1:\d+", printed)) < wanted:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        assert eventually(found[-1]) < 500
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    finally:
        watchdog.cancel()
        process.kill()
    assert "Traceback" not in printed + rest


def eventually(url: str) -> int:
    deadline = time.monotonic() + 20
    while True:
        try:
            return requests.get(url, timeout=5).status_code
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
