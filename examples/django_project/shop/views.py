"""The form that creates an account, and the page of whoever is logged in."""

from __future__ import annotations

import secrets

from django import forms
from django.contrib.auth.hashers import make_password
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.generic import FormView, TemplateView

from otpkit import OTPError, TokenError
from otpkit.integrations.django.conf import language
from otpkit.integrations.django.sessions import log_in, redeem

from .models import User


class AccountForm(forms.Form):
    name = forms.CharField(max_length=80, widget=forms.TextInput({"autocomplete": "name"}))
    key = forms.CharField(widget=forms.HiddenInput)


class AccountView(FormView):  # type: ignore[type-arg]
    form_class = AccountForm
    template_name = "account.html"

    def get_initial(self) -> dict[str, str]:
        return {"key": secrets.token_urlsafe(16)}  # sent twice, the form is answered twice alike

    def form_valid(self, form: AccountForm) -> HttpResponse:
        try:
            proof = redeem(self.request, idempotency_key=form.cleaned_data["key"])
        except TokenError:
            return redirect("signup")  # too late, or never verified
        except OTPError as error:
            form.add_error(None, error.message(language()))  # Redis is away: the same form may be sent again
            return self.form_invalid(form)
        # The same form again is logged in to the account that it made, and so is a phone that has one already. The
        # phone is the proof's, never a form's, and unique.
        if not (proof.replayed and User.objects.filter(phone=proof.phone).exists()):
            new = {"first_name": form.cleaned_data["name"], "password": make_password(None)}
            User.objects.get_or_create(phone=proof.phone, defaults=new)
        if log_in(self.request, proof) is None:  # inactive, or of the staff, for whom an SMS is too weak
            form.add_error(None, "No account that can log in by phone has this number.")
            return self.form_invalid(form)
        return redirect("profile")


class ProfileView(LoginRequiredMixin, TemplateView):
    template_name = "profile.html"
