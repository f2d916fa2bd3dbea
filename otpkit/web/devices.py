"""The cookie in which a browser keeps its device tokens, apart from the session, which ends sooner.

It is a cookie of its own for the whole site, so one device of several people, or one person's several numbers, have a
token each. Whose token a request needs is decided by the number that is typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from otpkit import Proof
from otpkit.core.devices import MOST_DEVICES, SEPARATOR

DEVICES_COOKIE: Final = "otpkit_devices"
"""The name of the cookie."""
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]{22})\.[0-9]{1,15}\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCookie:
    """The cookie with a browser's device tokens.

    Set it with `HttpOnly`, `SameSite=Lax` and, on HTTPS, `Secure`. `max_age` is in seconds.
    """

    name: str
    value: str = field(repr=False)
    max_age: int


def device_cookie(proof: Proof, kept: str, *, max_age: int) -> DeviceCookie | None:
    """Return the cookie to set after a verification, or None if the proof has no device token.

    It holds the new token and the latest others, at most four. A token of the same number is replaced.

    Args:
        proof: the proof of the verification.
        kept: the value of the request's cookie `DEVICES_COOKIE`, "" if there is none.
        max_age: `Policy.device_ttl`, in seconds.
    """
    device = proof.device
    if device is None:
        return None
    # The visitor can write anything into a cookie. Only what has the form of a token is kept.
    found = map(_TOKEN.fullmatch, kept.split(SEPARATOR, MOST_DEVICES))
    others = [each[0] for each in found if each and not device.startswith(each[1])]
    return DeviceCookie(name=DEVICES_COOKIE, value=SEPARATOR.join([device, *others][:MOST_DEVICES]), max_age=max_age)
