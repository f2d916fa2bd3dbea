"""Sign up, log in and unblock by phone with Django, on this machine alone.

    pip install 'otpkit[examples]'
    python examples/django_project/run.py

Without OTPKIT_* variables it runs on a local gateway, whose inbox shows the messages, and a store in this process. The
database is a temporary file. It prints its administrator's password; the admin site is at /admin/.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory

import django
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application


@contextmanager
def local_gateway() -> Iterator[None]:
    """Describe a gateway on this machine in the environment, unless that describes one already."""
    if "OTPKIT_REDIS_URL" in os.environ:
        yield
        return
    from otpkit.sandbox import Sandbox, running

    with running(Sandbox()) as local:
        print(f"The messages are at {local.base_url}", flush=True)
        os.environ |= {
            "OTPKIT_REDIS_URL": "memory://",
            "OTPKIT_SECRET": secrets.token_urlsafe(32),
            "OTPKIT_GATEWAY": "alidayu",
            "OTPKIT_ALIDAYU_APP_KEY": "sandbox",
            "OTPKIT_ALIDAYU_APP_SECRET": "sandbox-secret",
            "OTPKIT_ALIDAYU_BASE_URL": local.gateway_url,
            "OTPKIT_TEMPLATE_CODE": "SMS_585014",
            "OTPKIT_TEMPLATE_SIGN_NAME": "阿里大鱼",
        }
        yield


def prepare(folder: str) -> None:
    """Set Django up with a database in a folder, and an administrator."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    os.environ.setdefault("DJANGO_DEBUG", "1")
    os.environ.setdefault("DJANGO_SECRET_KEY", secrets.token_urlsafe(32))
    os.environ["DJANGO_DATABASE"] = os.path.join(folder, "db.sqlite3")
    django.setup()
    call_command("check")
    call_command("migrate", verbosity=0)
    from shop.models import User

    phone, password = "+8613800138000", secrets.token_urlsafe(12)
    User.objects.create_superuser(phone, password)
    print(f"The administrator is {phone}, the password {password}", flush=True)


def serve(port: int) -> None:
    server = ThreadedWSGIServer(("127.0.0.1", port), WSGIRequestHandler)
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    print(f"Running on http://127.0.0.1:{server.server_port}", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    with local_gateway(), TemporaryDirectory() as folder:
        prepare(folder)
        serve(int(os.environ.get("PORT", "8000")))
