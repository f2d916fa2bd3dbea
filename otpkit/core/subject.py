"""Who a challenge is put to: phone × purpose × bind, and the names that stand for it at rest."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from otpkit.core.arguments import check_bind, check_purpose
from otpkit.core.config import Deployment, fixed_ends_ms
from otpkit.core.crypto import encode_id, pack
from otpkit.errors import ConfigurationError
from otpkit.models import Event

IDEMPOTENCY_BYTES = 8


class Identity:
    """A phone (E.164), a purpose and a bind, with the keys of the phone and the slot of its challenge."""

    __slots__ = (
        "_deployment",
        "bind",
        "counter_key",
        "packed",
        "phone",
        "phone_id",
        "phone_key",
        "purpose",
        "region",
        "replayed",
        "slot",
    )

    def __init__(self, deployment: Deployment, phone: str, purpose: object, bind: object, region: str = "") -> None:
        keys = deployment.keys
        self._deployment = deployment
        self.phone = phone
        self.region = region
        self.replayed = False  # An idempotency key found the answer of an earlier call.
        self.purpose = check_purpose(purpose)
        self.bind = check_bind(bind)
        packed_phone = pack(phone)
        place, self.slot = (keys.slot if self.bind else keys.slot_remembered)(self.purpose, self.bind)
        self.phone_id = encode_id(keys.name_packed(b"phone", packed_phone))
        # The braces keep all of a phone in one slot of a cluster.
        self.phone_key = f"{deployment.namespace}:{{{self.phone_id}}}:p"
        self.counter_key = f"{deployment.namespace}:{{{self.phone_id}}}:c"
        self.packed = place + packed_phone

    def challenge_id(self, generation: str) -> str:
        """Return the public id of a challenge of this slot: the same for every resend, and it reveals nothing."""
        return encode_id(self._deployment.keys.name_packed(b"challenge", self.packed + generation.encode()))

    def served_by(self, record: str, *, fixed: bool) -> tuple[str, str]:
        """Return the name of the gateway that `phone.lua` keeps as a send's, and its id of the message, where known."""
        if fixed:
            return "fixed", ""
        only = self._deployment.routing.only
        name, _, message_id = record.partition(" ")
        return name or (only.name if only is not None else ""), message_id

    @property
    def fixed_ends_ms(self) -> int:
        """When the fixed code of this phone and purpose ends, in server milliseconds; 0 where there is none."""
        return self.fixed("")[0]

    def fixed(self, code: str) -> tuple[int, int]:
        """Return when the fixed code of this phone and purpose ends, in server milliseconds, and 1 where `code` is it.

        Both are 0 where there is none.
        """
        fixed = self._deployment.fixed.get((self.phone, self.purpose))
        return (0, 0) if fixed is None else (fixed_ends_ms(fixed), int(compare_digest(code, fixed.code)))

    def event(self, name: str, operation: str, outcome: str = "", detail: str = "", **more: str) -> Event:
        """Return what the listener is told of this identity, by its pseudonym; `more` are a gateway and a scope."""
        return Event(
            name=name,
            operation=operation,
            purpose=self.purpose,
            phone_id=self.phone_id,
            outcome=outcome,
            detail=detail,
            region=self.region,
            **more,
        )

    def operation(self, kind: bytes, idempotency_key: Any, *more: str, size: int) -> bytes:
        """Return the operation id that an idempotency key of the caller's gives for this identity."""
        if not isinstance(idempotency_key, str) or not idempotency_key:
            raise ConfigurationError("idempotency_key must be a non-empty text, such as a form's hidden id, or None.")
        return self._deployment.keys.name(kind, self.phone, self.purpose, self.bind, idempotency_key, *more, size=size)
