"""Phone numbers in the formats of Alibaba Cloud's requests and receipts."""

from __future__ import annotations

import re

from otpkit import phone as phones
from otpkit.gateways.provider import Provider

_ELSEWHERE = re.compile(r"\+((?!86)[1-9][0-9]{7,14})")
_LIKE_MAINLAND = re.compile(phones.MAINLAND_NUMBER)
_PUSHED = re.compile(r"(?P<plus>\+|00)?(?P<digits>[1-9][0-9]{7,14})")
_PLAIN_MAINLAND = re.compile(rf"(?:86)?({phones.MAINLAND_NUMBER})")


def local_number(provider: Provider, phone: str) -> str:
    """Return an E.164 number in the APIs' format: 11 digits for the mainland, else country code and number without +.

    Raises:
        GatewayRejectedError: the APIs have no format for the number, or a number of another region looks like a
            mainland number without its +, category `configuration`. Most North American numbers do. The code must not
            be sent to another person.
    """
    if (number := phones.mainland_number(phone)) is not None:
        return number
    problem = "its documents define no format for a number like this one"
    if (found := _ELSEWHERE.fullmatch(phone)) is not None:
        if not _LIKE_MAINLAND.fullmatch(found[1]):
            return found[1]
        problem = "its documents do not distinguish +1 numbers like this one from mainland numbers"
    raise provider.rejection("configuration", problem, "the operator must route this region to another gateway")


def read_phone(text: str) -> str:
    """Return a number in E.164. A mainland number may have any usual format; any other number must be E.164 already.

    Raises:
        PhoneError: the text is neither.
    """
    return text if isinstance(text, str) and _ELSEWHERE.fullmatch(text) else phones.parse(text)


def pushed_phone(text: str) -> str:
    """Return the number of a receipt in E.164, or "" if it is not a number. A mainland number may lack the 86.

    Eleven digits that begin with 13 to 19 are treated as a mainland number, unless they follow + or 00.
    """
    found = _PUSHED.fullmatch(text)
    if found is None:
        return ""
    mainland = _PLAIN_MAINLAND.fullmatch(found["digits"])
    if mainland and not (found["plus"] and len(found["digits"]) == 11):
        return f"+86{mainland[1]}"
    return f"+{found['digits']}"
