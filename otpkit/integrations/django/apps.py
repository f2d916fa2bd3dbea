"""The app for `INSTALLED_APPS`."""

from __future__ import annotations

from typing import Final

from django.apps import AppConfig, apps
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from otpkit import ConfigurationError

_MIDDLEWARE: Final = "otpkit.integrations.django.middleware.PhoneErrorMiddleware"


class OTPKitConfig(AppConfig):
    """The Django app "Phone verification"."""

    name = "otpkit.integrations.django"
    label = "otpkit"
    default_auto_field = "django.db.models.BigAutoField"  # Without it, Django warns about the model.
    verbose_name = _("Phone verification")

    def ready(self) -> None:
        """Register the system checks and the middleware.

        Raises:
            ConfigurationError: the site has no `django.contrib.auth`.
        """
        if not apps.is_installed("django.contrib.auth"):
            raise ConfigurationError(
                "otpkit.integrations.django needs django.contrib.auth and django.contrib.contenttypes.",
                "Add them to INSTALLED_APPS.",
            )
        import otpkit.integrations.django.checks
        import otpkit.integrations.django.tables  # noqa: F401

        if _MIDDLEWARE not in settings.MIDDLEWARE:
            settings.MIDDLEWARE = [_MIDDLEWARE, *settings.MIDDLEWARE]
