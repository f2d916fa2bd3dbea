"""`keygen`, `issue`, `verify`, `delivery`, `standing` and `unblock`, each in its own process."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cli_process import COMMAND, PHONE, SECONDS, Ended, environment, otpkit
from typer.testing import CliRunner

from otpkit import OTP, Policy, WrongCodeError
from otpkit.cli.commands import app
from otpkit.sandbox import Sandbox
from otpkit.testing import MovableClock

Env = dict[str, str]
DAY_S = 86_400


def succeeded(done: Ended) -> str:
    """Return the output of a command that succeeded. Its standard error must be empty."""
    assert (done.status, done.err) == (0, "")
    return done.out


def refused(done: Ended, status: int) -> str:
    """Return the only line of a command that failed with `status`."""
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith("otpkit: ")
    assert done.err.count("\n") == 1
    return done.err


def code_of(sandbox: Sandbox) -> str:
    code = sandbox.messages(PHONE)[0].code
    assert code
    return code


def test_the_environments_policy_and_templates_hold_for_commands_too(configured: Env, sandbox: Sandbox) -> None:
    """Both are not limited to `otpkit serve`."""
    template = {"code": "SMS_2", "sign_name": "阿里大鱼"}
    own = configured | {
        "OTPKIT_POLICY": '{"code_length": 8, "sends": "1/hour"}',
        "OTPKIT_TEMPLATES": json.dumps({"signup": template}),
    }
    del own["OTPKIT_TEMPLATE_CODE"]
    succeeded(otpkit("issue", PHONE, env=own))
    assert re.fullmatch(r"\d{8}", code_of(sandbox))
    assert "1/hour" in refused(otpkit("issue", PHONE, env=own), 6)
    done = otpkit("issue", PHONE, env=own | {"OTPKIT_POLICY": '{"code_lenght": 8}'})
    said = "OTPKIT_POLICY.code_lenght: policy has no field 'code_lenght'; did you mean code_length?"
    assert (done.status, done.err) == (2, f"otpkit: {said} Correct its name, or remove it.\n")


def test_commands_read_the_file_of_the_service(configured: Env, sandbox: Sandbox, tmp_path: Path) -> None:
    """They read the same file, with its API keys. The environment takes precedence."""
    file = tmp_path / "otpkit.toml"
    text = 'namespace = "no:where"\n[policy]\ncode_length = 8\n[keys.shop]\nkey_sha256 = "%s"\npurposes = ["signup"]\n'
    file.write_text(text % ("0" * 64), encoding="utf-8")
    succeeded(otpkit("issue", PHONE, "--config", str(file), env=configured))
    assert re.fullmatch(r"\d{8}", code_of(sandbox))
    file.write_text("[policy]\ncode_lenght = 8\n", encoding="utf-8")
    done = otpkit("status", PHONE, "--config", str(file), env=configured)
    assert (done.status, done.out) == (2, "")
    said = f"{file}: policy.code_lenght: policy has no field 'code_lenght'; did you mean code_length?"
    assert done.err == f"otpkit: {said} Correct its name, or remove it.\n"


def other_than(code: str) -> str:
    return f"{code[:-1]}{(int(code[-1]) + 1) % 10}"


def block(sandbox: Sandbox) -> None:
    """Type a hundred wrong codes in a row, some days ago."""
    clock = MovableClock(time.time() - 9 * DAY_S)
    policy = Policy(sends="32/day", failures="64/day", attempts=10, device_failures=0, device_consecutive=0)
    with OTP.from_env(clock=clock, policy=policy) as otp:
        for _ in range(10):
            otp.issue(PHONE)
            for _ in range(10):
                with pytest.raises(WrongCodeError):
                    otp.verify(PHONE, other_than(code_of(sandbox)))
            clock.advance(DAY_S / 4)


def leaks(env: Env, sandbox: Sandbox, *texts: str) -> list[str]:
    """Return the parts of `texts` that must never be printed: a secret, a code, a whole number."""
    secrets = [env["OTPKIT_SECRET"], env["OTPKIT_ALIDAYU_APP_SECRET"], PHONE]
    secrets += [message.code for message in sandbox.messages() if message.code]
    return [secret for secret in secrets if any(secret in text for text in texts)]


def test_keygen_prints_a_fresh_secret_and_nothing_else() -> None:
    lines = [succeeded(otpkit("keygen")) for _ in range(2)]
    assert lines[0] != lines[1]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_-]+\n", line)
        assert len(base64.urlsafe_b64decode(line.strip() + "=")) >= 32


def test_a_code_is_issued_traced_and_verified(configured: Env, sandbox: Sandbox) -> None:
    issued = succeeded(otpkit("issue", "138 0013 8000", env=configured))
    assert issued.startswith("A code for +*********8000: accepted\n")
    traced = succeeded(otpkit("delivery", PHONE, env=configured))
    assert traced.startswith("The latest message: delivered\n")
    verified = succeeded(otpkit("verify", PHONE, code_of(sandbox), env=configured))
    assert verified.startswith("Verified +*********8000\n")
    assert re.search(r"^  id +[A-Za-z0-9_-]{22}$", verified, re.MULTILINE)
    assert re.search(r"^  expires at +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\+00:00$", verified, re.MULTILINE)
    assert "token" not in verified
    assert leaks(configured, sandbox, issued, traced, verified) == []


def test_a_pasted_number_and_its_region_are_read(configured: Env, sandbox: Sandbox) -> None:
    pasted = "\u202d138\u00a00013\u20118000\u202c"
    succeeded(otpkit("issue", pasted, "--region", "CN", env=configured))
    code = code_of(sandbox).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    succeeded(otpkit("delivery", pasted, "--region", "CN", env=configured))
    succeeded(otpkit("verify", pasted, code, "--region", "CN", env=configured))
    succeeded(otpkit("standing", pasted, "--region", "CN", env=configured))
    succeeded(otpkit("unblock", pasted, "--region", "CN", env=configured))
    assert "Policy.regions" in refused(otpkit("standing", PHONE, "--region", "HK", env=configured), 3)


def test_json_has_the_same_values(configured: Env, sandbox: Sandbox) -> None:
    def run(*args: str) -> dict[str, Any]:
        out = succeeded(otpkit(*args, "--json", env=configured))
        assert out.count("\n") == 1
        assert leaks(configured, sandbox, out) == []
        row: dict[str, Any] = json.loads(out)
        return row

    challenge = run("issue", PHONE)
    assert challenge["delivery"] == "accepted"
    assert (challenge["phone"], challenge["purpose"]) == ("+*********8000", "signup")
    assert (challenge["attempts_left"], challenge["sends_left"], challenge["replayed"]) == (5, 6, False)
    delivery = run("delivery", PHONE)
    assert (delivery["state"], delivery["gateway"]) == ("delivered", "alidayu")
    proof = run("verify", PHONE, code_of(sandbox))
    assert set(proof) == {"id", "phone", "purpose", "verified_at", "expires_at", "fixed", "device"}
    assert proof["fixed"] is False


def test_the_code_is_read_from_standard_input_and_the_token_can_be_redeemed(
    configured: Env, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeeded(otpkit("issue", PHONE, "--purpose", "login", "--bind", "session 7", env=configured))
    out = succeeded(
        otpkit(
            *("verify", PHONE, "--purpose", "login", "--bind", "session 7", "--token", "--json"),
            env=configured,
            stdin=f"{code_of(sandbox)}\n",
        )
    )
    for name, value in configured.items():
        monkeypatch.setenv(name, value)
    with OTP.from_env() as otp:
        assert otp.redeem(json.loads(out)["token"], "login", bind="session 7").phone == f"+86{PHONE}"


@pytest.mark.skipif(os.name != "posix", reason="a terminal of its own")
def test_the_code_typed_at_a_terminal_is_not_echoed(configured: Env, sandbox: Sandbox) -> None:
    succeeded(otpkit("issue", PHONE, env=configured))
    terminal, end = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "verify", PHONE],
        stdin=end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(configured),
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            asked = ""
            while not asked.endswith("Code: "):  # The prompt's last space comes after the echo is off.
                letter = process.stderr.read(1)
                assert letter
                asked += letter
            os.write(terminal, f"{code_of(sandbox)}\n".encode())
            out, err = process.communicate(timeout=SECONDS)
            os.set_blocking(terminal, False)
            echoed = b""
            with contextlib.suppress(BlockingIOError):
                echoed = os.read(terminal, 1000)
        finally:
            process.kill()
            os.close(end)
            os.close(terminal)
    assert process.returncode == 0
    assert out.startswith("Verified +*********8000\n")
    assert leaks(configured, sandbox, echoed.decode(), out, err) == []


def test_a_token_is_printed_whole_in_a_narrow_terminal(configured: Env, sandbox: Sandbox) -> None:
    succeeded(otpkit("issue", PHONE, env=configured))
    out = succeeded(otpkit("verify", PHONE, code_of(sandbox), "--token", env=configured | {"COLUMNS": "40"}))
    assert re.search(r"^  token +\S{80,}$", out, re.MULTILINE)


def test_parameters_reach_the_message(configured: Env, sandbox: Sandbox) -> None:
    succeeded(otpkit("issue", PHONE, "--param", "product=a=b", "--param", "shop=大鱼", env=configured))
    assert dict(sandbox.messages()[0].params) | {"code": ""} == {"code": "", "product": "a=b", "shop": "大鱼"}


def test_the_same_idempotency_key_sends_nothing_again(configured: Env, sandbox: Sandbox) -> None:
    rows = [
        json.loads(succeeded(otpkit("issue", PHONE, "--idempotency-key", "form 1", "--json", env=configured)))
        for _ in range(2)
    ]
    assert [row["replayed"] for row in rows] == [False, True]
    assert len(sandbox.messages()) == 1


def test_a_limit_says_how_long_to_wait(configured: Env, sandbox: Sandbox) -> None:
    succeeded(otpkit("issue", PHONE, env=configured))
    line = refused(otpkit("issue", PHONE, env=configured), 6)
    assert re.search(r" Retry after \d+ s\.$", line)
    assert leaks(configured, sandbox, line) == []


def test_an_operator_sees_how_a_phone_stands(configured: Env, sandbox: Sandbox) -> None:
    clear = succeeded(otpkit("standing", "138 0013 8000", env=configured))
    assert clear.startswith("The phone +*********8000: all clear\n")
    assert re.search(r"^  sends left +7$", clear, re.MULTILINE)
    succeeded(otpkit("issue", PHONE, env=configured))
    limited = succeeded(otpkit("standing", PHONE, env=configured))
    assert limited.startswith("The phone +*********8000: limited\n")
    assert re.search(r"^  send in +\d\d? s$", limited, re.MULTILINE)
    assert leaks(configured, sandbox, clear, limited) == []


def test_device_is_known_until_it_is_forgotten(configured: Env, sandbox: Sandbox) -> None:
    env = configured | {"OTPKIT_POLICY": '{"sends": "3/day", "device_sends": "1/day"}'}
    succeeded(otpkit("issue", PHONE, env=env))
    shown = succeeded(otpkit("verify", PHONE, code_of(sandbox), "--json", env=env))
    device = json.loads(shown)["device"]
    succeeded(otpkit("issue", PHONE, env=env))
    refused(otpkit("issue", PHONE, env=env), 6)
    refused(otpkit("issue", PHONE, "--device", "junk", env=env), 6)
    succeeded(otpkit("issue", PHONE, "--device", device, env=env))
    text = succeeded(otpkit("verify", PHONE, code_of(sandbox), "--device", device, env=env))
    assert device.partition(".")[0] not in text  # Only --json prints it.
    forgotten = succeeded(otpkit("forget-devices", PHONE, env=env))
    assert forgotten.startswith("Forgot the devices of +*********8000\n")
    refused(otpkit("issue", PHONE, "--device", device, env=env), 6)
    assert leaks(env, sandbox, shown, text, forgotten) == []


def test_an_operator_lifts_a_block(configured: Env, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in configured.items():
        monkeypatch.setenv(name, value)
    block(sandbox)
    found = succeeded(otpkit("standing", PHONE, env=configured))
    assert found.startswith("The phone +*********8000: blocked\n")
    row = json.loads(succeeded(otpkit("standing", PHONE, "--json", env=configured)))
    assert row == {
        "phone": "+*********8000",
        "blocked": True,
        "limited": False,
        "consecutive_failures": 100,
        "sends_left": 7,
        "send_in": 0,
        "failures_left": 15,
        "verify_in": 0,
        "device_blocked": True,
        "device_sends_left": 10,
        "device_send_in": 0,
        "device_failures_left": 20,
        "device_verify_in": 0,
    }
    assert "unblock" in refused(otpkit("issue", PHONE, env=configured), 7)
    lifted = succeeded(otpkit("unblock", PHONE, env=configured))
    assert lifted.startswith("Unblocked +*********8000\n")
    assert re.search(r"^  blocked +no$", lifted, re.MULTILINE)
    succeeded(otpkit("issue", PHONE, env=configured))
    row = json.loads(succeeded(otpkit("unblock", PHONE, "--json", env=configured)))
    assert (row["phone"], row["consecutive_failures"], row["sends_left"]) == ("+*********8000", 0, 6)
    assert leaks(configured, sandbox, found, lifted) == []


def test_a_wrong_code_is_refused_in_one_line(configured: Env, sandbox: Sandbox) -> None:
    succeeded(otpkit("issue", PHONE, env=configured))
    wrong = other_than(code_of(sandbox))
    line = refused(otpkit("verify", PHONE, wrong, env=configured), 4)
    assert "Attempts left: 4" in line
    assert wrong not in line


@pytest.mark.parametrize("typed", ["", "12345", "12345６", "secret"])
def test_what_is_no_code_is_refused(configured: Env, typed: str) -> None:
    line = refused(otpkit("verify", PHONE, env=configured, stdin=f"{typed}\n"), 4)
    assert not typed or typed not in line


def test_another_bind_is_refused(configured: Env, sandbox: Sandbox) -> None:
    succeeded(otpkit("issue", PHONE, "--bind", "one", env=configured))
    refused(otpkit("verify", PHONE, code_of(sandbox), "--bind", "two", env=configured), 4)


def test_what_is_no_phone_is_refused_without_being_shown(configured: Env) -> None:
    assert "1380013800" not in refused(otpkit("issue", "1380013800", env=configured), 3)
    assert "85251234567" not in refused(otpkit("delivery", "+85251234567", env=configured), 3)
    for command in ("standing", "unblock"):
        assert "1380013800" not in refused(otpkit(command, "1380013800", env=configured), 3)


def test_a_rejection_of_the_gateways_is_told(configured: Env) -> None:
    assert "50001" in refused(otpkit("issue", "13900050001", env=configured), 8)


def test_a_store_that_is_away_is_told(configured: Env) -> None:
    away = configured | {"OTPKIT_REDIS_URL": "unix:///nowhere/at.all"}
    line = refused(otpkit("verify", PHONE, "123456", env=away), 9)
    assert "Redis did not answer" in line
    assert "/nowhere/at.all can't be reached" in line


@pytest.mark.parametrize("args", [("issue", PHONE), ("verify", PHONE, "123456"), ("redeem", "x"), ("serve",)])
def test_with_nothing_configured_three_short_lines_are_printed(args: tuple[str, ...]) -> None:
    """They name the required variables, and the next step."""
    done = otpkit(*args, env={"OTPKIT_NAMESPACE": "  "})
    assert (done.status, done.out) == (2, "")
    lines = done.err.splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 130
    for name in ("REDIS_URL", "SECRET", "GATEWAY", "TEMPLATE_CODE", "TEMPLATE_SIGN_NAME"):
        assert f"OTPKIT_{name}" in lines[1]
    assert ("API key" if args == ("serve",) else "otpkit doctor") in lines[2]


def test_all_that_the_environment_lacks_is_named_in_lines_that_fit() -> None:
    done = otpkit("issue", PHONE, env={"OTPKIT_NAMESPACE": "x"})
    assert (done.status, done.out) == (2, "")
    assert max(map(len, done.err.splitlines())) <= 130
    text = " ".join(done.err.split())
    for name in ("REDIS_URL", "SECRET", "GATEWAY", "TEMPLATE_CODE", "TEMPLATE_SIGN_NAME", "ALIDAYU_APP_KEY"):
        assert f"OTPKIT_{name} " in text


def test_a_store_that_would_forget_the_code_is_refused(configured: Env, sandbox: Sandbox) -> None:
    line = refused(otpkit("issue", PHONE, env=configured | {"OTPKIT_REDIS_URL": "memory://"}), 2)
    assert "redis://localhost:6379/0" in line
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    "args",
    [
        ("verify", "138", "0013", "8000"),
        ("issue", PHONE, "１３９００１３９０００"),
        (PHONE,),
        ("issue", PHONE, "--param", "13900139000"),
        ("issue", f"-{PHONE}"),
        ("sandbox", "a secret"),
        ("sandbox", "--port", "8025x"),
        ("verify",),
        (),
    ],
)
def test_wrong_usage_is_one_line_that_repeats_nothing_typed(args: tuple[str, ...]) -> None:
    line = refused(otpkit(*args), 2)
    assert line.endswith("Try: otpkit --help\n")
    assert not re.search(r"\d|secret", line)


def test_help_names_every_command() -> None:
    out = succeeded(otpkit("--help"))
    commands = ("keygen", "issue", "verify", "redeem", "status", "revoke", "delivery", "standing", "unblock", "erase")
    commands += ("forget-devices",)
    for name in (*commands, "numbers", "doctor", "sandbox", "serve", "demo"):
        assert f" {name} " in out
        # Run in this process: a process for each would take a while.
        helped = CliRunner().invoke(app, [name, "--help"], prog_name="otpkit")
        assert (helped.exit_code, helped.stderr) == (0, "")
        assert f"Usage: otpkit {name}" in helped.stdout
    assert succeeded(otpkit("-h")) == out
    assert succeeded(otpkit("erase", "-h")) == succeeded(otpkit("erase", "--help"))


def test_the_version_is_the_packages() -> None:
    assert succeeded(otpkit("--version")) == f"otpkit {metadata.version('otpkit')}\n"


def test_the_code_of_another_system_is_sent(configured: Env, sandbox: Sandbox) -> None:
    """No output shows it. It is an argument, or it is read from standard input."""
    words = ("send", PHONE, "--template", "login", "--idempotency-key", "message", "--json")
    out = succeeded(otpkit(*words, env=configured, stdin="86753\n"))
    again = json.loads(succeeded(otpkit(*words, "99999", env=configured)))
    first = json.loads(out)
    assert (first["delivery"], first["phone"], first["purpose"]) == ("accepted", "+*********8000", "login")
    assert (again["id"], again["replayed"]) == (first["id"], True)
    assert code_of(sandbox) == "86753"
    assert "86753" not in out
    refused(otpkit("send", PHONE, "123", env=configured), 2)
