"""The README's blocks on the web keep their word: each is run in an application on a socket."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import fastapi
import flask
import pytest
import requests
from form_visitor import FormVisitor
from readme_blocks import PYTHON, ROOT, SHELL, TEXT, TOML, block_with
from requests.cookies import RequestsCookieJar
from served_apps import SECRET, TEMPLATE, on_uvicorn, on_werkzeug
from servers import unavailable
from starlette.middleware.sessions import SessionMiddleware

from otpkit import OTP, AsyncOTP
from otpkit.integrations import fastapi as in_fastapi
from otpkit.integrations import flask as in_flask
from otpkit.sandbox import Sandbox, running
from otpkit.testing import Outbox

PHONE = "+8613800138000"
LONGEST = 14  # lines that an integration may take
INTEGRATIONS = ["VerifiedPhone", "phones.blueprint", "INSTALLED_APPS"]


@pytest.mark.parametrize("mark", INTEGRATIONS)
def test_an_integration_takes_less_than_fifteen_lines(mark: str) -> None:
    lines = [line for line in block_with(mark).splitlines() if line.strip()]
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


def sign_up(url: str, outbox: Outbox, session: requests.Session) -> None:
    """Go through the two forms; the account's form is then due."""
    visitor = FormVisitor(f"{url}/signup", session)
    visitor.look()
    visitor.post("send", phone="138 0013 8000")
    answer = visitor.send(visitor.form("verify", code=outbox[-1].code), follow=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")


def test_fastapi_serves_pages_and_json_and_redeems() -> None:
    outbox = Outbox()
    scope: dict[str, Any] = {
        **vars(in_fastapi),
        "FastAPI": fastapi.FastAPI,
        "SessionMiddleware": SessionMiddleware,
        "otp": AsyncOTP("memory://", outbox, TEMPLATE, SECRET),
        "session_secret": SECRET,
        "create_account": lambda phone: {"phone": phone},
    }
    exec(compile(block_with("VerifiedPhone"), "README.md", "exec", dont_inherit=True), scope)
    with on_uvicorn(scope["app"]) as url, requests.Session() as session:
        session.cookies = OverHttp()
        sign_up(url, outbox, session)
        fixed = {"Idempotency-Key": "fixed"}
        answers = [session.post(f"{url}/account", headers=fixed, timeout=20).json() for _ in range(20)]
        assert answers[0] == {"phone": PHONE}
        assert [answer["code"] for answer in answers[1:]] == ["used_token"] * 19
        assert session.post(f"{url}/account", timeout=20).json()["code"] == "used_token"
        sent = session.post(f"{url}/api/signup/challenges", json={"phone": "13900139000"}, timeout=20)
        assert (sent.status_code, sent.json()["delivery"]) == (202, "accepted")


def test_flask_serves_pages_and_redeems() -> None:
    outbox, app, accounts = Outbox(), flask.Flask("readme"), []
    app.secret_key = SECRET
    with OTP("memory://", outbox, TEMPLATE, SECRET) as otp:
        scope = {
            **vars(in_flask),
            "app": app,
            "otp": otp,
            "request": flask.request,
            "log_in": lambda proof: {"user": proof.phone},
            "create_account": lambda phone: accounts.append(phone) or {"phone": phone},
            "find_account": lambda phone: {"phone": accounts[accounts.index(phone)]},
        }
        exec(compile(block_with("phones.blueprint"), "README.md", "exec", dont_inherit=True), scope)
        with on_werkzeug(app) as url, requests.Session() as session:
            assert requests.get(f"{url}/login", timeout=20).status_code == 200
            sign_up(url, outbox, session)
            for _ in range(20):  # a form that is sent again and again
                assert session.post(f"{url}/account", {"key": "form"}, timeout=20).json() == {"phone": PHONE}
            other = session.post(f"{url}/account", {"key": "form", "name": "another"}, timeout=20)
            assert other.json()["code"] == "used_token"
    assert accounts == [PHONE]


DJANGO_URLS = """
from django.http import HttpResponse
from django.urls import path
from otpkit.integrations.django.sessions import redeem
from otpkit.integrations.django.views import LoginView, SignupView
from shop.models import User

def account(request):
    {view}
    return HttpResponse(user.phone)

{urls}
urlpatterns += [path("account/", account)]
"""
DJANGO_SETTINGS = """
from shop.settings import *
from otpkit.testing import Outbox
INSTALLED_APPS = [app for app in INSTALLED_APPS if "otpkit" not in app]
{settings}
outbox = Outbox()
ROOT_URLCONF, DEBUG, SECRET_KEY, ALLOWED_HOSTS = "readme_urls", False, "django's own", ["testserver"]
DATABASES["default"]["NAME"] = ":memory:"
OTPKIT |= {{"REDIS": "memory://", "GATEWAY": outbox, "SECRET": {secret!r}}}
"""
DJANGO_STORY = """
import django
django.setup()
from django.core.management import call_command
from django.test import Client
from form_visitor import hidden
from readme_settings import outbox
call_command("check", fail_level="ERROR")
call_command("migrate", verbosity=0)

def fill(url, visitor, **typed):
    return visitor.post(url, hidden(visitor.get(url).content.decode()) | typed)

visitor = Client(enforce_csrf_checks=True)
assert fill("/signup/", visitor, action="send", phone="138 0013 8000").status_code == 303
assert fill("/signup/", visitor, action="verify", code=outbox[-1].code)["Location"] == "/account/"
assert visitor.get("/account/").content == b"+8613800138000"
from otpkit.integrations.django import get_otp
get_otp().erase("+8613800138000")  # or another message would have to wait a minute
assert fill("/login/", visitor, action="send", phone="138 0013 8000").status_code == 303
assert fill("/login/", visitor, action="verify", code=outbox[-1].code)["Location"] == "/"
assert "_auth_user_id" in visitor.session
"""


def test_django_signs_up_and_logs_in(tmp_path: Path) -> None:
    block = block_with("INSTALLED_APPS")
    _, settings, urls, view = re.split(r"^# (?:settings|urls|views)\.py.*\n", block, flags=re.MULTILINE)
    (tmp_path / "readme_settings.py").write_text(
        DJANGO_SETTINGS.format(settings=settings, secret=SECRET), encoding="utf-8"
    )
    (tmp_path / "readme_urls.py").write_text(DJANGO_URLS.format(urls=urls, view=view.strip()), encoding="utf-8")
    paths = [str(tmp_path), str(ROOT / "examples" / "django_project"), str(ROOT / "tests")]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "DJANGO_SETTINGS_MODULE": "readme_settings",
        "OTPKIT_TEMPLATE_CODE": "SMS_1",
        "OTPKIT_TEMPLATE_SIGN_NAME": "otpkit",
    }
    done = subprocess.run(
        [sys.executable, "-c", DJANGO_STORY], env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_service_is_configured_by_the_file_and_asked_by_curl(
    tmp_path: Path, valkey_url: str, namespace: str
) -> None:
    if shutil.which("curl") is None:
        unavailable("no curl on the PATH")
    serve, curl = block_with("otpkit serve", SHELL).splitlines()
    key, (settings,) = SECRET, TOML
    assert tomllib.loads(settings)["keys"]["shop"]["purposes"] == ["signup"]
    file = tmp_path / "otpkit.toml"
    file.write_text(settings.replace("c2a5…", hashlib.sha256(key.encode()).hexdigest()), encoding="utf-8")
    with running(Sandbox()) as local:
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PORT": "0",
            "OTPKIT_REDIS_URL": valkey_url,
            "OTPKIT_NAMESPACE": namespace,
            "OTPKIT_SECRET": SECRET,
            "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
            "OTPKIT_ALIDAYU_APP_SECRET": "sandbox-secret",
            "OTPKIT_ALIDAYU_BASE_URL": local.gateway_url,
        }
        process = subprocess.Popen(serve.split(), cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            url = re.search(r"http://[^/\s]+", process.stdout.readline())
            assert url
            asked = curl.replace("localhost:8000", url[0]).replace("$KEY", key)
            done = subprocess.run(["bash", "-euc", asked], capture_output=True, text=True, timeout=60, check=True)
            assert json.loads(done.stdout)["delivery"] == "accepted"
            assert len(requests.get(f"{local.base_url}/api/messages", timeout=20).json()) == 1
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.communicate()


def test_every_block_of_the_readme_has_a_test() -> None:
    """Those on the web here, the others in test_readme.py: whoever adds one adds a test, and then counts it."""
    assert (len(PYTHON), len(SHELL), len(TOML)) == (17, 5, 1)
