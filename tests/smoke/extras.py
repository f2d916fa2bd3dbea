"""Each extra works once, with the versions that are installed for this Python.

    python tests/smoke/extras.py [NAME …]

The script uses only the standard library and otpkit, so that it runs in environments without the tests' libraries:
those with the lowest versions, and those of another Python.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from otpkit import OTP, AsyncOTP, Policy, Template, WrongCodeError
from otpkit.testing import Outbox

PHONE = "+8613800138000"
TEMPLATE = Template("SMS_1", "otpkit", {"code": "{code}"}, body="Code ${code}")
SECRET = secrets.token_urlsafe(32)
KEY = secrets.token_urlsafe(32)
SECONDS = 60


def verify(otp: OTP, codes: Callable[[], str], phone: str = PHONE) -> None:
    """Issue, guess wrong, verify and redeem."""
    otp.issue(phone)
    code = codes()
    try:
        otp.verify(phone, f"{(int(code) + 1) % 1_000_000:06}")
    except WrongCodeError:
        pass
    else:
        raise AssertionError("a wrong code is taken")
    proof = otp.verify(phone, code)
    assert otp.check(proof.token) == otp.redeem(proof.token)


def embedded() -> None:
    """Verify on the embedded store, with both shells."""
    outbox = Outbox()
    with OTP("memory://", outbox, TEMPLATE, SECRET) as otp:
        verify(otp, lambda: outbox[-1].code)

    async def story() -> None:
        async with AsyncOTP("memory://", outbox, TEMPLATE, SECRET) as otp:
            await otp.issue(PHONE)
            proof = await otp.verify(PHONE, outbox[-1].code)
            assert (await otp.redeem(proof.token)).phone == PHONE

    asyncio.run(story())


def speed() -> None:
    """Read a server's replies with hiredis. OTPKIT_SMOKE_REDIS is the URL of a server, if there is one."""
    import hiredis
    from redis.connection import DefaultParser

    assert "hiredis" in DefaultParser.__name__.lower(), DefaultParser
    reader = hiredis.Reader()
    reader.feed(b"*2\r\n$2\r\nok\r\n:1\r\n")
    assert reader.gets() == [b"ok", 1]
    if url := os.environ.get("OTPKIT_SMOKE_REDIS"):
        outbox = Outbox()
        with OTP(url, outbox, TEMPLATE, SECRET, namespace=f"smoke-{secrets.token_hex(4)}") as otp:
            verify(otp, lambda: outbox[-1].code)


def intl() -> None:
    """Verify numbers of other regions."""
    outbox = Outbox()
    policy = Policy(regions={"CN", "GB", "HK", "US"})
    with OTP("memory://", outbox, TEMPLATE, SECRET, policy=policy) as otp:
        for phone in ("+447400123456", "+85251234567", "+12015550123"):
            verify(otp, lambda: outbox[-1].code, phone)


@contextmanager
def told() -> Iterator[tuple[int, list[Any]]]:
    """Listen for JSON on a port of this machine."""
    found: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, found
        server.shutdown()


def aiohttp() -> None:
    """Send on the event loop."""
    from otpkit.gateways import Webhook

    async def story(port: int, found: list[Any]) -> None:
        gateway = Webhook(f"http://127.0.0.1:{port}/", KEY)
        async with AsyncOTP("memory://", gateway, TEMPLATE, SECRET) as otp:
            for number in range(3):
                phone = f"+861380013800{number}"
                assert (await otp.issue(phone)).delivery == "accepted"
                await otp.verify(phone, found[-1]["code"])
            assert otp._lanes._aio is not None, "aiohttp is not used"

    with told() as (port, found):
        asyncio.run(story(port, found))


def apprise() -> None:
    """Send by an Apprise URL."""
    from otpkit.gateways import Apprise

    with (
        told() as (port, found),
        OTP("memory://", Apprise(f"json://127.0.0.1:{port}/{{phone}}"), TEMPLATE, SECRET) as otp,
    ):
        verify(otp, lambda: re.findall(r"\d{6}", found[-1]["message"])[0])


def prometheus() -> None:
    """Count the events of calls."""
    from prometheus_client import CollectorRegistry, generate_latest

    from otpkit.telemetry import PrometheusListener

    outbox, registry = Outbox(), CollectorRegistry()
    with OTP("memory://", outbox, TEMPLATE, SECRET, listeners=[PrometheusListener(registry)]) as otp:
        verify(otp, lambda: outbox[-1].code)
    found = generate_latest(registry)
    assert b"otpkit_sent_total{" in found, found
    assert b"otpkit_verify_seconds_bucket{" in found, found


