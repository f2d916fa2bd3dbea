"""Form fields for a phone number and a code. They clean input as the pages do; errors are in the active language."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from otpkit import MalformedCodeError, PhoneError, fold, normalize
from otpkit.core.crypto import clean_code
from otpkit.frames import without_locals
from otpkit.integrations.django.conf import get_otp, language
from otpkit.phone import MAX_LENGTH


class PhoneInput(forms.TextInput):
    """An input for a phone number. Phones show a number keypad, and browsers suggest the user's own number."""

    input_type = "tel"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "tel", "maxlength": str(MAX_LENGTH), **(attrs or {})})


class CodeInput(forms.TextInput):
    """An input for a code. Phones show digits, and suggest the code from a message that has just arrived."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "one-time-code", "inputmode": "numeric", **(attrs or {})})


@without_locals
class PhoneField(forms.CharField):
    """A field for a mobile number. It cleans to E.164 for the policy's regions, so each phone has one spelling.

    Pasted characters such as full-width digits are normalized first (`otpkit.normalize`).

    Args:
        region: the region of numbers without a country code, such as "CN"; None uses `Policy.default_region`.
        options: the arguments of `forms.CharField`.
    """

    widget = PhoneInput

    def __init__(self, *, region: str | None = None, **options: Any) -> None:
        # The strict parser decides what to strip. CharField would also remove line breaks.
        super().__init__(**{"strip": False, **options})
        self.region = region

    def to_python(self, value: Any) -> str:
        """Return the number in E.164, or "" for an empty value.

        Raises:
            ValidationError: it is not a phone number of the policy's regions.
        """
        text = super().to_python(value)
        if text is None or text in self.empty_values:
            return ""
        policy = get_otp().policy
        try:
            return normalize(text, self.region or policy.default_region, regions=policy.regions)
        except PhoneError as error:
            refusal = ValidationError(error.message(language()), code=error.code)
        raise refusal


@without_locals
class CodeField(forms.CharField):
    """A field for a one-time code. It cleans to ASCII digits, as many as the policy requires. Blanks and hyphens are
    dropped.
    """

    widget = CodeInput

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"strip": False, **options})

    def to_python(self, value: Any) -> str:
        """Return the digits of the code, or "" for an empty value.

        Raises:
            ValidationError: it does not have the digits of a code.
        """
        text = super().to_python(value)
        if text is None or text in self.empty_values:
            return ""
        try:
            return clean_code(fold(text), get_otp().policy.code_length)
        except MalformedCodeError as error:
            refusal = ValidationError(error.message(language()), code=error.code)
        raise refusal
