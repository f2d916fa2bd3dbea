"""The authentication backend: whoever has proved a number is the user with that number."""

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
    """Authenticates by a `Proof`, never by a number or a password; permissions are those of `ModelBackend`.

    It refuses users with `is_staff` or `is_superuser`: for them an SMS is too weak (`OTPKIT["LOGIN_STAFF"]`). A session
    that it made ends, for this site, when its user joins them. Groups and permissions do not make a user one of the
    staff: where yours open as much, refuse their holders too in a `user_can_authenticate` of your own.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> AbstractBaseUser | None:
        """Return the user whose number `proof` proves, or None.

        None is also the answer for a proof of another purpose than `OTPKIT["LOGIN_PURPOSES"]`, an inactive user, and
        one of the staff; Django then sends `user_login_failed`. For staff the log says why.

        Raises `ConfigurationError` where two users have the number.
        """
        proof = kwargs.get("proof")
        if not isinstance(proof, Proof) or proof.purpose not in login_purposes():
            return None
        user = self.find_user(proof.phone)
        if user is None or self.user_can_authenticate(user):
            return user
        if _is_staff(user) and not allows_staff():
            _log.warning("A login by SMS alone was refused to user %s, who is staff or a superuser.", user.pk)
        return None

    def user_can_authenticate(self, user: Any) -> bool:
        """Return whether a user may have a session by SMS alone: an active one who is neither staff nor a superuser."""
        return super().user_can_authenticate(user) and (allows_staff() or not _is_staff(user))

    async def aauthenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> AbstractBaseUser | None:
        """Same as `authenticate`, but awaited: ModelBackend's own would take a password."""
        return await sync_to_async(self.authenticate)(request, *args, **kwargs)

    def find_user(self, phone: str) -> AbstractBaseUser | None:
        """Return the user with an E.164 number, or None."""
        name = user_phone_field()
        try:
            users = list(get_user_model()._default_manager.filter(**{name: phone})[:2])
        except FieldError as error:
            raise ConfigurationError(
                f"OTPKIT['USER_PHONE_FIELD'] is no field of the user model: {error}.",
                "Set it to the field that holds the number.",
            ) from error
        if len(users) > 1:
            raise ConfigurationError(f"Two users have the same number in {name!r}.", "Make that field unique.")
        return users[0] if users else None


def _is_staff(user: object) -> bool:
    # A user model of the site's own may have neither.
    return bool(getattr(user, "is_staff", False) or getattr(user, "is_superuser", False))


def has_phone_backend() -> bool:
    """Return whether a `PhoneBackend` is in `AUTHENTICATION_BACKENDS`."""
    return any(isinstance(each, PhoneBackend) for each in get_backends())
