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
from django.db.models import Model
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import get_resolver
from django.utils.module_loading import import_string

from otpkit import ConfigurationError
from otpkit.integrations.django.backends import has_phone_backend
from otpkit.integrations.django.conf import forwarded_hops, get_otp, options, user_phone_field
from otpkit.integrations.django.views import LoginView

_BACKENDS: Final = ["django.contrib.auth.backends.ModelBackend", "otpkit.integrations.django.backends.PhoneBackend"]


@register(Tags.security)
def check_otp(**_: Any) -> Iterator[CheckMessage]:
    """E001: the setting `OTPKIT` makes an `OTP`. W001: its secret is one of its own."""
    try:
        get_otp()
        forwarded_hops()
        user_phone_field()
    except ConfigurationError as error:
        hint = "Correct the setting OTPKIT, or the OTPKIT_ variables of the environment where it is silent."
        yield Error(str(error), hint=hint, id="otpkit.E001")
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
    """E003: who logs in has a backend. E004 and E005: the user model has a field for the number, and it is unique."""
    has_backend, uses_login = has_phone_backend(), _uses_login()
    if uses_login and not has_backend:
        hint = f"Add it: AUTHENTICATION_BACKENDS = {_BACKENDS}, where the first is the one for passwords."
        yield Error("LoginView is used without a PhoneBackend, so nobody could log in.", hint=hint, id="otpkit.E003")
    if uses_login or has_backend:
        yield from _check_phone_field()


@register(Tags.security, deploy=True)
def check_cookies(**_: Any) -> Iterator[CheckMessage]:
    """W003: the session, which codes are tied to, is not readable on its way."""
    if not settings.SESSION_COOKIE_SECURE:
        text = (
            "SESSION_COOKIE_SECURE is not set: who reads the session's cookie on its way has the visitor's proof too."
        )
        yield Warning(text, hint="Set SESSION_COOKIE_SECURE = True and serve by HTTPS alone.", id="otpkit.W003")


def _check_phone_field() -> Iterator[CheckMessage]:
    try:
        model, field = _find_field(get_user_model(), user_phone_field())
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


def _find_field(model: type[Model], path: str) -> tuple[type[Model], Any]:
    first, _, rest = path.partition("__")
    field = model._meta.get_field(first)
    if not rest:
        return model, field
    if field.related_model is None:
        raise FieldDoesNotExist(f"{model.__name__}.{first} leads to no other model.")
    return _find_field(field.related_model, rest)


def _secrets() -> Iterable[Any]:
    given = options().get("SECRET", os.environ.get("OTPKIT_SECRET", "").split())
    return [given] if isinstance(given, (str, bytes)) else given


def _has_middleware(kind: type) -> bool:
    found = [import_string(path) for path in settings.MIDDLEWARE]
    return any(isinstance(each, type) and issubclass(each, kind) for each in found)


def _uses_login() -> bool:
    return bool(getattr(settings, "ROOT_URLCONF", None)) and any(
        _is_login(each) for each in get_resolver().url_patterns
    )


def _is_login(pattern: Any) -> bool:
    if hasattr(pattern, "url_patterns"):
        return any(_is_login(each) for each in pattern.url_patterns)
    view = getattr(pattern.callback, "view_class", object)
    return issubclass(view, LoginView)
