"""The subject of a challenge: phone × purpose × bind, and the names that represent it at rest."""

from __future__ import annotations

import math
from hmac import compare_digest
from typing import Final

from otpkit.core.config import Config, fixed_ends_ms
from otpkit.core.crypto import ID_BYTES, encode_id
from otpkit.core.scripts.parse import Described
from otpkit.core.scripts.phone import LatestSend
from otpkit.core.tokens import from_ms, to_ms
from otpkit.effects import Flow, run
from otpkit.errors import ConfigurationError
from otpkit.models import Challenge, Proof

IDEMPOTENCY_BYTES = 8
NO_DEVICE: Final[tuple[str, int | str]] = ("", "")
"""The `device_key` and the `device_since` of a stranger."""


class Subject:
    """A phone (E.164), a purpose and a bind, with the keys of the phone and the field of its challenge."""

    __slots__ = (
        "_config",
        "bind",
        "challenge_field",
        "counter_key",
        "packed",
        "phone",
        "phone_id",
        "phone_key",
        "purpose",
        "region",
    )

    def __init__(self, config: Config, phone: str, purpose: object, bind: object, region: str = "") -> None:
        keys = config.keys
        self._config = config
        self.phone = phone
        self.region = region
        packed = b"%d:%b" % (len(phone), phone.encode())  # The same as `pack` for an E.164 phone.
        place = keys.place_remembered if bind == "" and type(purpose) is str else keys.place
        self.purpose, self.bind, packed_place, self.challenge_field = place(purpose, bind)
        self.phone_id = encode_id(keys.phone(packed)[:ID_BYTES])
        # The braces keep all keys of a phone in one slot of a cluster.
        self.phone_key = f"{config.namespace}:{{{self.phone_id}}}:p"
        self.counter_key = f"{config.namespace}:{{{self.phone_id}}}:c"
        self.packed = packed_place + packed

    def device_claim(self, tokens: object) -> tuple[str, int | str]:
        """Return a script's `device_key` and `device_since` for the device that shows these tokens, or `NO_DEVICE`."""
        since = self.device_since(tokens)
        return NO_DEVICE if since is None else (self.device_key, since)

    @property
    def device_key(self) -> str:
        """The key of the time up to which the phone's device tokens are void."""
        return f"{self._config.namespace}:{{{self.phone_id}}}:d"

    def device_since(self, tokens: object) -> int | None:
        """Return the time in server milliseconds of the phone's latest device token, or None. The script checks it."""
        return self._config.devices.read(tokens, self.phone_id)

    def sign_device(self, proof: Proof) -> str:
        """Return the device token of a proof of this phone."""
        return self._config.devices.sign(self.phone_id, to_ms(proof.verified_at))

    def challenge(self, now_ms: int, described: Described, *, replayed: bool = False) -> Challenge:
        """Return the challenge that a script described at `now_ms`, in server milliseconds."""
        ends_ms, resend_ms, attempts_left, sends_left, delivery, generation, fixed, served_by = described
        if fixed:  # The challenge ends when its fixed code ends.
            code_ends_ms = self.fixed_ends_ms or now_ms
            ends_ms, attempts_left = min(ends_ms, code_ends_ms), attempts_left if now_ms < code_ends_ms else 0
        return Challenge(
            id=self.challenge_id(generation),
            phone=self.phone,
            purpose=self.purpose,
            expires_at=from_ms(ends_ms),
            expires_in=round(max(0, ends_ms - now_ms) / 1000),
            resend_at=from_ms(resend_ms),
            resend_in=math.ceil(max(0, resend_ms - now_ms) / 1000),
            attempts_left=attempts_left,
            sends_left=sends_left,
            delivery=delivery,
            replayed=replayed,
            gateway=self.served_by(served_by, fixed=fixed)[0],
        )

    def live_challenge(self, now_ms: int, described: Described) -> Challenge | None:
        """Return the challenge that a script described at `now_ms`, or None if it has ended with its fixed code."""
        challenge = self.challenge(now_ms, described)
        return challenge if challenge.attempts_left else None

    def find_challenge(self, device: object = None) -> Flow[Challenge | None]:
        """Return the live challenge, with what a device that shows these tokens may do; or None."""
        config = self._config
        device_key, device_since = NO_DEVICE if device is None else self.device_claim(device)
        status = config.scripts.status(
            phone_key=self.phone_key,
            now=config.now_arg(),
            challenge_field=self.challenge_field,
            device_key=device_key,
            device_since=device_since,
        )
        match (yield from run(status)):
            case LatestSend(live=True) as found:
                return self.live_challenge(found.now_ms, found.described)
        return None

    def challenge_id(self, generation: str) -> str:
        """Return the public id of a challenge. It is the same for every resend, and reveals nothing."""
        return encode_id(self._config.keys.name_packed(b"challenge", self.packed + generation.encode()))

    def served_by(self, record: str, *, fixed: bool) -> tuple[str, str]:
        """Return the gateway's name and its message id from a record of `phone.lua`; "" if unknown."""
        if fixed:
            return "fixed", ""
        only = self._config.routing.only
        name, _, message_id = record.partition(" ")
        return name or (only.name if only is not None else ""), message_id

    @property
    def fixed_ends_ms(self) -> int:
        """The end of the fixed code of this phone and purpose, in server milliseconds; 0 if there is none."""
        return self.fixed("")[0]

    def fixed(self, code: str) -> tuple[int, int]:
        """Return the end of this phone's and purpose's fixed code, in server milliseconds, and 1 if `code` equals it.

        Both are 0 if there is none.
        """
        fixed = self._config.fixed.get((self.phone, self.purpose))
        return (0, 0) if fixed is None else (fixed_ends_ms(fixed), int(compare_digest(code, fixed.code)))

    def operation(self, kind: bytes, idempotency_key: object, *more: str, size: int) -> bytes:
        """Return the operation id that this subject and a caller's idempotency key result in."""
        if not isinstance(idempotency_key, str) or not idempotency_key:
            raise ConfigurationError(
                "idempotency_key is empty or not text.", "Pass a text, such as a form's hidden id, or None."
            )
        return self._config.keys.name(kind, self.phone, self.purpose, self.bind, idempotency_key, *more, size=size)
