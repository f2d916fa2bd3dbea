"""`otpkit doctor` as a person runs it: its output, and its exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cli_process import Ended, otpkit
from support.secrets import SECRET

from otpkit.sandbox import Sandbox

Env = dict[str, str]
NAMES = [
    *("redis", "version", "latency", "clock", "eviction", "persistence", "replication", "cluster"),
    *("scripts", "index_secret", "secret", "budgets", "template", "gateway", "guard", "audit"),
]


def doctor(env: Env, *args: str) -> Ended:
    """Run it, and check that it printed no secret and no traceback."""
    done = otpkit("doctor", *args, env=env)
    assert done.err == ""
    secrets = [value for name, value in env.items() if name.endswith("SECRET")]
    assert not [secret for secret in secrets if secret in done.out]
    assert not re.search(r"1[3-9]\d{9}", done.out)
    return done


def checks(env: Env, status: int, *args: str) -> dict[str, dict[str, str]]:
    """Run it with `--json` and an expected exit `status`, and return the checks by name."""
    done = doctor(env, "--json", *args)
    assert done.status == status
    assert done.out.count("\n") == 1
    report: dict[str, Any] = json.loads(done.out)
    assert set(report) == {"ok", "checks"}
    assert report["ok"] is (status == 0)
    assert all(list(check) == ["name", "status", "found", "remedy"] for check in report["checks"])
    assert all(check["remedy"] for check in report["checks"] if check["status"] != "ok")
    return {check["name"]: check for check in report["checks"]}


def test_warnings_are_shown_and_the_status_is_0(configured: Env, sandbox: Sandbox) -> None:
    done = doctor(configured)
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["ok", "redis", "The", "server", "responds."]
    assert lines[-1] == "Problems: 0, warnings: 4."
    assert [line.split()[0] for line in lines if not line.startswith((" ", "Problems"))].count("warning") == 4
    assert sum(line.lstrip().startswith("-> ") for line in lines) == 4
    assert sandbox.messages() == []


def test_json_has_every_check(configured: Env) -> None:
    body = "验证码${code}，请勿告诉他人"
    found = checks(configured | {"OTPKIT_TEMPLATE_BODY": body}, 0)
    assert list(found) == NAMES
    assert {name for name, check in found.items() if check["status"] != "ok"} == {"persistence", "budgets", "guard"}
    assert "accepts the credentials" in found["gateway"]["found"]


def test_wrong_credentials_are_a_problem(configured: Env) -> None:
    gateway = checks(configured | {"OTPKIT_ALIDAYU_APP_SECRET": "a-wrong-one"}, 1)["gateway"]
    assert gateway["status"] == "problem"
    assert "InvalidAppKey" in gateway["found"]


def test_what_the_configuration_lacks_hides_nothing_else(configured: Env) -> None:
    """Each missing part is a finding, and the others are checked."""
    del configured["OTPKIT_TEMPLATE_CODE"]
    found = checks(configured | {"OTPKIT_SECRET": "short"}, 1)
    problems = {name for name, check in found.items() if check["status"] == "problem"}
    assert problems == {"secret", "template"}
    assert (found["eviction"]["status"], found["gateway"]["status"]) == ("ok", "ok")


def test_a_store_that_is_away_hides_nothing_else(configured: Env) -> None:
    done = doctor(configured | {"OTPKIT_REDIS_URL": "redis://:a-password@127.0.0.1:1/0"})
    assert done.status == 1
    assert done.out.startswith("problem  redis")
    assert "accepts the credentials" in done.out
    assert "a-password" not in done.out


def test_wrong_usage_is_status_2(configured: Env) -> None:
    assert otpkit("doctor", "--nonsense", env=configured).status == 2


def test_help_tells_the_exit_status() -> None:
    assert "Exit status: 0" in otpkit("doctor", "--help").out


FILE = """
[policy]
code_length = 8
sends = "1/hour"

[templates.signup]
code = "SMS_1"
sign_name = "阿里大鱼"
body = "验证码${code}"

[keys.shop]
key = "%s"
purposes = ["signup"]
"""


def test_the_file_of_the_service_is_examined(configured: Env, tmp_path: Path) -> None:
    """Its policy, its templates and its keys are examined. The environment takes precedence."""
    file = tmp_path / "otpkit.toml"
    file.write_text(FILE % SECRET, encoding="utf-8")
    del configured["OTPKIT_TEMPLATE_CODE"]
    config = ("--config", str(file))
    found = checks(configured, 0, *config)
    assert list(found) == [*NAMES[:-5], "policy", *NAMES[-5:], "service"]
    assert found["policy"]["found"].startswith("Codes of 8 digits")
    assert found["template"]["found"].startswith("For 'signup': ")
    assert found["service"]["status"] == "ok"
    found = checks(configured | {"OTPKIT_POLICY": '{"replicas": 2}'}, 1, *config)
    assert found["replicas"]["status"] == "problem"
    assert "requires 2 to confirm each write; 0 did" in found["replicas"]["found"]


def test_what_is_wrong_in_the_file_is_a_problem(configured: Env, tmp_path: Path) -> None:
    """The cases are the policy, the keys, and an unknown setting."""
    file = tmp_path / "otpkit.toml"
    text = FILE.replace("code_length = 8", "code_lenght = 8").replace('["signup"]', '["login"]') % SECRET
    file.write_text(f'namepsace = "x"\n{text}', encoding="utf-8")
    found = checks(configured, 1, "--config", str(file))
    assert (found["policy"]["status"], found["service"]["status"]) == ("problem", "problem")
    assert "did you mean code_length?" in found["policy"]["found"]
    for words in ("did you mean namespace?", "names the purpose 'login', which no template serves"):
        assert words in found["service"]["found"]
