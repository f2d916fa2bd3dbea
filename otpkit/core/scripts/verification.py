"""The typed faces of verify.lua and unverify.lua."""

from __future__ import annotations

from typing import NamedTuple, Self, TypeAlias

from otpkit.core.scripts.limits import Refusal, WideLimit
from otpkit.core.scripts.parse import LATEST_MS, Blocked, Limited, Raw, Word, WordScript, by_word, count_of, unfit
from otpkit.effects import RunScript, Script


class Proved(NamedTuple):
    """The code was right. `repeated` says that the operation had proved it before."""

    issued_ms: int
    expires_ms: int
    fixed: bool
    repeated: bool

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return a proof that ends after it began."""
        _, _, issued_ms, expires_ms, fixed, *repeated = reply
        if not (
            type(issued_ms + expires_ms + fixed) is int
            and 0 <= issued_ms < expires_ms <= LATEST_MS
            and 0 <= fixed <= 1
            and repeated in ([], [1])
        ):
            raise unfit()
        return cls(issued_ms, expires_ms, fixed == 1, bool(repeated))


class Wrong(NamedTuple):
    """The code was wrong. `repeated` says that the operation had counted it before."""

    attempts_left: int
    repeated: bool

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return how many attempts are left."""
        _, _, left, *repeated = reply
        if type(left) is not int or not 0 <= left <= LATEST_MS or repeated not in ([], [1]):
            raise unfit()
        return cls(left, bool(repeated))


class NoChallenge(Word):
    """No challenge is live."""

    __slots__ = ()


VerifyReply: TypeAlias = Proved | Wrong | NoChallenge | Blocked | Limited


class Verify(WordScript[VerifyReply]):
    """The face of verify.lua."""

    __slots__ = ()

    words = by_word(
        {
            "proved": Proved.parse,
            "wrong": Wrong.parse,
            "none": NoChallenge.parse,
            "blocked": Blocked.parse,
            "limited": Limited.parse,
        }
    )

    def __call__(
        self,
        *,
        phone_key: str,
        counter_key: str,
        now: int | str,
        operation: bytes,
        challenge_field: bytes,
        digests: bytes,
        fixed_ends_ms: int,
        is_fixed_code: int,
        ip_limit: WideLimit | None = None,
        memory_key: str = "",
        refusal: Refusal | None = None,
    ) -> RunScript[VerifyReply]:
        """Charge `ip_limit`, or pass on that another node's limit refused; both are never given."""
        keys: tuple[str, ...] = (phone_key, counter_key)
        args: tuple[bytes | str | int, ...]
        args = (now, operation, challenge_field, digests, fixed_ends_ms, is_fixed_code)
        if ip_limit is not None:
            keys, args = (*keys, ip_limit.key, memory_key), (*args, ip_limit.rates)
        elif refusal is not None:
            args += refusal[1:]
        return RunScript(self, keys, args, self.replicas)


class Unverify(Script[bool]):
    """The face of unverify.lua. Its reply is True where the verification left no proof."""

    __slots__ = ()

    def __call__(
        self, *, phone_key: str, counter_key: str, now: int | str, operation: bytes, challenge_field: bytes
    ) -> RunScript[bool]:
        """Take back the verification `operation`."""
        return RunScript(self, (phone_key, counter_key), (now, operation, challenge_field))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return whether it is taken back."""
        return count_of(reply, 1) == 1
