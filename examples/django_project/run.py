"""Sign up, log in and unblock by phone with Django, on this machine alone.

    pip install 'otpkit[examples]'
    python examples/django_project/run.py

Without OTPKIT_* variables it runs on a local gateway, whose inbox shows the messages, and a store in this process. The
database is a temporary file. It prints its administrator's password; the admin site is at /admin/.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import django
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler


@contextmanager
def environment() -> Iterator[None]:
    """Set what the settings read, unless it is set."""
    from otpkit.sandbox import Sandbox, running

    with tempfile.TemporaryDirectory() as folder, running(Sandbox()) as local:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
        os.environ.setdefault("DJANGO_SECRET_KEY", secrets.token_urlsafe(32))
        os.environ.setdefault("DJANGO_DATABASE", os.path.join(folder, "db.sqlite3"))
        if "OTPKIT_REDIS_URL" not in os.environ:
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


def serve(port: int) -> None:
    django.setup()
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from shop.models import User

    call_command("check")
    call_command("migrate", verbosity=0)
    password = secrets.token_urlsafe(12)
    if not User.objects.filter(is_superuser=True).exists():
        User.objects.create_superuser("+8613800138000", password)
        print(f"The administrator is +8613800138000, the password {password}", flush=True)
    server = ThreadedWSGIServer(("127.0.0.1", port), WSGIRequestHandler)
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    print(f"Running on http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    with environment():
        serve(int(os.environ.get("PORT", "8000")))
