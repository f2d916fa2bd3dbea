"""System checks: `manage.py check` says what would only show when somebody signs up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name
from django.core.exceptions import FieldDoesNotExist
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import get_resolver
from django.utils.module_loading import import_string

from otpkit import ConfigurationError
from otpkit.integrations.django.backends import has_phone_backend
from otpkit.integrations.django.conf import (
    allows_staff,
    find_field,
    forwarded_hops,
    get_otp,
    login_purposes,
    options,
    user_phone_field,
)
from otpkit.integrations.django.views import LoginView

_BACKENDS: Final = ["django.contrib.auth.backends.ModelBackend", "otpkit.integrations.django.backends.PhoneBackend"]


@register(Tags.security)
def check_otp(**_: Any) -> Iterator[CheckMessage]:
    """E001: the setting `OTPKIT` makes an `OTP`. W001: its secret is one of its own."""
    try:
        get_otp()
        forwarded_hops()
        user_phone_field()
        login_purposes()
        allows_staff()
    except ConfigurationError as error:
        where = "Correct the setting OTPKIT, or the OTPKIT_ variables of the environment where it is silent."
        yield Error(error.problem, hint=f"{error.remedy} {where}".strip(), id="otpkit.E001")
    else:
        if settings.SECRET_KEY in _secrets():
            hint = "Make another with `otpkit keygen`, so that each can be rotated, or stolen, without the other."
            yield Warning("The secret of OTPKIT is Django's SECRET_KEY.", hint=hint, id="otpkit.W001")


@register(Tags.security)
def check_middleware(**_: Any) -> Iterator[CheckMessage]:
    """E002: there are sessions. W002: CSRF is checked on the whole site."""
    if not _has_middleware(SessionMiddleware):
        hint = "Add django.contrib.sessions.middleware.SessionMiddleware to MIDDLEWARE."
        yield Error("The forms keep their state in the session, and there is none.", hint=hint, id="otpkit.E002")
    if not _has_middleware(CsrfViewMiddleware):
        hint = "Add django.middleware.csrf.CsrfViewMiddleware to MIDDLEWARE."
        text = "otpkit's own forms are protected from other sites; yours, such as the one that redeems, are not."
        yield Warning(text, hint=hint, id="otpkit.W002")


@register(Tags.security)
def check_login(**_: Any) -> Iterator[CheckMessage]:
    """Check what a login needs.

    E003: there is a backend. E004 and E005: the user model has a field for the number, and it is unique. E006: the
    proofs of each login page log in.
    """
    purposes = _login_pages()
    has_backend, uses_login = has_phone_backend(), bool(purposes)
    if uses_login and not has_backend:
        hint = f"Add it: AUTHENTICATION_BACKENDS = {_BACKENDS}, where the first is the one for passwords."
        yield Error("LoginView is used without a PhoneBackend, so nobody could log in.", hint=hint, id="otpkit.E003")
    if uses_login or has_backend:
        yield from _check_phone_field()
    yield from _check_purposes(purposes)


@register(Tags.security, deploy=True)
def check_cookies(**_: Any) -> Iterator[CheckMessage]:
    """W003: the session, which codes are tied to, is not readable on its way."""
    if not settings.SESSION_COOKIE_SECURE:
        text = (
            "SESSION_COOKIE_SECURE is not set: who reads the session's cookie on its way has the visitor's proof too."
        )
        yield Warning(text, hint="Set SESSION_COOKIE_SECURE = True and serve by HTTPS alone.", id="otpkit.W003")


@register(Tags.security, deploy=True)
def check_staff(**_: Any) -> Iterator[CheckMessage]:
    """W004: an SMS alone opens no account of the staff."""
    try:
        is_open = allows_staff()
    except ConfigurationError:
        return  # E001 says so
    if is_open:
        text = "OTPKIT['LOGIN_STAFF'] lets an SMS alone log in staff and superusers."
        hint = "Remove it, and have them log in by a password and a second factor (OWASP ASVS 6.1.3, 6.3.4)."
        yield Warning(text, hint=hint, id="otpkit.W004")


def _check_purposes(purposes: Iterable[str]) -> Iterator[CheckMessage]:
    try:
        allowed = login_purposes()
    except ConfigurationError:
        return  # E001 says so
    if others := sorted(set(purposes) - allowed):
        hint = f"Add it: OTPKIT = {{'LOGIN_PURPOSES': {sorted(allowed) + others}}}."
        text = f"A LoginView has the purpose {others[0]!r}, whose proofs log nobody in."
        yield Error(text, hint=hint, id="otpkit.E006")


def _check_phone_field() -> Iterator[CheckMessage]:
    try:
        model, field = find_field(get_user_model(), user_phone_field())
    except ConfigurationError:
        return  # E001 says so
    except FieldDoesNotExist as error:
        hint = 'Name a unique field that holds the number as E.164: OTPKIT = {"USER_PHONE_FIELD": …}.'
        yield Error(f"The user model has no field for the number: {error}", hint=hint, id="otpkit.E004")
        return
    constraints = getattr(model._meta, "total_unique_constraints", ())
    if not getattr(field, "unique", False) and (field.name,) not in {tuple(each.fields) for each in constraints}:
        text = f"{model.__name__}.{field.name} is not unique: two users with one number could not be told apart."
        yield Error(text, hint="Give it unique=True.", id="otpkit.E005")


def _secrets() -> Iterable[Any]:
    given = options().get("SECRET", os.environ.get("OTPKIT_SECRET", "").split())
    return [given] if isinstance(given, (str, bytes)) else given


def _has_middleware(kind: type) -> bool:
    found = [import_string(path) for path in settings.MIDDLEWARE]
    return any(isinstance(each, type) and issubclass(each, kind) for each in found)


def _login_pages() -> list[str]:
    """Return the purpose of each `LoginView` in the site's URLs."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    return list(_purposes_in(get_resolver().url_patterns))


def _purposes_in(patterns: Iterable[Any]) -> Iterator[str]:
    for each in patterns:
        if hasattr(each, "url_patterns"):
            yield from _purposes_in(each.url_patterns)
            continue
        view: Any = getattr(each.callback, "view_class", object)
        if issubclass(view, LoginView):
            yield str(each.callback.view_initkwargs.get("purpose", view.purpose))
