"""Secrets in files: `OTPKIT_SECRET_FILE`, and the same for every variable that may hold a secret."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.secrets import OTHER_SECRET, SECRET

from otpkit import OTP, ConfigurationError
from otpkit.core.secret_files import MAX_BYTES, read_secret, takes_file
from otpkit.doctor import examine
from otpkit.environment import arguments_from
from otpkit.settings import Reading, read_settings
from otpkit.settings.tables import known_settings

COMMON = {
    "OTPKIT_REDIS_URL": "memory://",
    "OTPKIT_GATEWAY": "alidayu",
    "OTPKIT_ALIDAYU_APP_KEY": "key",
    "OTPKIT_ALIDAYU_APP_SECRET": OTHER_SECRET,
    "OTPKIT_TEMPLATE_CODE": "SMS_1",
    "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
}
FIELDS_IN_FILES = {
    *("OTPKIT_REDIS_URL", "OTPKIT_SECRET", "OTPKIT_INDEX_SECRET", "OTPKIT_API_KEYS", "OTPKIT_SERVICE_RECEIPTS_SECRET"),
    *("OTPKIT_ALIDAYU_APP_SECRET", "OTPKIT_TWILIO_AUTH_TOKEN", "OTPKIT_TENCENT_SECRET_KEY", "OTPKIT_WEBHOOK_SECRET"),
    *("OTPKIT_ALIYUN_ACCESS_KEY_SECRET", "OTPKIT_TURNSTILE_SECRET_KEY", "OTPKIT_GEETEST_CAPTCHA_KEY"),
}
posix = pytest.mark.skipif(os.name != "posix", reason="the modes of files are POSIX's")


def kept(folder: Path, text: str | bytes, mode: int = 0o600, name: str = "secret") -> str:
    """Write a secret's file, and return its path."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return str(path)


def refused(environ: dict[str, str], config: str | None = None) -> dict[str, str]:
    """Return the problems of settings by their place. `OTP.from_env` finds the same ones."""
    with pytest.raises(ConfigurationError) as error:
        read_settings(environ, config)
    found = {each.field: f"{each.problem} {each.remedy}" for each in error.value.problems}
    if config is None:
        with pytest.raises(ConfigurationError) as core:
            arguments_from(environ, {})
        assert {each.field: f"{each.problem} {each.remedy}" for each in core.value.problems} == found
    assert SECRET not in f"{error.value!r} {error.value} {found}"
    return found


def test_secrets_are_read_without_the_last_line_break(tmp_path: Path) -> None:
    environ = COMMON | {"OTPKIT_SECRET_FILE": kept(tmp_path, f"{SECRET}\n")}
    assert read_settings(environ).otp["secret"] == arguments_from(environ, {})["secret"] == SECRET


def test_several_secrets_may_be_on_lines(tmp_path: Path) -> None:
    given = {
        "OTPKIT_SECRET_FILE": kept(tmp_path, f"{SECRET}\n{OTHER_SECRET}\n"),
        "OTPKIT_INDEX_SECRET_FILE": kept(tmp_path, SECRET, name="index"),
    }
    found = read_settings(COMMON | given).otp
    assert (found["secret"], found["index_secret"]) == ([SECRET, OTHER_SECRET], SECRET)


def test_every_variable_of_a_secret_has_a_file() -> None:
    variables = {setting.variable for setting in known_settings().values()}
    assert {f"{each}_FILE" for each in FIELDS_IN_FILES} <= variables
    named = {each for each in variables if takes_file(each)}
    assert {f"{each}_FILE" for each in named} <= variables
    words = ("SECRET", "TOKEN", "PASSWORD")
    assert {each for each in variables if each.endswith(words)} <= named


def test_files_hold_what_gateways_and_the_service_need(tmp_path: Path) -> None:
    key = {"shop": {"key": OTHER_SECRET, "purposes": ["signup"]}}
    environ = {name: value for name, value in COMMON.items() if name != "OTPKIT_ALIDAYU_APP_SECRET"} | {
        "OTPKIT_SECRET": SECRET,
        "OTPKIT_ALIDAYU_APP_SECRET_FILE": kept(tmp_path, OTHER_SECRET, name="app"),
        "OTPKIT_API_KEYS_FILE": kept(tmp_path, json.dumps(key), name="keys"),
        "OTPKIT_SERVICE_RECEIPTS_SECRET_FILE": kept(tmp_path, SECRET[::-1], name="receipts"),
    }
    found = read_settings(environ, serves=True)
    assert [each.name for each in found.keys] == ["shop"]
    assert found.service.receipts_secret == SECRET[::-1]
    OTP(**arguments_from(environ, {})).close()


def test_settings_file_names_files_of_secrets(tmp_path: Path) -> None:
    file = tmp_path / "otpkit.toml"
    kept(tmp_path, SECRET)
    kept(tmp_path, OTHER_SECRET, name="app")
    file.write_text(
        f'secret_file = "{tmp_path}/secret"\n[alidayu]\napp_secret_file = "{tmp_path}/app"\n', encoding="utf-8"
    )
    environ = {name: value for name, value in COMMON.items() if name != "OTPKIT_ALIDAYU_APP_SECRET"}
    assert read_settings(environ, str(file)).otp["secret"] == SECRET
    assert read_settings(environ | {"OTPKIT_SECRET": OTHER_SECRET}, str(file)).otp["secret"] == OTHER_SECRET


def test_variable_replaces_a_missing_file_of_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "otpkit.toml"
    file.write_text(f'secret_file = "{tmp_path}/none"\n', encoding="utf-8")
    assert list(refused(COMMON, str(file))) == [f"{file}: secret_file"]
    assert read_settings(COMMON | {"OTPKIT_SECRET": SECRET}, str(file)).otp["secret"] == SECRET


