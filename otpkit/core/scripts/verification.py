"""The typed faces of verify.lua and unverify.lua."""

from __future__ import annotations

from typing import NamedTuple, Self, TypeAlias

from otpkit.core.scripts.figures import NO_FIGURE, Figure, figure_of
from otpkit.core.scripts.limits import Refusal, WideLimit
from otpkit.core.scripts.parse import (
    LATEST_MS,
    Blocked,
    Limited,
    Raw,
    Word,
    WordScript,
    by_word,
    count_of,
    text_of,
    unfit,
)
from otpkit.core.scripts.places import PlacedScript
from otpkit.core.scripts.scopes import Move, moves_of
from otpkit.effects import RunScript


class Proved(NamedTuple):
    """The code was right. `repeated` is True if the operation had already proved it.

    On a cluster, `moves` are the sends whose counts are to be moved on other nodes, and `figure` is to be counted. Its
    gateway is that of the challenge's latest message; "" if there is only one, or if it is not known.
    """

    issued_ms: int
    expires_ms: int
    fixed: bool
    repeated: bool
    moves: tuple[Move, ...] = ()
    figure: Figure = NO_FIGURE

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the proof; raise ValueError unless it ends after it began."""
        _, _, issued_ms, expires_ms, fixed, *repeated = reply
        if not (
            type(issued_ms + expires_ms + fixed) is int and 0 <= issued_ms < expires_ms <= LATEST_MS and 0 <= fixed <= 1
        ):
            raise unfit()
        repeated, figure = _figure(repeated)
        return cls(issued_ms, expires_ms, fixed == 1, *_repeated(repeated), figure=figure)


class Wrong(NamedTuple):
    """The code was wrong. `repeated` is True if the operation had already counted it.

    `moves` and `figure` are as in `Proved`. `blocks` is True if this wrong code blocks the phone for strangers.
    """

    attempts_left: int
    repeated: bool
    moves: tuple[Move, ...] = ()
    blocks: bool = False
    figure: Figure = NO_FIGURE

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the number of attempts left."""
        _, _, left, *repeated = reply
        if type(left) is not int or not 0 <= left <= LATEST_MS:
            raise unfit()
        repeated, figure = _figure(repeated)
        if len(repeated) < 3:
            return cls(left, *_repeated(repeated), figure=figure)
        *repeated, blocks = repeated
        if blocks != 1:
            raise unfit()
        return cls(left, *_repeated(repeated), blocks=True, figure=figure)


def _figure(rest: Raw) -> tuple[Raw, Figure]:
    """Return the values at the end of a reply without the figure, and the figure."""
    if not rest or type(rest[-1]) is int or text_of(rest[-1])[:1] not in {"!", " "}:
        return rest, NO_FIGURE
    return rest[:-1], figure_of(rest[-1])


def _repeated(rest: Raw) -> tuple[bool, tuple[Move, ...]]:
    """Return whether a reply is repeated, and its moves, from the values at its end."""
    if rest in ([], [1]):
        return bool(rest), ()
    repeated, moves = rest
    if repeated not in {0, 1}:
        raise unfit()
    return repeated == 1, moves_of(moves)


class NoChallenge(Word):
    """No challenge is live."""

    __slots__ = ()


VerifyReply: TypeAlias = Proved | Wrong | NoChallenge | Blocked | Limited


class Verify(PlacedScript[VerifyReply], WordScript[VerifyReply]):
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
        stats_key: str = "",
        now: int | str,
        operation: bytes,
        challenge_field: bytes,
        digests: bytes,
        fixed_ends_ms: int,
        is_fixed_code: int,
        device_key: str = "",
        device_since: int | str = "",
        ip_limit: WideLimit | None = None,
        memory_key: str = "",
        refusal: Refusal | None = None,
        guard_keys: tuple[str, ...] = (),
    ) -> RunScript[VerifyReply]:
        """Charge `ip_limit`, or pass on `refusal`, which another node's limit returned. Never pass both.

        Pass `device_key` and `device_since` if a device token was passed and its signature is right.
        """
        args: tuple[bytes | str | int, ...]
        args = (
            now,
            operation,
            challenge_field,
            digests,
            fixed_ends_ms,
            is_fixed_code,
        )
        stats_key = stats_key or phone_key
        if not (device_key or ip_limit or refusal):
            # An argument costs a call 0.3 %, though it is empty.
            return RunScript(self, (phone_key, counter_key, stats_key, *guard_keys), args, self.replicas)
        args += (device_since,)
        limit_keys: tuple[str, ...] = ()
        if ip_limit is not None:
            limit_keys, args = (ip_limit.key, memory_key), (*args, ip_limit.rates)
        elif refusal is not None:
            args += refusal[1:]
        keys = self.places.keys(
            phone_key, counter_key, stats_key, guard_keys=guard_keys, limit_keys=limit_keys, device_key=device_key
        )
        return RunScript(self, keys, args, self.replicas)


class Unverify(PlacedScript[bool]):
    """The face of unverify.lua. Its reply is True if the verification left no proof."""

    __slots__ = ()

    def __call__(
        self,
        *,
        phone_key: str,
        counter_key: str,
        stats_key: str = "",
        now: int | str,
        operation: bytes,
        challenge_field: bytes,
        guard_keys: tuple[str, ...] = (),
    ) -> RunScript[bool]:
        """Take back the verification `operation`. With a guard, its sends count as unverified again."""
        keys = (phone_key, counter_key, stats_key or phone_key, *guard_keys)
        return RunScript(self, keys, (now, operation, challenge_field))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if it is taken back."""
        return count_of(reply, 1) == 1
