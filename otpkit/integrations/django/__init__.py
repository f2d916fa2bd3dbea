"""Django: form fields, views, an authentication backend, an admin page and system checks. It needs the extra `django`.

Add `"otpkit.integrations.django"` to `INSTALLED_APPS`. `conf` documents the setting `OTPKIT`. The views are in `views`,
the fields in `forms`, the backend in `backends`, and `redeem` and `log_in` in `sessions`. JSON calls for Django REST
framework are in `rest` (extra `rest`), the adapter for django-allauth is in `allauth` (extra `allauth`).
"""

from __future__ import annotations

from otpkit import ConfigurationError

try:
    import django  # noqa: F401
except ImportError as missing:
    raise ConfigurationError(
        "otpkit.integrations.django needs Django.", "Run: pip install 'otpkit[django]'."
    ) from missing

from otpkit.integrations.django.conf import get_otp

__all__ = ["get_otp"]
