"""`otpkit console` and `otpkit operator-key`."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
import requests
from cli_process import otpkit, running
from support.secrets import SECRET

from otpkit.settings import read_settings

SETTINGS = """
redis_url = "{url}"
secret = "{secret}"
gateway = "webhook"

[webhook]
url = "http://127.0.0.1:9/sms"
secret = "{secret}"

[template]
code = "SMS_1"
sign_name = "阿里大鱼"
"""


@pytest.fixture
def file(tmp_path: Path, redis_url: str) -> Path:
    file = tmp_path / "otpkit.toml"
    file.write_text(SETTINGS.format(url=redis_url, secret=SECRET), encoding="utf-8")
    return file


def sign_in(base: str, key: str) -> requests.Response:
    """Sign in with a key, as a browser does, and return the page after it."""
    with requests.Session() as session:
        page = session.get(f"{base}/sign-in", timeout=20)
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        assert token
        return session.post(f"{base}/sign-in", {"key": key, "token": token[1]}, timeout=20)


class TestOperatorKey:
    def test_prints_settings_that_accept_the_key(self, file: Path) -> None:
        printed = otpkit("operator-key", "ann.lee").out
        key = printed.partition("\n")[0].removeprefix("Key: ")
        file.write_text(file.read_text(encoding="utf-8") + printed.partition("\n")[2], encoding="utf-8")
        (operator,) = read_settings({}, str(file)).operators
        assert (operator.name, operator.role) == ("ann.lee", "operator")
        assert operator.digest == sha256(key.encode()).digest()

    def test_prints_json(self) -> None:
        found = json.loads(otpkit("operator-key", "bob", "--role", "viewer", "--json").out)
        assert (found["name"], found["role"]) == ("bob", "viewer")
        assert found["key_sha256"] == sha256(found["key"].encode()).hexdigest()

    @pytest.mark.parametrize("args", [("ann", "--role", "root"), ("ann lee",), ("a" * 65,)])
    def test_refuses_wrong_values(self, args: tuple[str, ...]) -> None:
        ended = otpkit("operator-key", *args)
        assert ended.status != 0
        assert "Key:" not in ended.out


class TestConsole:
    def test_prints_a_key_for_this_run_without_operators(self, file: Path) -> None:
        with running("console", "--config", str(file), "--port", "0", until="Sign in with") as console:
            key = re.search(r"key of this run: (\S+)", console.head)
            assert key
            base = f"{console.base_url}/console"
            page = sign_in(base, key[1])
            assert (page.status_code, page.url) == (200, base)
            assert "local, may act" in page.text
            assert console.interrupt().status == 0

    def test_names_who_may_sign_in(self, file: Path) -> None:
        with file.open("a", encoding="utf-8") as settings:
            settings.write(f'\n[operators.ann]\nkey_sha256 = "{"0" * 64}"\n')
        with running("console", "--config", str(file), "--port", "0", until="Sign in with") as console:
            assert "Sign in with the key of one of: ann (viewer)" in console.head
            assert requests.get(console.base_url, timeout=20).url == f"{console.base_url}/console/sign-in?next=overview"

    def test_refuses_an_open_address_without_operators(self, file: Path) -> None:
        ended = otpkit("console", "--config", str(file), "--host", "0.0.0.0", "--port", "0")
        assert ended.status != 0
        assert "There is no operator" in ended.err

    def test_refuses_a_store_in_its_own_memory(self, file: Path) -> None:
        ended = otpkit("console", "--config", str(file), env={"OTPKIT_REDIS_URL": "memory://"})
        assert ended.status != 0
        assert "no other process can use" in ended.err

    def test_starts_without_redis(self, file: Path, tmp_path: Path) -> None:
        env = {"OTPKIT_REDIS_URL": f"unix://{tmp_path}/nowhere.sock"}
        args = ("console", "--config", str(file), "--port", "0")
        with running(*args, env=env, until="Sign in with") as console:
            key = re.search(r"key of this run: (\S+)", console.head)
            assert key
            assert "Redis does not answer." in sign_in(f"{console.base_url}/console", key[1]).text
