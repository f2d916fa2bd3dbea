"""The forms for allauth's setting `ACCOUNT_FORMS`, with which otpkit makes, counts and verifies the codes."""

from __future__ import annotations

import secrets
from typing import Any

from allauth.account import app_settings as account_settings
from allauth.account import forms
from allauth.account.adapter import get_adapter
from allauth.core import context
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from otpkit import ConfigurationError, OTPError, StoreUnavailableError, fold
from otpkit.frames import without_locals
from otpkit.integrations.django.allauth.steps import STATE, mark, visitor_of
from otpkit.integrations.django.conf import get_otp, language
from otpkit.integrations.django.sessions import session_of
from otpkit.web import State, bind_of, visit


@without_locals
class ChallengeForm:
    """A mixin for a form of a code. If otpkit sent the code, `OTP.verify` decides, else allauth."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._expected: str = kwargs.get("code") or ""
        super().__init__(*args, **kwargs)

    def clean_code(self) -> Any:
        """Verify the code.

        Raises:
            ValidationError: the code is wrong, expired or no code, or another error of `OTP.verify`.
        """
        form: Any = self
        with visit(session_of(context.request), STATE) as state:
            kept = state.get("mark", "")
            if self._expected and secrets.compare_digest(kept.encode(), mark(self._expected).encode()):
                typed = fold(form.cleaned_data["code"])
                _verify(context.request, state, typed)
                form.cleaned_data["code"] = form.expected_code = typed  # allauth compares these two.
        return super().clean_code()  # type: ignore[misc]


class VerifyPhoneForm(ChallengeForm, forms.VerifyPhoneForm):  # type: ignore[misc]
    """The form `verify_phone`."""


class ConfirmLoginCodeForm(ChallengeForm, forms.ConfirmLoginCodeForm):  # type: ignore[misc]
    """The form `confirm_login_code`."""


class ConfirmReauthenticationCodeForm(ChallengeForm, forms.ConfirmReauthenticationCodeForm):  # type: ignore[misc]
    """The form `confirm_reauthentication_code`."""


def _verify(request: HttpRequest, state: State, typed: str) -> None:
    try:
        get_otp().verify(state["phone"], typed, state["purpose"], bind=bind_of(state), **visitor_of(request))
    except StoreUnavailableError as error:
        refusal = ValidationError(error.message(language()), code=error.code)
    except OTPError as error:
        if isinstance(error, ConfigurationError):
            raise
        refusal = ValidationError(error.message(language()), code=error.code)
        if request.user.is_anonymous and account_settings.PREVENT_ENUMERATION:
            # A number without a user has no code: allauth compares, and this is its answer.
            refusal = get_adapter().validation_error("incorrect_code")
    else:
        return
    raise refusal
