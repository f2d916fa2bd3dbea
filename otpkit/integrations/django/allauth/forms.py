"""The forms for allauth's setting `ACCOUNT_FORMS`, with which otpkit makes, counts and verifies the codes."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account import app_settings as account_settings
from allauth.account import forms
from allauth.account.adapter import get_adapter
from allauth.core import context
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from otpkit import ConfigurationError, OTPError, StoreUnavailableError, fold
from otpkit.frames import without_locals
from otpkit.integrations.django.allauth.steps import (
    LOGIN,
    PHONE_CODE,
    REAUTHENTICATE,
    STATE,
    VERIFY,
    Sent,
    find,
    visitor_of,
)
from otpkit.integrations.django.conf import get_otp, language
from otpkit.integrations.django.sessions import session_of
from otpkit.web import State, bind_of, visit


@without_locals
class ChallengeForm:
    """A mixin for a form of a code. If otpkit sent the code, `OTP.verify` decides, else allauth.

    A code that allauth made for a phone is not accepted: nobody was sent it.
    """

    step: ClassVar[str]

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
            sent = find(state, self.step, self._expected)
            if sent is not None:
                typed = fold(form.cleaned_data["code"])
                _verify(context.request, state, sent, typed)
                form.cleaned_data["code"] = form.expected_code = typed  # allauth compares these two.
            elif self.step == VERIFY or self._expected.startswith(PHONE_CODE):
                raise get_adapter().validation_error("incorrect_code")
        return super().clean_code()  # type: ignore[misc]


class VerifyPhoneForm(ChallengeForm, forms.VerifyPhoneForm):  # type: ignore[misc]
    """The form `verify_phone`."""

    step = VERIFY


class ConfirmLoginCodeForm(ChallengeForm, forms.ConfirmLoginCodeForm):  # type: ignore[misc]
    """The form `confirm_login_code`."""

    step = LOGIN


class ConfirmReauthenticationCodeForm(ChallengeForm, forms.ConfirmReauthenticationCodeForm):  # type: ignore[misc]
    """The form `confirm_reauthentication_code`."""

    step = REAUTHENTICATE


def _verify(request: HttpRequest, state: State, sent: Sent, typed: str) -> None:
    try:
        get_otp().verify(sent.phone, typed, sent.purpose, bind=bind_of(state), **visitor_of(request))
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
