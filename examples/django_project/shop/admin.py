"""Users in the admin site, beside otpkit's page for numbers that are limited or blocked."""

from django.contrib import admin

from .models import User


@admin.register(User)
class UserAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    fields = ("phone", "first_name", "is_active", "is_staff", "groups")
    list_display = ("first_name", "phone", "is_active")
    search_fields = ("first_name", "phone")
