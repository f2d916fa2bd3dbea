"""A model without a table. The admin page needs it for its place in the index and its permissions."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Phone(models.Model):
    """A number on the admin page. It is not stored. Its permissions are `view` and `change`."""

    class Meta:
        """Options: no table and no migration."""

        managed = False
        default_permissions = ("view", "change")
        verbose_name = _("phone number")
        verbose_name_plural = _("phone numbers")
