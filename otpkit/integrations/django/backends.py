"""The authentication backend. A proof of a number authenticates the user with that number."""

from __future__ import annotations

import logging
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldError
from django.http import HttpRequest

from otpkit import ConfigurationError, Proof
from otpkit.frames import without_locals
from otpkit.integrations.django.conf import allows_staff, login_purposes, user_phone_field

_log: Final = logging.getLogger("otpkit.integrations.django")


@without_locals
class PhoneBackend(ModelBackend):
    """An authentication backend that accepts a `Proof`, never a number or a password.

    Permissions work as in `ModelBackend`. Users with `is_staff` or `is_superuser` are refused, because an SMS is too
    weak for them (`OTPKIT["LOGIN_STAFF"]`). If a user becomes staff, a session from this backend no longer
    authenticates them. Groups and permissions do not make a user staff. If yours grant as much, override
    `user_can_authenticate` to refuse those users too.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> AbstractBaseUser | None:
        """Return the user whose number `proof` proves, or None.

        None also means: the proof's purpose is not in `OTPKIT["LOGIN_PURPOSES"]`, the user is inactive, or the user is
        staff. Django then sends `user_login_failed`. A refused staff login is logged with the reason.

        Args:
            request: the request, or None.
            username: ignored.
            password: ignored.
            kwargs: `proof`, the `Proof`.

        Raises:
            ConfigurationError: two users have the number, or the user model lacks the field.
        """
        proof = kwargs.get("proof")
        if not isinstance(proof, Proof) or proof.purpose not in login_purposes():
            return None
        user = self.find_user(proof.phone)
        if user is None or self.user_can_authenticate(user):
            return user
        if _is_staff(user) and not allows_staff():
            _log.warning("Refused to log in user %s by SMS alone: the user is staff or a superuser.", user.pk)
        return None

    def user_can_authenticate(self, user: Any) -> bool:
        """Return True for an active user who is neither staff nor a superuser: an SMS alone may log them in."""
        return super().user_can_authenticate(user) and (allows_staff() or not _is_staff(user))

    async def aauthenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> AbstractBaseUser | None:
        """Call `authenticate` in a thread. ModelBackend's own `aauthenticate` would accept a password."""
        return await sync_to_async(self.authenticate)(request, *args, **kwargs)

    def find_user(self, phone: str) -> AbstractBaseUser | None:
        """Return the user with an E.164 number, or None.

        Raises:
            ConfigurationError: two users have the number, or the user model lacks the field.
        """
        name = user_phone_field()
        try:
            users = list(get_user_model()._default_manager.filter(**{name: phone})[:2])
        except FieldError as error:
            raise ConfigurationError(
                f"OTPKIT['USER_PHONE_FIELD'] is not a field of the user model: {error}.",
                "Set it to the field that holds the number.",
            ) from error
        if len(users) > 1:
            raise ConfigurationError(f"Two users have the same number in {name!r}.", "Make that field unique.")
        return users[0] if users else None


def _is_staff(user: object) -> bool:
    # A custom user model may have neither attribute.
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def has_phone_backend() -> bool:
    """Return True if a `PhoneBackend` is in `AUTHENTICATION_BACKENDS`."""
    return any(isinstance(each, PhoneBackend) for each in get_backends())
