"""The typed faces of redeem.lua and unredeem.lua."""

from __future__ import annotations

from typing import TypeAlias

from otpkit.core.scripts.parse import Raw, Word, WordScript, by_word, count_of
from otpkit.effects import RunScript, Script


class Redeemed(Word):
    """This operation has redeemed the proof."""

    __slots__ = ()


class Repeated(Word):
    """This operation had already redeemed the proof, probably in another call."""

    __slots__ = ()


class Expired(Word):
    """The proof has expired."""

    __slots__ = ()


class Used(Word):
    """Another operation has redeemed the proof, or its record is gone."""

    __slots__ = ()


RedeemReply: TypeAlias = Redeemed | Repeated | Expired | Used


class Redeem(WordScript[RedeemReply]):
    """The face of redeem.lua."""

    __slots__ = ()

    words = by_word(
        {"redeemed": Redeemed.parse, "repeated": Repeated.parse, "expired": Expired.parse, "used": Used.parse}
    )

    def __call__(
        self, *, phone_key: str, now: int | str, operation: bytes, proof: bytes, expires_ms: int, call: bytes = b""
    ) -> RunScript[RedeemReply]:
        """Redeem a proof by its id. `call` distinguishes the calls of one idempotency key."""
        args = (now, operation, proof, expires_ms)
        return RunScript(self, (phone_key,), (*args, call) if call else args, self.replicas)


class Unredeem(Script[bool]):
    """The face of unredeem.lua. Its reply is True: the call has redeemed nothing."""

    __slots__ = ()

    def __call__(
        self, *, phone_key: str, now: int | str, operation: bytes, proof: bytes, call: bytes
    ) -> RunScript[bool]:
        """Take back the redemption `operation`."""
        return RunScript(self, (phone_key,), (now, operation, proof, call))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True."""
        return count_of(reply, 1) == 1