def otel() -> None:
    """Trace calls with the API alone, or with the SDK if it is installed."""
    from otpkit.telemetry import OpenTelemetryListener

    outbox = Outbox()
    with OTP("memory://", outbox, TEMPLATE, SECRET, listeners=[OpenTelemetryListener()]) as otp:
        verify(otp, lambda: outbox[-1].code)


def otlp() -> None:
    """Export the traces and metrics of the service, as it does."""
    from otpkit.service.tracing import Exporting

    with traces() as (port, paths):
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        exporting, outbox = Exporting(), Outbox()
        with OTP("memory://", outbox, TEMPLATE, SECRET, listeners=[exporting.listener]) as otp:
            verify(otp, lambda: outbox[-1].code)
        exporting.close()
        assert set(paths) == {"/v1/traces", "/v1/metrics"}, paths


@contextmanager
def traces() -> Iterator[tuple[int, list[str]]]:
    """Listen for OTLP on a port of this machine."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.rfile.read(int(self.headers["content-length"]))
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, paths
        server.shutdown()


def command(*args: str, **env: str) -> str:
    """Run the command line, and return its output."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")}
    done = subprocess.run(
        [sys.executable, "-m", "otpkit", *args],
        env=own | env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), (args, done)
    return done.stdout


def cli() -> None:
    """Print the help, that of each command too, and make a key."""
    for name in ("", "issue", "verify", "serve", "doctor", "demo", "sandbox"):
        assert "Usage" in command(*filter(None, (name,)), "--help")
    assert len(command("keygen").strip()) >= 32


def settings() -> None:
    """Read a file, overridden by the environment, and name the problems of both."""
    from otpkit import ConfigurationError
    from otpkit.settings import read_settings

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "otpkit.toml"
        file.write_text(
            f'redis_url = "memory://"\nsecret = "{SECRET}"\ngateway = "webhook"\ntemplate.code = "SMS_1"\n'
            f'[webhook]\nurl = "https://x.example"\nsecret = "{KEY}"\n[service]\nport = 8001\n'
        )
        found = read_settings({"OTPKIT_SERVICE_FORWARDED_HOPS": "2"}, str(file))
        assert found.otp["gateway"].url == "https://x.example"
        assert (found.service.port, found.service.forwarded_hops) == (8001, 2)
        file.write_text(f"{file.read_text()}prot = 1\nforwarded_hops = 99\n")
        said = ""
        try:
            read_settings({}, str(file))
        except ConfigurationError as error:
            said = str(error)
        assert "did you mean service.port?" in said, said
        assert "service.forwarded_hops must be a whole number from 0 to 16" in said, said


def sandbox() -> None:
    """Send by the Alidayu gateway to the local one."""
    from otpkit.gateways import Alidayu
    from otpkit.sandbox import Sandbox, running

    with running(Sandbox()) as local:
        gateway = Alidayu("sandbox", "sandbox-secret", base_url=local.gateway_url)
        with OTP("memory://", gateway, Template("SMS_585014", "阿里大鱼"), SECRET) as otp:
            assert otp.issue(PHONE).delivery == "accepted"
        with urllib.request.urlopen(local.base_url, timeout=9) as page:
            assert page.status == 200


def demo() -> None:
    """Run the whole demonstration with the local gateway."""
    command("demo", "--check")


def json_schemas() -> None:
    """Validate a request by its schema, and refuse another one."""
    from pydantic import ValidationError

    from otpkit.web.schemas import ChallengeRequest

    assert ChallengeRequest.model_validate_json('{"phone": "13800138000"}').purpose == "signup"
    try:
        ChallengeRequest.model_validate_json('{"phone": 13800138000}')
    except ValidationError:
        pass
    else:
        raise AssertionError("a number is taken for a text")


def fastapi() -> None:
    """Show the page and accept a number, by ASGI."""
    from fastapi import FastAPI
    from starlette.middleware.sessions import SessionMiddleware

    from otpkit.integrations.fastapi import PhoneVerification

    async def asked(app: Any, method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        sent: list[Any] = []
        headers = [(b"host", b"x"), (b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path}
        more = {"raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": headers}

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope | more | {"client": ("203.0.113.9", 1), "server": ("x", 80)}, receive, send)
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])

    async def story() -> None:
        outbox = Outbox()
        async with AsyncOTP("memory://", outbox, TEMPLATE, SECRET) as otp:
            app = FastAPI()
            app.add_middleware(SessionMiddleware, secret_key=KEY)
            phones = PhoneVerification(otp)
            phones.install(app)
            app.include_router(phones.pages(next_url="/account"), prefix="/signup")
            app.include_router(phones.router(), prefix="/api")
            status, page = await asked(app, "GET", "/signup", b"", "text/html")
            assert status == 200, page
            assert b"<form" in page
            paths = app.openapi()["paths"]
            challenges = next(path for path in paths if path.endswith("/challenges"))
            status, answer = await asked(app, "POST", challenges, b'{"phone": "13800138000"}', "application/json")
            assert status in {201, 202}, answer
            assert len(outbox) == 1

    asyncio.run(story())


