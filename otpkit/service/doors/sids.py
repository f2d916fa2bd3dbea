"""The SIDs of verifications: 16 bytes that hold the phone and the beginning of the challenge's id, encrypted.

So a SID leads to its phone without a record in Redis. It is the same for every resend, ends with the challenge, and
shows nothing: it stands in URLs, which proxies write to logs. The cipher has four rounds of Feistel's network with a
keyed hash (Luby and Rackoff, 1988). A SID that somebody made up leads to a number that is none, or to a challenge that
has another id. Callers have the service's token anyway, and could name any phone.
"""

from __future__ import annotations

import re
from typing import Final

from otpkit.core.crypto import Keys, Mac, decode_id
from otpkit.models import Challenge

_SID: Final = re.compile(r"VE([0-9a-fA-F]{32})")
_HALF: Final = 8  # bytes
_PHONE: Final = 7  # bytes, for up to 15 digits
_ROUNDS: Final = range(4)


class Sids:
    """The SIDs of the verifications of one service.

    Args:
        keys: the keys of the `OTP`.
        service_sid: the service's own SID. Those of one service mean nothing to another.
    """

    def __init__(self, keys: Keys, service_sid: str) -> None:
        self._mac: Mac = keys.beginning(b"verification sid", service_sid)

    def of(self, challenge: Challenge) -> str:
        """Return the SID of a challenge."""
        phone = int(challenge.phone[1:]).to_bytes(_PHONE, "big")
        block = phone + decode_id(challenge.id)[: 2 * _HALF - _PHONE]
        left, right = block[:_HALF], block[_HALF:]
        for number in _ROUNDS:
            left, right = right, self._round(number, left, right)
        return f"VE{(left + right).hex()}"

    def phone(self, sid: str) -> str | None:
        """Return the phone in a SID, or None if the text is not one. Compare the SID of its challenge afterwards."""
        match = _SID.fullmatch(sid)
        if match is None:
            return None
        block = bytes.fromhex(match[1])
        left, right = block[:_HALF], block[_HALF:]
        for number in reversed(_ROUNDS):
            left, right = self._round(number, right, left), left
        digits = str(int.from_bytes((left + right)[:_PHONE], "big"))
        return f"+{digits}" if len(digits) <= 15 else None

    def _round(self, number: int, half: bytes, other: bytes) -> bytes:
        """Return `half` with the keyed hash of `other` added to it."""
        return bytes(a ^ b for a, b in zip(half, self._mac(bytes((number,)) + other), strict=False))