@posix
@pytest.mark.parametrize("mode", [0o604, 0o602, 0o444, 0o644, 0o777, 0o601])
def test_file_that_everybody_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    found = refused(COMMON | {"OTPKIT_SECRET_FILE": kept(tmp_path, SECRET, mode)})
    assert list(found) == ["OTPKIT_SECRET_FILE"]
    assert f"{mode:04o}" in found["OTPKIT_SECRET_FILE"]
    assert "chmod 400" in found["OTPKIT_SECRET_FILE"]


@posix
@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640, 0o660])
def test_file_of_its_owner_and_group_is_read(tmp_path: Path, mode: int) -> None:
    assert read_secret(kept(tmp_path, SECRET, mode)) == SECRET


@posix
def test_link_counts_as_the_file_that_it_leads_to(tmp_path: Path) -> None:
    """Kubernetes mounts a Secret as links, whose own mode is 0777."""
    (tmp_path / "..data").mkdir()
    link = tmp_path / "otpkit_secret"
    link.symlink_to(kept(tmp_path / "..data", SECRET, 0o440))
    assert read_secret(str(link)) == SECRET
    link.resolve().chmod(0o444)
    with pytest.raises(ConfigurationError, match="every user"):
        read_secret(str(link))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"\xff\xfe" + SECRET.encode(), "UTF-8"),
        (b"x" * (MAX_BYTES + 1), "bytes"),
    ],
)
def test_file_without_a_usable_text_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    found = refused(COMMON | {"OTPKIT_SECRET_FILE": kept(tmp_path, content)})
    assert list(found) == ["OTPKIT_SECRET_FILE"]
    assert word in found["OTPKIT_SECRET_FILE"]


def test_missing_file_is_named_once(tmp_path: Path) -> None:
    """It does not also say that the secret is missing. A folder is no file."""
    for path in (tmp_path / "none", tmp_path):
        found = refused(COMMON | {"OTPKIT_SECRET_FILE": str(path), "OTPKIT_INDEX_SECRET_FILE": str(path)})
        assert set(found) == {"OTPKIT_SECRET_FILE", "OTPKIT_INDEX_SECRET_FILE"}
        assert all("can't be read" in each for each in found.values())


def test_secret_in_place_of_a_path_is_not_shown() -> None:
    """It is a common mistake, and the error is in the log. `refused` looks for the secret."""
    found = refused(COMMON | {"OTPKIT_SECRET_FILE": SECRET})["OTPKIT_SECRET_FILE"]
    assert found == (
        "OTPKIT_SECRET_FILE: The file that it names can't be read: No such file or directory. "
        "Set it to the path of a file, not to the secret itself."
    )
    long = COMMON | {"OTPKIT_SECRET_FILE": "unshown-" * 100, "OTPKIT_REDIS_URL_FILE": "redis://:unshown@example.com/0"}
    del long["OTPKIT_REDIS_URL"]
    assert "unshown" not in str(refused(long))


@posix
def test_pipe_without_a_writer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that reads its settings again can't wait for ever: SIGTERM would not end it."""
    monkeypatch.setattr("otpkit.core.files.PIPE_S", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "pipe" in refused(COMMON | {"OTPKIT_SECRET_FILE": str(pipe)})["OTPKIT_SECRET_FILE"]
    with pytest.raises(ConfigurationError, match="its writer did not finish"):
        read_settings(COMMON | {"OTPKIT_SECRET": SECRET}, str(pipe))
    safe = {"OTPKIT_GUARD_MODE": "observe", "OTPKIT_GUARD_SAFE_PHONES_FILE": str(pipe), "OTPKIT_SECRET": SECRET}
    assert "pipe" in str(refused(COMMON | safe))
    with open(pipe, "rb+", buffering=0) as writer:
        writer.write(SECRET.encode())
        with pytest.raises(ConfigurationError, match="did not finish"):
            read_secret(str(pipe))


@posix
def test_pipe_of_a_shell_is_read() -> None:
    """As in `otpkit serve --config <(sops -d otpkit.toml)`."""
    reader, writer = os.pipe()
    os.write(writer, SECRET.encode())
    os.close(writer)
    try:
        assert read_secret(f"/dev/fd/{reader}") == SECRET
    finally:
        os.close(reader)


def test_secret_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    found = refused(COMMON | {"OTPKIT_SECRET": SECRET, "OTPKIT_SECRET_FILE": kept(tmp_path, SECRET)})
    assert list(found) == ["OTPKIT_SECRET_FILE"]
    assert "stands beside" in found["OTPKIT_SECRET_FILE"]


def test_argument_in_code_needs_no_file(tmp_path: Path) -> None:
    environ = COMMON | {"OTPKIT_SECRET_FILE": str(tmp_path / "none")}
    assert "secret" in arguments_from(environ, {"secret": SECRET})


def test_weak_secret_of_a_file_is_refused(tmp_path: Path) -> None:
    found = Reading(COMMON | {"OTPKIT_SECRET_FILE": kept(tmp_path, "0123456789" * 4)})
    assert found.problems


def test_mistyped_file_variable_is_named(tmp_path: Path) -> None:
    found = Reading(COMMON | {"OTPKIT_SECRET": SECRET, "OTPKIT_INDEX_SECRT_FILE": kept(tmp_path, SECRET)})
    assert "OTPKIT_INDEX_SECRET_FILE" in found.problems[0].problem


def test_doctor_reports_the_file(tmp_path: Path) -> None:
    report = examine(COMMON | {"OTPKIT_SECRET_FILE": str(tmp_path / "none")})
    text = " ".join(finding.found for finding in report.findings if finding.status == "problem")
    assert "OTPKIT_SECRET_FILE" in text
