"""System checks: `manage.py check` finds mistakes that would otherwise appear at the first sign-up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name
from django.core.exceptions import FieldDoesNotExist
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import get_resolver
from django.utils.module_loading import import_string

from otpkit import ConfigurationError
from otpkit.environment import read_variables
from otpkit.integrations.django.backends import has_phone_backend
from otpkit.integrations.django.conf import (
    allows_staff,
    brand,
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
    """Check the setting `OTPKIT`. E001: no `OTP` can be built from it. W001: its secret is Django's `SECRET_KEY`."""
    try:
        get_otp()
        brand()
        forwarded_hops()
        user_phone_field()
        login_purposes()
        allows_staff()
    except ConfigurationError as error:
        where = "Correct the setting OTPKIT, or the OTPKIT_ environment variables that it does not override."
        yield Error(error.problem, hint=f"{error.remedy} {where}".strip(), id="otpkit.E001")
    else:
        if settings.SECRET_KEY in _secrets():
            hint = "Create another one with `otpkit keygen`, so that each can be rotated, or leak, without the other."
            yield Warning("The secret of OTPKIT is Django's SECRET_KEY.", hint=hint, id="otpkit.W001")


@register(Tags.security)
def check_middleware(**_: Any) -> Iterator[CheckMessage]:
    """Check the middleware. E002: there are no sessions. W002: Django does not check CSRF on the whole site."""
    if not _has_middleware(SessionMiddleware):
        hint = "Add django.contrib.sessions.middleware.SessionMiddleware to MIDDLEWARE."
        yield Error("The forms keep their state in the session, but there is no session.", hint=hint, id="otpkit.E002")
    if not _has_middleware(CsrfViewMiddleware):
        hint = "Add django.middleware.csrf.CsrfViewMiddleware to MIDDLEWARE."
        text = "otpkit's own forms have CSRF protection. Your forms, such as the one that redeems, have none."
        yield Warning(text, hint=hint, id="otpkit.W002")


@register(Tags.security)
def check_login(**_: Any) -> Iterator[CheckMessage]:
    """Check the requirements of a login.

    E003: there is no backend. E004, E005: the user model has no field for the number, or it is not unique. E006: a
        login
    page has a purpose whose proofs do not log in.
    """
    purposes = _login_pages()
    has_backend, uses_login = has_phone_backend(), bool(purposes)
    if uses_login and not has_backend:
        hint = f"Set AUTHENTICATION_BACKENDS = {_BACKENDS}. The first one is for passwords."
        yield Error("LoginView is used without a PhoneBackend, so no user can log in.", hint=hint, id="otpkit.E003")
    if uses_login or has_backend:
        yield from _check_phone_field()
    yield from _check_purposes(purposes)


@register(Tags.security, deploy=True)
def check_cookies(**_: Any) -> Iterator[CheckMessage]:
    """Check cookies. W003: the session cookie, which codes are tied to, may be sent unencrypted."""
    if not settings.SESSION_COOKIE_SECURE:
        text = (
            "SESSION_COOKIE_SECURE is not set. An attacker who reads the session cookie also gets the visitor's proof."
        )
        yield Warning(text, hint="Set SESSION_COOKIE_SECURE = True, and serve only HTTPS.", id="otpkit.W003")


@register(Tags.security, deploy=True)
def check_staff(**_: Any) -> Iterator[CheckMessage]:
    """Check staff logins. W004: an SMS alone logs in staff."""
    try:
        is_open = allows_staff()
    except ConfigurationError:
        return  # check_otp reports this (E001).
    if is_open:
        text = "OTPKIT['LOGIN_STAFF'] lets an SMS alone log in staff and superusers."
        hint = "Remove it. Let them log in with a password and a second factor (OWASP ASVS 6.1.3, 6.3.4)."
        yield Warning(text, hint=hint, id="otpkit.W004")


@register(Tags.security)
def check_allauth(**_: Any) -> Iterator[CheckMessage]:
    """Check the requirements of allauth's adapter.

    E007: the user model can't hold a number with its state. W007: allauth's own limit is answered by status 500.
    """
    adapter = _allauth_adapter()
    if adapter is None:
        return
    yield from _check_phone_field()
    with suppress(ConfigurationError, FieldDoesNotExist):  # check_otp (E001) and _check_phone_field (E004) report it.
        model, field = find_field(get_user_model(), user_phone_field())
        if not field.null:
            text = f"{model.__name__}.{field.name} can't be null, so a number that was not verified can't be given up."
            yield Error(text, hint="Set null=True on the field.", id="otpkit.E007")
        if not hasattr(model(), adapter.verified_field):
            text = f"{model.__name__} has no field {adapter.verified_field!r} for whether the number is verified."
            yield Error(text, hint="Add it as BooleanField(default=False).", id="otpkit.E007")
    from allauth.account import app_settings

    if app_settings.RATE_LIMITS.get("verify_phone"):
        text = "allauth answers a sign-up at its own limit 'verify_phone' by status 500."
        hint = 'Set ACCOUNT_RATE_LIMITS = {"verify_phone": None}. otpkit has the limits of a number.'
        yield Warning(text, hint=hint, id="otpkit.W007")


def _allauth_adapter() -> Any:
    """Return the class of allauth's adapter if it is otpkit's, else None."""
    if not apps.is_installed("allauth.account"):
        return None
    from allauth.account import app_settings

    from otpkit.integrations.django.allauth import PhoneAdapterMixin

    found = import_string(app_settings.ADAPTER)
    return found if isinstance(found, type) and issubclass(found, PhoneAdapterMixin) else None


def _check_purposes(purposes: Iterable[str]) -> Iterator[CheckMessage]:
    try:
        allowed = login_purposes()
    except ConfigurationError:
        return  # check_otp reports this (E001).
    if others := sorted(set(purposes) - allowed):
        hint = f"Set OTPKIT = {{'LOGIN_PURPOSES': {sorted(allowed) + others}}}."
        text = f"A LoginView has the purpose {others[0]!r}, which is not in LOGIN_PURPOSES, so it logs no one in."
        yield Error(text, hint=hint, id="otpkit.E006")


def _check_phone_field() -> Iterator[CheckMessage]:
    try:
        model, field = find_field(get_user_model(), user_phone_field())
    except ConfigurationError:
        return  # check_otp reports this (E001).
    except FieldDoesNotExist as error:
        hint = 'Set it to a unique field that holds the number in E.164: OTPKIT = {"USER_PHONE_FIELD": …}.'
        yield Error(f"The user model has no field for the number: {error}", hint=hint, id="otpkit.E004")
        return
    constraints = getattr(model._meta, "total_unique_constraints", ())
    if not getattr(field, "unique", False) and (field.name,) not in {tuple(each.fields) for each in constraints}:
        text = f"{model.__name__}.{field.name} is not unique, so two users could have the same number."
        yield Error(text, hint="Set unique=True on the field.", id="otpkit.E005")


def _secrets() -> Iterable[Any]:
    given = options().get("SECRET", read_variables(os.environ)[0].get("OTPKIT_SECRET", "").split())
    return [given] if isinstance(given, (str, bytes)) else given


def _has_middleware(kind: type) -> bool:
    found = [import_string(path) for path in settings.MIDDLEWARE]
    return any(isinstance(each, type) and issubclass(each, kind) for each in found)


def _login_pages() -> list[str]:
    """Return the purposes of all `LoginView`s in the site's URLs."""
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
