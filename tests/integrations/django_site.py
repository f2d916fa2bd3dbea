"""A Django site in the test process, with a database in memory. It is set up once, when this module is imported.

Its users are Django's own, with the phone as `username`. Tests import the models from here, because they can't be
imported before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from support.secrets import SECRET

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        AUTHENTICATION_BACKENDS=[
            "otpkit.integrations.django.backends.PhoneBackend",
            "django.contrib.auth.backends.ModelBackend",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[
            "otpkit.integrations.django",
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
        ],
        LOGGING_CONFIG=None,
        LOGIN_REDIRECT_URL="/home/",
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.locale.LocaleMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        ROOT_URLCONF="django_site",
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

from django.contrib import admin
from django.contrib.admin.models import LogEntry  # noqa: F401
from django.contrib.auth.models import Permission, User  # noqa: F401
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import include, path

from otpkit import OTPError, Policy, Proof, Template
from otpkit.integrations.django.sessions import log_in, redeem
from otpkit.integrations.django.views import LoginView, PhoneView, SignupView
from otpkit.testing import MovableClock, Outbox
from otpkit.web import View

PHONE = "+8613900139000"


class PaymentView(PhoneView):
    purpose = "payment"
    success_url = "/paid/"


class CustomView(PhoneView):
    purpose = "custom"
    keep_proof = False

    def verified(self, proof: Proof) -> HttpResponse:
        return HttpResponse(f"verified {proof.phone}")


class OwnPageView(PhoneView):
    purpose = "own page"

    def render(self, view: View) -> str:
        return f"<p>{view.step} {view.language}</p>"


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.get_username())


def account(request: HttpRequest) -> HttpResponse:
    try:
        proof = redeem(request, idempotency_key=request.POST.get("key"))
    except OTPError as error:
        return HttpResponse(error.code, status=error.status)
    User.objects.get_or_create(username=proof.phone)
    log_in(request, proof)
    return HttpResponse(proof.phone)


def redeem_twice(request: HttpRequest) -> HttpResponse:
    """Redeem, and return whether the proof is a replay, with the contents of uploaded files."""
    if "Read-Before" in request.headers:
        request.read()
    try:
        proof = redeem(request, idempotency_key=request.headers.get("Key") or request.POST.get("key"))
    except OTPError as error:
        return HttpResponse(error.code, status=error.status)
    files = {name: file.read().decode() for name, file in request.FILES.items()}
    return JsonResponse({"phone": proof.phone, "replayed": proof.replayed, **files})


def pay(request: HttpRequest, order: int = 0) -> HttpResponse:
    """Redeem as the simplest view does."""
    return HttpResponse(redeem(request, "payment").phone)


def deep(request: HttpRequest) -> HttpResponse:
    return HttpResponse(redeem(request, "deep").phone)


def plain_account(request: HttpRequest) -> HttpResponse:
    return HttpResponse(redeem(request).phone)


async def async_account(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await sync_to_async(redeem)(request)).phone)


urlpatterns = [
    path("pay/<int:order>/", pay),
    path("plain/", plain_account),
    path("async/", async_account),
    path(
        "nested/", include([path("deep/", PhoneView.as_view(purpose="deep", success_url="/")), path("deep/er/", deep)])
    ),
    path("redeem/", redeem_twice),
    path("signup/", SignupView.as_view(success_url="account")),
    path("login/", LoginView.as_view()),
    path("payment/", PaymentView.as_view()),
    path("custom/", CustomView.as_view()),
    path("own-page/", OwnPageView.as_view()),
    path("nowhere/", PhoneView.as_view(purpose="nowhere")),
    path("account/", account, name="account"),
    path("home/", home),
    path("admin/", admin.site.urls),
]


@cache
def _migrate() -> None:
    call_command("migrate", verbosity=0)


@dataclass
class Site:
    """The site for tests: its outbox, its clock, and its browsers."""

    outbox: Outbox = field(default_factory=Outbox)
    clock: MovableClock = field(default_factory=MovableClock)

    def options(self, **more: Any) -> dict[str, Any]:
        """Return a setting `OTPKIT` with this site's outbox and clock."""
        return {
            "REDIS": "memory://",
            "GATEWAY": self.outbox,
            "TEMPLATE": Template("SMS_1", "otpkit"),
            "SECRET": SECRET,
            "POLICY": Policy(sends="32/day"),
            "CLOCK": self.clock,
            "USER_PHONE_FIELD": "username",
            **more,
        }

    @property
    def code(self) -> str:
        """The code of the latest message."""
        return self.outbox[-1].code


@contextmanager
def site(**more: Any) -> Iterator[Site]:
    """Yield the site, without users, during the block. `more` are options of the setting `OTPKIT`."""
    found = Site()
    _migrate()
    call_command("flush", verbosity=0, interactive=False)
    with override_settings(OTPKIT=found.options(**more)):
        yield found


class Browser(Client):
    """A browser that sends the hidden fields of a form."""

    def __init__(self, **defaults: Any) -> None:
        super().__init__(enforce_csrf_checks=True, **defaults)

    def post(self, path: str, data: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Send a form as browsers do."""
        return super().post(path, urlencode(data or {}, doseq=True), "application/x-www-form-urlencoded", **kwargs)

    def fill(self, url: str, **fields: str) -> Any:
        """Open a page, fill in its first form and send it. Do not follow a redirect."""
        return self.post(url, hidden(self.get(url)) | fields)

    def verify(self, site: Site, url: str, phone: str = PHONE) -> Any:
        """Request a code on a page, and send it back."""
        assert self.fill(url, phone=phone).status_code == 303
        return self.fill(url, code=site.code)


def hidden(response: Any) -> dict[str, str]:
    """Return the hidden fields of a page's first form."""
    form = response.content.decode().partition("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