def flask() -> None:
    """Accept a number and a code by the pages."""
    from flask import Flask

    from otpkit.integrations.flask import PhoneVerification

    outbox = Outbox()
    with OTP("memory://", outbox, TEMPLATE, SECRET) as otp:
        app = Flask(__name__)
        app.config["SECRET_KEY"] = KEY
        phones = PhoneVerification(app, otp)
        app.register_blueprint(phones.blueprint(next_url="/account"))
        app.add_url_rule("/account", "account", lambda: "account")
        visit(app.test_client(), "/signup", outbox, lambda page: page.get_data(as_text=True))


@cache
def django_site() -> tuple[Outbox, Any]:
    """Set up a Django site, which a process can do once, and return its outbox and its module of URLs."""
    import django as library
    from django.conf import settings

    outbox = Outbox()
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        AUTHENTICATION_BACKENDS=["otpkit.integrations.django.backends.PhoneBackend"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[
            "otpkit.integrations.django",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        OTPKIT={
            "REDIS": "memory://",
            "GATEWAY": outbox,
            "TEMPLATE": TEMPLATE,
            "SECRET": SECRET,
            "USER_PHONE_FIELD": "username",
        },
        ROOT_URLCONF="extras_urls",
        SECRET_KEY=KEY,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        USE_TZ=True,
    )
    library.setup()
    urls: Any = ModuleType("extras_urls")
    urls.urlpatterns = []
    sys.modules["extras_urls"] = urls
    return outbox, urls


def django() -> None:
    """Accept a number and a code by the views, and run the system checks."""
    outbox, urls = django_site()
    from django.core.management import call_command
    from django.http import HttpResponse
    from django.test import Client
    from django.urls import path

    from otpkit.integrations.django.views import SignupView

    urls.urlpatterns += [
        path("signup", SignupView.as_view(success_url="/account")),
        path("account", lambda request: HttpResponse("account")),
    ]
    call_command("check")
    visit(Client(), "/signup", outbox, lambda page: page.content.decode())


def rest() -> None:
    """Verify and redeem by the views of Django REST framework."""
    outbox, _ = django_site()
    from django.contrib.sessions.backends.signed_cookies import SessionStore
    from django.test import RequestFactory

    from otpkit.integrations.django.rest import phone_urls, redeem

    views, session = {each.pattern._route: each.callback for each in phone_urls("rest")}, SessionStore()

    def asked(path: str, body: Any, **headers: str) -> Any:
        request = RequestFactory().post("/", json.dumps(body), "application/json", headers=headers)
        request.session = session
        return views[path](request) if path else redeem(request, "rest")

    number = {"phone": "13900139000"}
    assert asked("challenges", number).status_code == 202
    answer = asked("verifications", number | {"code": outbox[-1].code})
    assert answer.status_code == 200, answer.content
    assert asked("", {}, **{"Phone-Proof": json.loads(answer.content)["token"]}).phone == "+8613900139000"


ALLAUTH = """
import re, sys
import django
from django.conf import settings

settings.configure(
    ACCOUNT_ADAPTER="otpkit.integrations.django.allauth.PhoneAdapter",
    ACCOUNT_FORMS={"verify_phone": "otpkit.integrations.django.allauth.forms.VerifyPhoneForm"},
    ACCOUNT_LOGIN_METHODS={"phone"},
    ACCOUNT_LOGIN_BY_CODE_ENABLED=True,
    ACCOUNT_SIGNUP_FIELDS=["phone*"],
    ALLOWED_HOSTS=["testserver"],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    AUTH_USER_MODEL="smoke_site.Member",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "smoke_site", "otpkit.integrations.django", "allauth", "allauth.account",
        *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "messages", "sessions")),
    ],
    LOGIN_REDIRECT_URL="/",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    MIGRATION_MODULES=dict.fromkeys(("account", "auth", "contenttypes", "sessions")),
    OTPKIT={"GATEWAY": "smoke_site.gateway"},
    ROOT_URLCONF="smoke_site.urls",
    SECRET_KEY="x" * 50,
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }],
)
django.setup()
from django.core.management import call_command
from django.test import Client
from smoke_site import gateway
from smoke_site.models import Member

call_command("check", stdout=sys.stderr)
call_command("migrate", run_syncdb=True, verbosity=0)
client = Client()
answer = client.post("/accounts/signup/", {"phone": "13800138000"})
assert answer.url == "/accounts/phone/verify/", answer.content
answer = client.post(answer.url, {"code": gateway[-1].code})
assert answer.url == "/", answer.content
assert [(each.phone, each.phone_verified) for each in Member.objects.all()] == [("+8613800138000", True)]
"""
ALLAUTH_SITE = {
    "__init__.py": "from otpkit.testing import Outbox\n\ngateway = Outbox()\n",
    "models.py": "from django.contrib.auth.models import AbstractUser\nfrom django.db import models\n\n\n"
    "class Member(AbstractUser):\n"
    "    phone = models.CharField(max_length=16, unique=True, null=True)\n"
    "    phone_verified = models.BooleanField(default=False)\n",
    "urls.py": "from django.urls import include, path\n\nurlpatterns = [path('accounts/', include('allauth.urls'))]\n",
}


def allauth() -> None:
    """Sign up on allauth's pages, in a process of its own: a process has one user model."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")} | {
        "OTPKIT_REDIS_URL": "memory://",
        "OTPKIT_SECRET": SECRET,
        "OTPKIT_TEMPLATE_CODE": "SMS_1",
        "OTPKIT_TEMPLATE_SIGN_NAME": "otpkit",
    }
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "smoke_site"
        site.mkdir()
        for name, text in ALLAUTH_SITE.items():
            (site / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-c", ALLAUTH]
        done = subprocess.run(
            command, env=env | {"PYTHONPATH": folder}, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr


def visit(client: Any, url: str, outbox: Outbox, text: Callable[[Any], str]) -> None:
    """Fill in the forms of a site's pages."""

    def filled(page: str, **fields: str) -> dict[str, str]:
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.partition("</form>")[0])
        return dict(hidden) | fields

    page = text(client.get(url))
    answer = client.post(url, data=filled(page, phone="13800138000"))
    assert len(outbox) == 1, text(answer)
    page = text(client.get(url)) if answer.status_code in {302, 303} else text(answer)
    answer = client.post(url, data=filled(page, code=outbox[-1].code))
    assert answer.status_code in {302, 303}, text(answer)


