"""Failures of commands: an exit status for each kind of error, and its output as text or as JSON."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_process import COMMAND, PHONE, SECONDS, environment, otpkit
from support.secrets import SECRET

import otpkit as package
from otpkit import OTPError
from otpkit.cli.failures import EXIT_STATUS, HELP, exit_status
from otpkit.sandbox import Sandbox

Env = dict[str, str]
KINDS = [each for each in vars(package).values() if inspect.isclass(each) and OTPError in each.__bases__]


def failed(*args: str, env: Env | None = None) -> dict[str, Any]:
    """Run a command with `--json` that fails, and return its output and its status."""
    done = otpkit(*args, "--json", env=env)
    assert done.out == ""
    assert done.err.count("\n") == 1
    found: dict[str, Any] = json.loads(done.err)
    assert found["exit_status"] == done.status
    assert found["message"]
    assert SECRET not in done.err
    return found


def test_every_kind_of_error_has_a_status_of_its_own() -> None:
    """A new kind needs a status, and the help lists all of them. The reference is made from the same table."""
    assert set(EXIT_STATUS) == set(KINDS)
    assert len(set(EXIT_STATUS.values())) == len(EXIT_STATUS)
    assert exit_status(OTPError()) == 1
    for status in (0, 1, *EXIT_STATUS.values(), 130):
        assert re.search(rf"\b{status} ", HELP)


def test_errors_are_json_on_standard_error(configured: Env, sandbox: Sandbox) -> None:
    """They contain the evidence that a script needs."""
    typed = failed("issue", "12345", env=configured)
    assert (typed["code"], typed["message"]) == ("phone", f"{typed['problem']} {typed['remedy']}")
    assert failed("issue", "+85251234567", env=configured)["exit_status"] == 3
    assert otpkit("issue", PHONE, env=configured).status == 0
    limited = failed("issue", PHONE, env=configured)
    assert (limited["code"], limited["exit_status"], limited["scope"]) == ("rate_limit", 6, "phone")
    assert 0 < limited["retry_after"] <= 60
    code = sandbox.messages(PHONE)[0].code or ""
    wrong = failed("verify", PHONE, f"{(int(code) + 1) % 10**6:06}", env=configured)
    assert (wrong["code"], wrong["attempts_left"], wrong["exit_status"]) == ("wrong_code", 4, 4)
    assert failed("redeem", "nonsense", env=configured)["code"] == "invalid_token"
    rejected = failed("issue", "13900050001", env=configured)
    assert (rejected["code"], rejected["exit_status"], rejected["gateway"]) == ("gateway_rejected", 8, "alidayu")
    away = failed("status", PHONE, env=configured | {"OTPKIT_REDIS_URL": "redis://127.0.0.1:1"})
    assert (away["code"], away["exit_status"]) == ("store_unavailable", 9)


def test_usage_and_settings_are_json_too() -> None:
    """This includes a malformed command line and an empty environment."""
    assert failed("issue")["code"] == "usage"
    assert failed("nonsense")["code"] == "usage"
    assert failed("issue", PHONE, "--nonsense")["code"] == "usage"
    assert failed("issue", PHONE)["code"] == "configuration"
    assert failed("numbers", "/nowhere.csv")["code"] == "configuration"
    assert failed("doctor", "--config", "/nowhere.toml")["code"] == "configuration"


@pytest.mark.parametrize(
    "args",
    [("isue", PHONE), ("versin",), ("issue", PHONE, "--purpos", "x"), ("issue",), (), ("serve", "--port", "x")],
    ids=" ".join,
)
def test_wrong_usage_is_told_in_sentences(args: tuple[str, ...]) -> None:
    """Also where the parser asks a question, such as "Did you mean 'issue'?"."""
    line = otpkit(*args).err
    assert re.fullmatch(r"otpkit: [^\n]*[^\s.?!][.?] Try: otpkit --help\n", line), line


def test_wrong_usage_shows_the_range_of_an_option() -> None:
    """The digits of the value may belong to a phone; those of the range do not."""
    text = "otpkit: Invalid value for '--workers': **** is not in the range 1<=x<=64. Try: otpkit --help\n"
    assert otpkit("serve", "--workers", "1000").err == text


def shell(command: str, env: Env) -> tuple[int, str, str]:
    """Run a command by a shell, for its redirections. `otpkit` in it is the command."""
    script = command.replace("otpkit", shlex.join(COMMAND))
    done = subprocess.run(["sh", "-c", script], env=environment(env), capture_output=True, timeout=SECONDS, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", ["keygen", f"status {PHONE}", f"status {PHONE} --json", "numbers /dev/null"])
def test_output_that_can_not_be_written_is_told_in_a_sentence(configured: Env, command: str) -> None:
    status, _, err = shell(f"otpkit {command} >/dev/full", configured)
    assert status == 1
    assert "The output can't be written: No space left on device. Check where standard output goes." in err
    assert err.count("\n") == 1
    assert err.startswith("{" if "--json" in command else "otpkit: ")


@pytest.mark.parametrize(("command", "status"), [("verify 13800138000", 4), ("redeem", 5)])
@pytest.mark.parametrize("source", ["<&-", "</dev/null"])
def test_input_that_is_closed_or_empty_is_no_code(configured: Env, command: str, status: int, source: str) -> None:
    found = shell(f"otpkit {command} {source}", configured)
    assert (found[0], found[2].count("\n")) == (status, 1)


@pytest.mark.parametrize(("command", "status"), [("verify 13800138000", 4), ("redeem", 5)])
def test_input_that_is_no_text_is_no_code(configured: Env, command: str, status: int) -> None:
    found = shell(f"printf '\\377\\376\\n' | otpkit {command}", configured)
    assert (found[0], found[2].count("\n")) == (status, 1)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:a-password@127.0.0.1:1/0", "127.0.0.1:1 refuses connections"),
        ("redis://:a-password@nohost.invalid:6380/0", "the host of nohost.invalid:6380 can't be resolved (DNS)"),
    ],
)
def test_a_store_that_can_not_be_reached_is_named(configured: Env, url: str, said: str) -> None:
    line = otpkit("status", PHONE, env=configured | {"OTPKIT_REDIS_URL": url}).err
    assert said in line
    assert "a-password" not in line


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nohost.invalid"])
def test_a_gateway_that_can_not_be_reached_is_named(configured: Env, host: str) -> None:
    url = f"http://{host}/gw" if host[0] == "1" else f"https://{host}/gw"
    done = otpkit("issue", PHONE, env=configured | {"OTPKIT_ALIDAYU_BASE_URL": url})
    assert done.status == 8
    assert f"no connection to {host} was made" in done.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--port", "70000"), "a port is a whole number from 0 to 65535. Choose another port."),
        (("--port", "-1"), "a port is a whole number from 0 to 65535. Choose another port."),
        (("--host", "nohost.invalid"), "the host was not found (DNS). Choose an address of this machine."),
        (("--host", "a..b"), "the host was not found (DNS). Choose an address of this machine."),
        (("--host", "192.0.2.1"), "Choose an address of this machine."),
    ],
)
@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_where_nothing_can_listen_is_told_in_a_sentence(command: str, args: tuple[str, str], said: str) -> None:
    done = otpkit(command, *args)
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(f"{said}\n")
    assert ".." not in done.err.replace("a..b", "")
    assert "Errno" not in done.err


def test_a_phone_is_erased_and_its_code_revoked(configured: Env, sandbox: Sandbox) -> None:
    """`status` shows the state after each command."""

    def row(*args: str) -> dict[str, Any]:
        done = otpkit(*args, "--json", env=configured)
        assert (done.status, done.err) == (0, "")
        found: dict[str, Any] = json.loads(done.out)
        assert PHONE not in done.out
        return found

    assert row("status", PHONE) == {"live": False}
    otpkit("issue", PHONE, env=configured)
    live = row("status", PHONE)
    assert (live["live"], live["phone"], live["sends_left"]) == (True, "+*********8000", 6)
    assert row("revoke", PHONE) == {"phone": "+*********8000", "purpose": "signup", "live": False}
    assert row("status", PHONE) == {"live": False}
    assert row("standing", PHONE)["limited"] is True
    erased = row("erase", "138 0013 8000")
    assert (erased["phone"], erased["limited"], erased["sends_left"]) == ("+*********8000", False, 7)
    assert len(sandbox.messages()) == 1
    assert otpkit("status", PHONE, env=configured).out.startswith("No code is live\n")
    assert otpkit("erase", PHONE, env=configured).out.startswith("Erased +*********8000\n")
    assert otpkit("revoke", PHONE, env=configured).out.startswith("No code for +*********8000 is live\n")


def test_a_token_is_redeemed_once(configured: Env, sandbox: Sandbox) -> None:
    """The token is an argument or the input. A key makes the call repeatable."""
    otpkit("issue", PHONE, "--bind", "b", env=configured)
    code = sandbox.messages(PHONE)[0].code or ""
    proved = json.loads(otpkit("verify", PHONE, code, "--bind", "b", "--token", "--json", env=configured).out)
    token = proved["token"]
    other = otpkit("redeem", token, "--bind", "b", "--phone", "13900139000", env=configured)
    assert (other.status, token in other.err) == (5, False)
    for replayed in (False, True):
        args = ("redeem", "--bind", "b", "--phone", "138 0013 8000", "--idempotency-key", "k", "--json")
        done = otpkit(*args, env=configured, stdin=f"{token}\n")
        found = json.loads(done.out)
        assert (found["id"], found["phone"], found["replayed"]) == (proved["id"], "+*********8000", replayed)
        assert token not in done.out
    assert failed("redeem", token, "--bind", "b", env=configured)["code"] == "used_token"
