"""The admin page: the figures of the last day, and of a number if it is limited or blocked. It never shows a code."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from otpkit import ConfigurationError, OTPError, Standing, Stats
from otpkit.integrations.django.conf import get_otp, language
from otpkit.integrations.django.forms import PhoneField, PhoneInput
from otpkit.integrations.django.models import Phone
from otpkit.models import mask


class PhoneForm(forms.Form):
    """A form for the number to look up."""

    phone = PhoneField(label=_("Phone number"), widget=PhoneInput({"autocomplete": "off"}))


@admin.register(Phone)
class PhoneAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's class takes no argument at runtime.
    """A single admin page. The number is sent by POST, never in a URL. The admin log records each unblock, masked."""

    def get_urls(self) -> list[URLPattern]:
        """Return the URL of the page, with the name that the admin index expects."""
        return [path("", self.admin_site.admin_view(self.changelist_view), name="otpkit_phone_changelist")]

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Return False: nothing can be added."""
        return False

    def has_delete_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Return False: nothing can be deleted."""
        return False

    @method_decorator(sensitive_post_parameters("phone"))
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Ask for a number, show its state, and unblock it on request."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        form = PhoneForm(request.POST or None)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Phone numbers"),
            "opts": self.opts,
            "form": form,
            "standing": self._standing(request, form.cleaned_data["phone"]) if form.is_valid() else None,
            "can_unblock": self.has_change_permission(request),
            "stats": self._stats(request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/otpkit/phone.html", context)

    def _stats(self, request: HttpRequest) -> Stats | None:
        """Return the figures of the last 24 hours; None, with a message, if Redis does not answer."""
        try:
            return get_otp().stats()
        except ConfigurationError:
            raise
        except OTPError as error:
            self.message_user(request, error.message(language()), messages.ERROR)
            return None

    def _standing(self, request: HttpRequest, phone: str) -> Standing | None:
        try:
            if "unblock" in request.POST:
                self._unblock(request, phone)
            return get_otp().standing(phone)
        except ConfigurationError:
            raise
        except OTPError as error:
            self.message_user(request, error.message(language()), messages.ERROR)
            return None

    def _unblock(self, request: HttpRequest, phone: str) -> None:
        if not self.has_change_permission(request):
            raise PermissionDenied
        # One transaction: never unblock without a log entry, and never log an unblock that failed.
        with transaction.atomic(using=router.db_for_write(LogEntry)):
            LogEntry.objects.create(
                user_id=request.user.pk,
                content_type=ContentType.objects.get_for_model(Phone),
                object_repr=mask(phone),
                action_flag=CHANGE,
                change_message="Unblocked",
            )
            # A user's name can be a phone number, which the audit refuses. The key leads to the same user.
            get_otp().unblock(phone, actor=f"django user {request.user.pk}", reason="Django admin")
        self.message_user(request, gettext("The number is unblocked."), messages.SUCCESS)