def service() -> None:
    """Serve over a socket, and verify by HTTP."""
    with told() as (port, found):
        env = {name: value for name, value in os.environ.items() if not name.startswith("OTPKIT_")} | {
            "OTPKIT_REDIS_URL": "memory://",
            "OTPKIT_SECRET": SECRET,
            "OTPKIT_GATEWAY": "webhook",
            "OTPKIT_WEBHOOK_URL": f"http://127.0.0.1:{port}/",
            "OTPKIT_WEBHOOK_SECRET": secrets.token_urlsafe(32),
            "OTPKIT_TEMPLATE_CODE": "SMS_1",
            "OTPKIT_SIGN_NAME": "otpkit",
            "OTPKIT_API_KEYS": json.dumps({"smoke": {"key": KEY, "purposes": ["signup"]}}),
        }
        with subprocess.Popen(
            [sys.executable, "-m", "otpkit", "serve", "--port", "0"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Listening on "), (line, process.communicate(timeout=9))
            base = line.split()[-1]

            def asked(path: str, body: Any) -> Any:
                headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
                data = None if body is None else json.dumps(body).encode()
                request = urllib.request.Request(base + path, data, headers)
                with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                    return answer.read()

            try:
                asked("/v1/challenges", {"phone": PHONE})
                proof = json.loads(asked("/v1/verifications", {"phone": PHONE, "code": found[-1]["code"]}))
                assert json.loads(asked("/v1/proofs/redeem", {"token": proof["token"]}))["phone"] == PHONE
                assert b"otpkit_events_total" in asked("/metrics", None)
                assert json.loads(asked("/openapi.json", None))["openapi"]
            finally:
                process.terminate()
                _, errors = process.communicate(timeout=SECONDS)
            assert (process.returncode, errors) == (0, ""), errors


CHECKS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        *(embedded, speed, intl, aiohttp, apprise, settings, cli, sandbox, demo, fastapi, flask, django, rest, allauth),
        *(otel, otlp, prometheus, service),
    )
} | {"json": json_schemas}


def main() -> None:
    """Check the extras of the command line, or all. The status is 1 if one fails."""
    names = sys.argv[1:] or list(CHECKS)
    print(f"Python {sys.version.split()[0]}, otpkit {version('otpkit')}")
    failed = 0
    for name in names:
        try:
            CHECKS[name]()
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"FAILED {name}")
        else:
            print(f"ok     {name}")
    print(f"{len(names) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
