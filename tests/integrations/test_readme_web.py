"""The README's blocks on the web keep their word: each is run in an application on a socket."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.cookies import RequestsCookieJar
from served_apps import on_uvicorn, on_werkzeug
from support.form_visitor import FormVisitor, hidden
from support.readme_blocks import PYTHON, ROOT, SHELL, TEXT, TOML, Inbox, block_with, production, run_block
from support.servers import unavailable

from otpkit.sandbox import Sandbox, running

PHONE = "+8613800138000"
LONGEST = 14  # lines that an integration may take
OWN = re.compile(
    r"otpkit|OTPKIT|phones?\b|proof|PhoneBackend|SignupView|LoginView|redeem|log_in"
)  # lines that are about it
INTEGRATIONS = ["VerifiedPhone", "phones.blueprint", "INSTALLED_APPS"]


@pytest.mark.parametrize("mark", INTEGRATIONS)
def test_an_integration_takes_less_than_fifteen_lines(mark: str) -> None:
    """Beside imports, and what an application has anyway: its sessions and the form that creates the account."""
    lines = [line for line in block_with(mark).splitlines() if OWN.search(line)]
    assert len(lines) <= LONGEST


def test_the_pages_and_the_service_are_shown_in_pictures_that_are_small() -> None:
    pictures = [ROOT / name for name in re.findall(r"examples/[a-z/]+\.png", TEXT)]
    assert len(pictures) >= 3
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < 150_000


class OverHttp(RequestsCookieJar):
    """Sends cookies that are for HTTPS alone, as the block wants them, by HTTP too."""

    def set_cookie(self, cookie: Any, *args: Any, **kwargs: Any) -> Any:
        cookie.secure = False
        return super().set_cookie(cookie, *args, **kwargs)


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    with production(monkeypatch) as inbox:
        yield inbox


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.cookies = OverHttp()
        yield session


def sign_up(url: str, inbox: Inbox, session: requests.Session) -> FormVisitor:
    """Go through the two forms as a browser does, to the page that they lead to."""
    visitor = FormVisitor(f"{url}/signup", session)
    visitor.look()
    visitor.post("send", phone="138 0013 8000")
    page = visitor.post("verify", code=inbox.code())
    assert (page.status_code, page.url) == (200, f"{url}/account")
    visitor.url = page.url
    return visitor


def test_fastapi_serves_pages_and_json_and_redeems(inbox: Inbox, session: requests.Session) -> None:
    with on_uvicorn(run_block("VerifiedPhone")["app"]) as url:
        visitor = sign_up(url, inbox, session)
        assert visitor.send({}).json() == {"phone": PHONE}
        assert visitor.send({}).json()["code"] == "used_token"
        sent = session.post(f"{url}/api/signup/challenges", json={"phone": "13900139000"}, timeout=20)
        assert (sent.status_code, sent.json()["delivery"]) == (202, "accepted")


def test_flask_serves_pages_and_redeems(inbox: Inbox, session: requests.Session) -> None:
    scope = run_block("phones.blueprint")
    with scope["app"].extensions["otpkit"] as otp, on_werkzeug(scope["app"]) as url:
        visitor = sign_up(url, inbox, session)
        form = hidden(visitor.page.text)
        for _ in range(20):  # a form that is sent again and again
            assert visitor.send(form).text == "Your account: 1"
        assert visitor.send(form | {"name": "another"}).json()["code"] == "used_token"
        assert scope["accounts"] == {PHONE: 1}

        otp.erase(PHONE)  # or another message would have to wait a minute
        login = FormVisitor(f"{url}/login", session)
        login.look()
        login.post("send", phone="138 0013 8000")
        page = login.post("verify", code=inbox.code())
        assert (page.url, page.text) == (f"{url}/", "Your account: 1")


DJANGO_STORY = """
import sys
import django
import requests
django.setup()
from django.core.management import call_command
from django.test import Client
from support.form_visitor import hidden
from otpkit.integrations.django import get_otp
call_command("check", fail_level="ERROR")
call_command("migrate", verbosity=0)

def code():
    return requests.get(sys.argv[1] + "/api/messages?phone=13800138000").json()[0]["code"]

def fill(url, visitor, **typed):
    return visitor.post(url, hidden(visitor.get(url).content.decode()) | typed)

visitor = Client(enforce_csrf_checks=True)
assert fill("/signup/", visitor, action="send", phone="138 0013 8000").status_code == 303
assert fill("/signup/", visitor, action="verify", code=code())["Location"] == "/account/"
assert fill("/account/", visitor).content == b"Your account: +8613800138000"
get_otp().erase("+8613800138000")  # or another message would have to wait a minute
visitor = Client(enforce_csrf_checks=True)
assert fill("/login/", visitor, action="send", phone="138 0013 8000").status_code == 303
assert fill("/login/", visitor, action="verify", code=code())["Location"] == "/account/"
assert visitor.get("/account/").content == b"Your account: +8613800138000"
assert fill("/account/", Client(), key="").status_code == 401
"""


def test_django_signs_up_and_logs_in(inbox: Inbox, tmp_path: Path) -> None:
    """In a project that startproject made, with the three pieces pasted into its files."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "shop", tmp_path], check=True, timeout=60)
    _, settings, urls, views = re.split(
        r"^# (?:settings|urls|views)\.py.*\n", block_with("INSTALLED_APPS"), flags=re.MULTILINE
    )
    shop = tmp_path / "shop"
    with (shop / "settings.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{settings}\nALLOWED_HOSTS = ['testserver']\n")
    (shop / "urls.py").write_text(urls, encoding="utf-8")
    (shop / "views.py").write_text(views, encoding="utf-8")
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests")]),
        "DJANGO_SETTINGS_MODULE": "shop.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", DJANGO_STORY, inbox.url],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_service_is_configured_by_the_file_and_asked_by_curl(
    tmp_path: Path, valkey_url: str, namespace: str
) -> None:
    """The block is run as one script, in which the service goes on in the background."""
    if shutil.which("curl") is None:
        unavailable("no curl on the PATH")
    settings = block_with("[keys.shop]", TOML)
    (tmp_path / "otpkit.toml").write_text(settings, encoding="utf-8")
    assert tomllib.loads(settings)["keys"]["shop"]["purposes"] == ["signup"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    script = block_with("otpkit serve", SHELL).replace("your-app-secret", "sandbox-secret")
    script = script.replace("localhost:8000", f"127.0.0.1:{port}")
    with running(Sandbox()) as local:
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PORT": port,
            "OTPKIT_REDIS_URL": valkey_url,
            "OTPKIT_NAMESPACE": namespace,
            "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
            "OTPKIT_ALIDAYU_BASE_URL": local.gateway_url,
        }
        told = tmp_path / "told"
        with told.open("w") as output:
            served = subprocess.Popen(
                ["bash", "-euc", f"{script}\nkill -TERM %1\nwait %1"], cwd=tmp_path, env=env, stdout=output
            )
            try:
                assert served.wait(60) == 0
            finally:
                served.kill()
                served.wait()
        assert '"delivery":"accepted"' in told.read_text(encoding="utf-8").replace(": ", ":")
        assert len(requests.get(f"{local.base_url}/api/messages", timeout=20).json()) == 1


def test_every_block_of_the_readme_has_a_test() -> None:
    """Those on the web here, the others in test_readme.py: whoever adds one adds a test, and then counts it."""
    assert (len(PYTHON), len(SHELL), len(TOML)) == (17, 5, 2)
