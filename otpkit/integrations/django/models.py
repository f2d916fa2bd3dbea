"""A model without a table: it gives the admin page its place in the index and its permissions."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Phone(models.Model):
    """A number as the admin page looks at it; nothing of it is stored. The permissions are `view` and `change`."""

    class Meta:
        """Neither a table nor a migration."""

        managed = False
        default_permissions = ("view", "change")
        verbose_name = _("phone number")
        verbose_name_plural = _("phone numbers")
