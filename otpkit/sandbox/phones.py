"""Parse phone numbers as the providers' documents spell them, and format them as their responses do. No I/O.

A mainland number is stored as 11 digits, a number of another region as `+` and its digits.
"""

from __future__ import annotations

import re
from typing import Final

from otpkit.errors import ConfigurationError

SEPARATORS: Final = re.compile(r"[\s().-]")
_MAINLAND: Final = "1[0-9]{10}"  # The providers accept any number of this form, mobile or not.
NUMBER: Final = re.compile(_MAINLAND)
_SUBSCRIBER: Final = re.compile(rf"(?:\+?86|0086)?({_MAINLAND})")
# Numbers of other regions. The providers' documents also write those of Hong Kong, Macau and Taiwan without `+`.
_NEARBY: Final = r"85[23][0-9]{8}|886[0-9]{9}"
_ELSEWHERE: Final = re.compile(rf"(?:\+|00)(?!86|85[23])([1-9][0-9]{{6,14}})|(?:\+|00)?({_NEARBY})")
# Country codes of one and of two digits (ITU-T E.164); all others have three.
_COUNTRY: Final = re.compile(r"\+(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[0-9]{3})([0-9]+)")


def subscriber(phone: str) -> str:
    """Return a phone number in the stored form, from any usual spelling such as `+86 138 0013 8000`.

    Returns:
        11 digits for a mainland number, else `+` and the digits.

    Raises:
        ConfigurationError: `phone` is not a phone number.
    """
    digits = SEPARATORS.sub("", phone) if isinstance(phone, str) else ""
    if (match := _SUBSCRIBER.fullmatch(digits)) is not None:
        return match[1]
    if (match := _ELSEWHERE.fullmatch(digits)) is not None:
        return f"+{match[1] or match[2]}"
    raise ConfigurationError(f"{phone!r:.40} is not a phone number.", "Use 11 digits, or +86 and 11 digits.")


def e164(phone: str) -> str:
    """Return a message's phone as E.164."""
    return phone if phone.startswith("+") else f"+86{phone}"


def country_and_number(phone: str) -> tuple[str, str]:
    """Return the country code and the national number of a stored phone."""
    found = _COUNTRY.fullmatch(e164(phone))
    return ("", phone) if found is None else (found[1], found[2])


# The spellings in the documents of Dysmsapi and Tencent Cloud: 11 digits, alone or after `+86`, `0086`, `86` or `+`; or
# another country's code and number (`85251234567`). Eleven digits that begin with 1 are a mainland number, unless they
# begin with 12: only North American numbers do.
_MAINLAND_RECIPIENT: Final = re.compile(rf"(?:\+86|0086|86|\+(?!12)|(?!12))({_MAINLAND})")
_ELSEWHERE_RECIPIENT: Final = re.compile(
    r"(?:00)?(12[0-9]{9}|85[23][0-9]{8}|(?!86|85[23])[2-9][0-9]{6,14})|00(1[3-9][0-9]{9})"
)


def recipient(number: str) -> str | None:
    """Return the recipient in the stored form (11 digits, or `+` and digits), or None if it is not a phone number."""
    if (found := _MAINLAND_RECIPIENT.fullmatch(number)) is not None:
        return found[1]
    found = _ELSEWHERE_RECIPIENT.fullmatch(number)
    return None if found is None else f"+{found[1] or found[2]}"


def callee(number: str) -> str | None:
    """Return the phone to call in the stored form, or None if it is not a mobile number.

    Dyvmsapi's document has 11 digits for the mainland, and another country's code and number (`85251234567`).
    """
    phone = recipient(number)
    return phone if phone is not None and (phone.startswith("+") or phone == number) else None
