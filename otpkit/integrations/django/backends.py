"""The authentication backend: whoever has proved a number is the user with that number."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldError
from django.http import HttpRequest

from otpkit import ConfigurationError, Proof
from otpkit.frames import without_locals
from otpkit.integrations.django.conf import user_phone_field


@without_locals
class PhoneBackend(ModelBackend):
    """Authenticates by a `Proof`, never by a number or a password; permissions are those of `ModelBackend`."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> AbstractBaseUser | None:
        """Return the active user whose number `proof` proves, or None.

        Raises `ConfigurationError` where two users have it.
        """
        proof = kwargs.get("proof")
        if not isinstance(proof, Proof):
            return None
        user = self.find_user(proof.phone)
        return user if user is not None and self.user_can_authenticate(user) else None

    async def aauthenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> AbstractBaseUser | None:
        """Same as `authenticate`, but awaited: ModelBackend's own would take a password."""
        return await sync_to_async(self.authenticate)(request, *args, **kwargs)

    def find_user(self, phone: str) -> AbstractBaseUser | None:
        """Return the user with an E.164 number, or None."""
        name = user_phone_field()
        try:
            users = list(get_user_model()._default_manager.filter(**{name: phone})[:2])
        except FieldError as error:
            raise ConfigurationError(f"OTPKIT['USER_PHONE_FIELD'] is no field of the user model: {error}.") from error
        if len(users) > 1:
            raise ConfigurationError(f"Two users have the same number in {name!r}; make that field unique.")
        return users[0] if users else None


def has_phone_backend() -> bool:
    """Return whether a `PhoneBackend` is in `AUTHENTICATION_BACKENDS`."""
    return any(isinstance(each, PhoneBackend) for each in get_backends())
