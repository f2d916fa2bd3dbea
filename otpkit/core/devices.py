"""Signed device tokens: a device that verified a phone shows one later, and is no stranger to that phone.

A token is `pseudonym.time.signature`: the phone's pseudonym, never the number; the time of the verification in server
milliseconds; and HMAC-SHA-256 over both and the namespace. Its key is derived from `index_secret`, so rotating `secret`
ends no device. The key never changes and the parts have one form only, so a MAC needs no library. Source: OWASP, Slow
Down Online Guessing Attacks with Device Cookies.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from hmac import compare_digest
from typing import Final

from otpkit.core.crypto import URL_SAFE, Mac, pack

SEPARATOR: Final = "~"
"""It joins the tokens of one device. It is a character of cookies, and of no token."""
MOST_DEVICES: Final = 4
"""The number of tokens that one device keeps: of people who share it, or of one person's phones."""
_MAX_CHARS = 1024
_TIME = re.compile(r"[1-9][0-9]{0,14}")


class DeviceTokens:
    """A signer and reader of the device tokens of one namespace."""

    __slots__ = ("_mac", "_namespace")

    def __init__(self, mac: Mac, namespace: str) -> None:
        self._mac = mac
        self._namespace = namespace

    def sign(self, phone_id: str, since_ms: int) -> str:
        """Return the token of a verification of the phone with the pseudonym `phone_id` at `since_ms`."""
        return self._sign(phone_id, str(since_ms))

    def read(self, tokens: object, phone_id: str) -> int | None:
        """Return the time in server milliseconds of the latest token of a phone, or None if there is none.

        The caller checks the time. Anything else than a right token, whatever its type, counts as no token.

        Args:
            tokens: a token, or at most `MOST_DEVICES` of any phones, joined by `SEPARATOR`.
            phone_id: the pseudonym of the phone.
        """
        if not isinstance(tokens, str) or len(tokens) > _MAX_CHARS or not tokens.isascii():
            return None
        found = None
        for token in tokens.split(SEPARATOR, MOST_DEVICES)[:MOST_DEVICES]:
            since = token[len(phone_id) + 1 :].partition(".")[0]
            if _TIME.fullmatch(since) and compare_digest(token, self._sign(phone_id, since)):
                found = max(found or 0, int(since))
        return found

    def _sign(self, phone_id: str, since: str) -> str:
        signature = b2a_base64(self._mac(pack(self._namespace, phone_id, since)), newline=False)
        return f"{phone_id}.{since}.{signature.translate(URL_SAFE, b'=').decode()}"
