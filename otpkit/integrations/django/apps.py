"""The app for `INSTALLED_APPS`."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OTPKitConfig(AppConfig):
    """Phone verification."""

    name = "otpkit.integrations.django"
    label = "otpkit"
    default_auto_field = "django.db.models.BigAutoField"  # of a model without a table; else Django asks for it
    verbose_name = _("Phone verification")

    def ready(self) -> None:
        """Register the system checks."""
        import otpkit.integrations.django.checks  # noqa: F401
