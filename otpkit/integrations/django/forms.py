"""Form fields for a number and for a code, which clean as the pages do and speak the person's language."""

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
    """An input for a number: telephones show their keys for it, and browsers offer the person's own number."""

    input_type = "tel"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "tel", "maxlength": str(MAX_LENGTH), **(attrs or {})})


class CodeInput(forms.TextInput):
    """An input for a code: telephones show digits for it, and offer the code of the message that has just come."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "one-time-code", "inputmode": "numeric", **(attrs or {})})


@without_locals
class PhoneField(forms.CharField):
    """A mobile number. It cleans to E.164 by the regions of the policy: every accepted spelling gives one text.

    What people paste is folded first (`otpkit.normalize`). `region` is that of a number without a country code; None is
    `Policy.default_region`.
    """

    widget = PhoneInput

    def __init__(self, *, region: str | None = None, **options: Any) -> None:
        # What to strip is for the strict parse to say: CharField would drop line breaks too.
        super().__init__(**{"strip": False, **options})
        self.region = region

    def to_python(self, value: Any) -> str:
        """Return the number as E.164, or "" for none."""
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
    """A one-time code. It cleans to ASCII digits alone, as many as the policy says; blanks and hyphens are dropped."""

    widget = CodeInput

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"strip": False, **options})

    def to_python(self, value: Any) -> str:
        """Return the digits of the code, or "" for none."""
        text = super().to_python(value)
        if text is None or text in self.empty_values:
            return ""
        try:
            return clean_code(fold(text), get_otp().policy.code_length)
        except MalformedCodeError as error:
            refusal = ValidationError(error.message(language()), code=error.code)
        raise refusal
