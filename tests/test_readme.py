"""The README keeps its word: every command and every block in it is run."""

from __future__ import annotations

import datetime as dt
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from readme_blocks import PYTHON, ROOT, SHELL, TEXT, block_with
from secrets_of_tests import OTHER_SECRET, SECRET

import otpkit
from otpkit import OTP, OTPError, Policy, Template, WrongCodeError, gateways
from otpkit.gateways import Alidayu
from otpkit.sandbox import Sandbox, running
from otpkit.testing import MovableClock, Outbox

BIN = Path(sys.executable).parent


@pytest.fixture
def code() -> Iterator[Any]:
    """Run a block with the names that the text around it speaks of."""
    outbox = Outbox()
    arguments: dict[str, Any] = {"redis": "memory://", "gateway": outbox, "template": Template("SMS_1", "阿里大鱼")}

    class Codes:
        """What the person types is what the phone shows."""

        def __str__(self) -> str:
            return outbox[-1].code

    otp = OTP(**arguments, secret=SECRET)
    real_verify = otp.verify
    otp.verify = lambda phone, typed, *a, **k: real_verify(phone, str(typed), *a, **k)  # type: ignore[method-assign]
    names = {
        **{name: getattr(otpkit, name) for name in otpkit.__all__},
        **arguments,
        "otp": otp,
        "phone": "13800138000",
        "form_phone": "138 0013 8000",
        "visitor_ip": "203.0.113.7",
        "session_id": "a session",
        "code_typed": Codes(),
        "create_account": lambda phone: SimpleNamespace(phone=phone),
        "new_secret": OTHER_SECRET,
        "old_secret": SECRET,
        "secret": SECRET,
        "datetime": dt.datetime,
        "timedelta": dt.timedelta,
        "UTC": dt.UTC,
        "Alidayu": Alidayu,
    }

    def run(block: str, **more: Any) -> dict[str, Any]:
        scope = {**names, **more}
        exec(compile(block, "README.md", "exec"), scope)
        return scope

    yield run
    otp.close()


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


def test_the_form_redeems_the_proof(code: Any) -> None:
    scope = code(block_with("account = create_account"))
    assert scope["account"].phone == "+8613800138000"


@pytest.mark.parametrize("missing", [None, ""])
def test_the_form_without_a_phone_creates_nothing(code: Any, missing: Any) -> None:
    scope = code(block_with("account = create_account"), form_phone=missing)
    assert scope["answer"][0] == 401
    assert "account" not in scope


def test_the_form_answers_an_error_in_the_persons_language(code: Any) -> None:
    scope = code(block_with("account = create_account"), code_typed="000000")
    assert scope["answer"][0] == WrongCodeError.status
    assert "验证码" in scope["answer"][1]
    assert isinstance(scope["error"] if "error" in scope else OTPError(), OTPError)


def test_a_login_is_the_same_two_calls(code: Any) -> None:
    assert code(block_with('"login", bind=session_id'))["proof"].purpose == "login"


def test_the_policy_says_what_a_bill_may_come_to(code: Any) -> None:
    policy: Policy = code(block_with("region_sends="))["policy"]
    assert policy.code_length == 8


def test_the_secret_is_rotated_in_two_steps(code: Any) -> None:
    code(block_with("new_secret, old_secret"))


def test_a_reviewer_gets_a_number_to_which_nothing_is_sent(code: Any) -> None:
    scope = code(block_with("FixedCode("))
    scope["otp"].issue("13800000000")
    assert scope["otp"].verify("13800000000", "135790").fixed


def test_the_gateway_is_used_directly(code: Any, capsys: pytest.CaptureFixture[str]) -> None:
    china = dt.timezone(dt.timedelta(hours=8))
    with running(Sandbox(receipt_after=0)) as local:
        scope = code(
            block_with("gateway.send_sms"),
            app_key="sandbox",
            app_secret="sandbox-secret",
            gateway_url=local.gateway_url,
            today=dt.datetime.now(china).date(),
        )
    assert scope["receipt"].outcome == "accepted"
    assert "delivered" in capsys.readouterr().out


def test_a_function_is_a_gateway(code: Any) -> None:
    sent: list[dict[str, Any]] = []
    service = SimpleNamespace(send=lambda **message: sent.append(message))
    scope = code(block_with("def my_gateway"), my_sms_service=service)
    template = Template("SMS_1", "阿里大鱼", body="验证码${code}")
    with OTP("memory://", scope["my_gateway"], template, SECRET) as otp:
        assert otp.issue("13800138000").delivery == "accepted"
    assert sent[0]["text"].startswith("【阿里大鱼】验证码")


def test_several_gateways_serve_two_regions(code: Any) -> None:
    abroad = Outbox()
    scope = code(
        block_with("failover = Failover("),
        **{name: getattr(gateways, name) for name in ("Aliyun", "AliyunVoice", "Failover", "Route", "Tencent")},
        key_id="id",
        key_secret="s",
        secret_id="id",
        secret_key="s",
        twilio=abroad,
    )
    assert scope["otp"].issue("+85251234567").gateway == "outbox"
    assert len(abroad) == 1


def test_a_code_is_spoken(code: Any) -> None:
    class Calls(Outbox):
        channels = frozenset({"voice"})

    with OTP("memory://", calls := Calls(), Template("TTS_1", "阿里大鱼"), SECRET) as otp:
        code(block_with('channel="voice"'), otp=otp)
    assert calls[-1].channel == "voice"


def test_a_view_takes_receipts(code: Any) -> None:
    with OTP("memory://", gateways.Aliyun("id", "s"), Template("SMS_1", "阿里大鱼"), SECRET) as otp:
        scope = code(block_with("def receipts_view"), otp=otp, Push=gateways.Push)
        request = SimpleNamespace(url="https://me.example/secret", headers={}, get_data=lambda: b"[]")
        assert scope["receipts_view"](request)[:2] == (b'{"code":0,"msg":"ok"}', 200)


def test_a_gateway_of_ones_own_sends(code: Any) -> None:
    names = runpy.run_path(str(ROOT / "examples" / "custom_gateway.py"))  # its imports, and its server
    carrier = code(block_with("class Carrier("), **names)["Carrier"]
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


def test_the_test_of_a_user_passes(otp: OTP, otp_outbox: Outbox, otp_clock: MovableClock, code: Any) -> None:
    code(block_with("def test_signup"))["test_signup"](otp, otp_outbox, otp_clock)


def in_shell(script: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    environ["PATH"] = f"{BIN}{os.pathsep}{environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", script], env=environ, capture_output=True, text=True, timeout=600, check=False, **options
    )


def test_the_environment_of_production_configures_an_otp() -> None:
    exports = block_with("export OTPKIT_SECRET", SHELL)
    from_env = block_with("OTP.from_env(")
    check = f"from otpkit import OTP, Policy\n{from_env}\nprint(otp)"
    done = in_shell(f"{exports}\npython -c '{check}'")
    assert done.returncode == 0, done.stderr
    assert "OTP" in done.stdout


@pytest.mark.timeout(700)
def test_the_first_command_works_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shutil.copytree(
        ROOT, clone, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", "build", "dist")
    )
    done = in_shell(SHELL[0], cwd=clone)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_second_command_is_what_the_whole_check_runs() -> None:
    (command,) = SHELL[1].splitlines()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert """grep -m1 -F "pip install -e '.[test]'" README.md""" in script
    assert next(line for line in TEXT.splitlines() if "pip install -e '.[test]'" in line) == command


@pytest.mark.parametrize("command", block_with("otpkit demo\n", SHELL).splitlines())
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
