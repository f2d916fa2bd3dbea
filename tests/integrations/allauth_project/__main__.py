"""Serve the project on a free port, and print its address."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings

from otpkit.testing import MovableClock

FORMS = {
    "verify_phone": "otpkit.integrations.django.allauth.forms.VerifyPhoneForm",
    "confirm_login_code": "otpkit.integrations.django.allauth.forms.ConfirmLoginCodeForm",
    "confirm_reauthentication_code": "otpkit.integrations.django.allauth.forms.ConfirmReauthenticationCodeForm",
}
APPS = ("auth", "contenttypes", "sessions", "account", "usersessions")


def settings_of_request(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return middleware that serves a request with the settings in its header `Settings`. Requests are sequential."""
    from django.test import override_settings

    def answer(request: Any) -> Any:
        with override_settings(**json.loads(request.headers.get("Settings", "{}"))):
            return get_response(request)

    return answer


def configure(folder: str) -> None:
    settings.configure(
        ACCOUNT_ADAPTER="otpkit.integrations.django.allauth.PhoneAdapter",
        ACCOUNT_FORMS=FORMS,
        ACCOUNT_LOGIN_BY_CODE_ENABLED=True,
        ACCOUNT_LOGIN_BY_CODE_SUPPORTS_RESEND=True,
        ACCOUNT_LOGIN_METHODS={"phone"},
        ACCOUNT_PHONE_VERIFICATION_SUPPORTS_CHANGE=True,
        ACCOUNT_PHONE_VERIFICATION_SUPPORTS_RESEND=True,
        ACCOUNT_RATE_LIMITS=False,
        ACCOUNT_REAUTHENTICATION_METHODS=("password", "code"),
        ACCOUNT_SIGNUP_FIELDS=["phone*"],
        ALLOWED_HOSTS=["127.0.0.1"],
        AUTHENTICATION_BACKENDS=[
            "otpkit.integrations.django.backends.PhoneBackend",
            "allauth.account.auth_backends.AuthenticationBackend",
        ],
        AUTH_USER_MODEL="allauth_project.Member",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/db.sqlite3"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
        HEADLESS_ENABLED=True,
        INSTALLED_APPS=[
            "otpkit.integrations.django",
            "allauth_project",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "allauth",
            "allauth.account",
            "allauth.headless",
        ],
        LOGGING_CONFIG=None,  # Errors go to stderr, which pytest shows.
        LOGIN_REDIRECT_URL="/",
        MIDDLEWARE=[
            "otpkit.integrations.django.middleware.PhoneErrorMiddleware",
            "allauth_project.__main__.settings_of_request",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.locale.LocaleMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        MIGRATION_MODULES=dict.fromkeys(APPS),
        OTPKIT={"USER_PHONE_FIELD": "phone", "CLOCK": MovableClock()},
        ROOT_URLCONF="allauth_project.urls",
        SECRET_KEY="django's own, which is not otpkit's",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        USE_TZ=True,
    )
    django.setup()


def main(folder: str) -> None:
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    configure(folder)
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command
    from werkzeug.serving import make_server

    call_command("check", stdout=sys.stderr)
    call_command("migrate", run_syncdb=True, verbosity=0)
    server = make_server("127.0.0.1", 0, WSGIHandler(), threaded=True)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
