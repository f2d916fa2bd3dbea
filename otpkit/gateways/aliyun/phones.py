"""Phone numbers as Alibaba Cloud's APIs take and push them."""

from __future__ import annotations

import re

from otpkit import phone as phones
from otpkit.gateways.provider import Provider

_ELSEWHERE = re.compile(r"\+((?!86)[1-9][0-9]{7,14})")
_LIKE_MAINLAND = re.compile(phones.MAINLAND_NUMBER)
_PUSHED = re.compile(r"(?P<plus>\+|00)?(?P<digits>[1-9][0-9]{7,14})")
_PLAIN_MAINLAND = re.compile(rf"(?:86)?({phones.MAINLAND_NUMBER})")


def local_number(provider: Provider, phone: str) -> str:
    """Return an E.164 phone as the APIs take it: 11 digits of the mainland, or country code and number without +.

    Raises GatewayRejectedError of category `configuration` for a number that they can't be told: what is neither, and a
    number of another region that reads like a mainland one without its +. Most of North America's do, and the code must
    not go to somebody else.
    """
    if (number := phones.mainland_number(phone)) is not None:
        return number
    problem = "its documents have no way to write a number like this one"
    if (found := _ELSEWHERE.fullmatch(phone)) is not None:
        if not _LIKE_MAINLAND.fullmatch(found[1]):
            return found[1]
        problem = "its documents don't tell numbers like this one, of +1, from mainland ones"
    raise provider.rejection("configuration", problem, "the operator must route this region to another gateway")


def read_phone(text: str) -> str:
    """Return as E.164 a mainland number in any usual spelling; one of another region must be E.164 as it stands.

    Raises PhoneError for what is neither.
    """
    return text if isinstance(text, str) and _ELSEWHERE.fullmatch(text) else phones.parse(text)


def pushed_phone(text: str) -> str:
    """Return as E.164 the number of a receipt, which may stand there with 86 or without; "" for what is none.

    Eleven digits from 13 to 19 are a mainland number, whatever else they could be.
    """
    found = _PUSHED.fullmatch(text)
    if found is None:
        return ""
    mainland = _PLAIN_MAINLAND.fullmatch(found["digits"])
    if mainland and not (found["plus"] and len(found["digits"]) == 11):
        return f"+86{mainland[1]}"
    return f"+{found['digits']}"
