"""The typed faces of the scripts of a send: reserve.lua, settle.lua, undo.lua, receive.lua."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Self, TypeAlias

from otpkit.core.scripts.limits import Refusal, WideLimit
from otpkit.core.scripts.money import MoneyCharge, Shortage, alerts_of, shortage_of, start_of
from otpkit.core.scripts.parse import (
    EMPTY,
    LATEST_MS,
    Blocked,
    Described,
    Limited,
    ListScript,
    Raw,
    WordScript,
    by_word,
    delivery_of,
    hex_of,
    numbers_of,
    text_of,
    unfit,
)
from otpkit.core.scripts.places import PlacedScript
from otpkit.effects import RunScript
from otpkit.errors import RateLimitScope
from otpkit.guard.budgets import BudgetReason
from otpkit.models import DeliveryState

MOST_JUDGED: Final = 1023
"""The sum of all that judge.lua and judge_elsewhere.lua can find."""
_REFUSING: Final[Mapping[str | bytes, RateLimitScope]] = by_word(
    {"range": "range", "guard_ip": "guard_ip", "region": "region", "total": "total"}
)


class Before(NamedTuple):
    """An earlier send of the same code: its gateway, delivery state and time."""

    gateway: str
    delivery: DeliveryState
    sent_ms: int

    @classmethod
    def parse(cls, value: Raw) -> Self:
        """Return the earlier send from the reply of reserve.lua."""
        gateway, letter, sent_ms = text_of(value).split(" ")
        if not 0 <= int(sent_ms) <= LATEST_MS:
            raise unfit()
        return cls(gateway, delivery_of(letter), int(sent_ms))


class Reserved(NamedTuple):
    """The send is reserved. Send the code of `nonce` and `key_id`; both are empty for the fresh challenge's code.

    `device` is True if the device token is valid, `judged` what the guard found; see judge.lua.
    """

    now_ms: int
    nonce: bytes
    key_id: bytes
    before: Before | None
    device: bool
    judged: int
    described: Described
    alerts: bytes

    @classmethod
    def parse(cls, reply: Raw, args: Raw) -> Self:
        """Return a reservation; raise ValueError if this host lacks the key of its code."""
        now_ms, nonce, key_id, before, device, judged = reply[2:8]
        # Most are strangers of whom nothing was found; adding fails if one is no number.
        if not 0 <= now_ms <= LATEST_MS or (device + judged and not (0 <= device <= 1 and 0 <= judged <= MOST_JUDGED)):
            raise unfit()
        if nonce in EMPTY and key_id in EMPTY:
            nonce = key_id = b""
        else:
            nonce, key_id, known = hex_of(nonce, 16), hex_of(key_id, 4), args[5]
            if key_id not in {known[i : i + 4] for i in range(0, len(known), 4)}:
                raise unfit()
        served = None if before in EMPTY else Before.parse(before)
        described = Described.parse(reply[8:16])
        alerts = alerts_of(*reply[16:]) if len(reply) > 16 else b""  # Without budgets there is none.
        return cls(now_ms, nonce, key_id, served, device == 1, judged, described, alerts)


class Replayed(NamedTuple):
    """An earlier send under the same idempotency key, or this same send, settled long ago. `send` is its id."""

    now_ms: int
    send: bytes
    described: Described

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the earlier send."""
        now_ms = reply[2]
        if not 0 <= now_ms <= LATEST_MS:
            raise unfit()
        return cls(now_ms, hex_of(reply[3], 16), Described.parse(reply[4:]))


class Refused(NamedTuple):
    """The guard refuses the send. `judged` are the scopes over their allowance; see judge.lua."""

    now_ms: int
    scope: RateLimitScope
    wait_ms: int
    judged: int
    described: Described | None

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the reply of refused.lua."""
        _, _, now_ms, scope, wait_ms, judged, *described = reply
        if not (
            type(now_ms + wait_ms + judged) is int
            and 0 <= now_ms <= LATEST_MS
            and 0 < wait_ms <= LATEST_MS
            and 0 <= judged <= MOST_JUDGED
        ):
            raise unfit()
        challenge = Described.parse(described) if described else None
        return cls(now_ms, _REFUSING[scope], wait_ms, judged, challenge)


class CaptchaAsked(NamedTuple):
    """The guard asks for a captcha. `is_used` is True if the answer was right, and was used before."""

    now_ms: int
    judged: int
    is_used: bool

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return what was judged."""
        _, _, now_ms, judged, is_used = reply
        if not (0 <= now_ms <= LATEST_MS and 0 < judged <= MOST_JUDGED and 0 <= is_used <= 1):
            raise unfit()
        return cls(now_ms, judged, is_used == 1)


class Unaffordable(NamedTuple):
    """A budget can't afford the message. `described` is the live challenge."""

    now_ms: int
    budget: int
    reason: BudgetReason
    wait_ms: int
    described: Described | None

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the budget that refused."""
        _, _, now_ms, place, reason, wait_ms, *described = reply
        if not 0 <= now_ms <= LATEST_MS:
            raise unfit()
        return cls(now_ms, *shortage_of(place, reason, wait_ms), Described.parse(described) if described else None)


class Misdated(NamedTuple):
    """The bounds of the budgets' windows don't contain the server's time."""

    now_ms: int

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the server's time."""
        _, _, now_ms = reply
        return cls(start_of(now_ms))


ReserveReply: TypeAlias = Reserved | Replayed | Limited | Unaffordable | Misdated | Blocked | Refused | CaptchaAsked


class Reserve(PlacedScript[ReserveReply], WordScript[ReserveReply]):
    """The face of reserve.lua."""

    __slots__ = ()

    words = by_word(
        {
            "reserved": Reserved.parse,
            "replayed": Replayed.parse,
            "limited": Limited.parse,
            "unaffordable": Unaffordable.parse,
            "misdated": Misdated.parse,
            "blocked": Blocked.parse,
            "refused": Refused.parse,
            "captcha": CaptchaAsked.parse,
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
        fresh: bytes,
        idempotency: bytes,
        known_keys: bytes,
        device_key: str = "",
        device_since: int | str = "",
        guard: str = "",
        captcha: int | str = "",
        limits: Sequence[WideLimit] = (),
        refusal: Refusal | None = None,
        guard_keys: tuple[str, ...] = (),
        answer_key: str = "",
        money_key: str = "",
        money: MoneyCharge | Shortage | None = None,
    ) -> RunScript[ReserveReply]:
        """Charge `limits` and `money`, or pass on a refusal that another node returned. Never pass both.

        Pass `device_key` and `device_since` if a device token was passed and its signature is right. A `MoneyCharge`
        needs its `money_key`; a `Shortage` has none.
        """
        args: tuple[bytes | str | int, ...]
        args = (now, operation, challenge_field, fresh, idempotency, known_keys)
        stats_key = stats_key or phone_key
        if not (device_key or guard or guard_keys or limits or money or refusal):
            # An argument costs a call 0.2 %, though it is empty.
            return RunScript(self, (phone_key, counter_key, stats_key), args, self.replicas)
        args += (guard,) if money is None else (guard, str(money))
        if device_since or captcha or limits or refusal:
            args = (*args, "", device_since, captcha) if money is None else (*args, device_since, captcha)
        limit_keys: tuple[str, ...] = ()
        if limits:
            limit_keys = tuple([limit.key for limit in limits])
            args += tuple([part for limit in limits for part in (limit.scope, limit.rates)])
        elif refusal is not None:
            args += refusal
        keys: tuple[str, ...] = (phone_key, counter_key, stats_key, *guard_keys)
        if money_key or limit_keys or device_key or answer_key:
            keys = self.places.keys(
                phone_key,
                counter_key,
                stats_key,
                guard_keys=guard_keys,
                money_key=money_key,
                limit_keys=limit_keys,
                device_key=device_key,
                answer_key=answer_key,
            )
        return RunScript(self, keys, args, self.replicas)


class Settled(NamedTuple):
    """The send is settled. `resend_ms` and `sends_left` are what the phone's own limits allow now."""

    now_ms: int
    resend_ms: int
    sends_left: int


class Settle(PlacedScript[Settled | None], ListScript[Settled | None]):
    """The face of settle.lua. Its reply is None if the send is gone."""

    __slots__ = ()

    lists = (Settled,)

    def __call__(
        self,
        *,
        phone_key: str,
        stats_key: str = "",
        now: int | str,
        figures: Sequence[str] = (),
        operation: bytes,
        outcome: str,
        served_by: str,
        device: int,
        guard: str = "",
        guard_keys: tuple[str, ...] = (),
        refunds: str = "",
        money_key: str = "",
    ) -> RunScript[Settled | None]:
        """Settle the send `operation`, count it and `figures`, and give back `refunds`.

        With `guard`, the guard no longer counts the send.
        """
        args: tuple[bytes | str | int, ...] = (now, operation, outcome, served_by)
        keys: tuple[str, ...] = (phone_key, stats_key or phone_key)
        if not (device or guard or money_key or figures):
            return RunScript(self, keys, args)
        if refunds or guard_keys:
            keys = self.places.keys(keys[0], keys[1], phone_key, guard_keys=guard_keys, money_key=money_key)
        args += (refunds, guard, device, *figures) if device or guard or figures else (refunds,)
        return RunScript(self, keys, args)

    def read(self, reply: Raw, args: Raw) -> Settled | None:
        """Return what the limits allow now, or None."""
        return None if reply == [] else Settled(*numbers_of(reply, 3))


class Undone(NamedTuple):
    """The result of undoing.

    `undone` is True if the send is undone or gone. `wait_ms` is the time until the phone's own limits allow another.
    """

    undone: bool
    wait_ms: int


class Undo(PlacedScript[Undone], ListScript[Undone]):
    """The face of undo.lua."""

    __slots__ = ()

    lists = (Undone,)

    def __call__(
        self,
        *,
        phone_key: str,
        stats_key: str = "",
        now: int | str,
        operation: bytes,
        stays_counted: int,
        reserved_ms: int,
        device: int,
        guard: str = "",
        limits: Sequence[WideLimit] = (),
        guard_keys: tuple[str, ...] = (),
        refunds: str = "",
        money_key: str = "",
    ) -> RunScript[Undone]:
        """Undo the send `operation`, count that, refund `limits`, and give back `refunds`.

        With `guard`, the guard no longer counts the send.
        """
        keys = self.places.keys(
            phone_key,
            stats_key or phone_key,
            phone_key,
            guard_keys=guard_keys,
            money_key=money_key,
            limit_keys=tuple([limit.key for limit in limits]),
        )
        args = (now, operation, stays_counted, reserved_ms, device, guard, refunds)
        return RunScript(self, keys, (*args, *[limit.rates for limit in limits]))

    def read(self, reply: Raw, args: Raw) -> Undone:
        """Return `Undone`."""
        undone, wait_ms = numbers_of(reply, 2)
        return Undone(undone == 1, wait_ms)


class Received(NamedTuple):
    """A receipt that is new. `elapsed_ms` is the time since the send."""

    elapsed_ms: int


class Receive(ListScript[Received | None]):
    """The face of receive.lua. Its reply is None if the receipt is not new."""

    __slots__ = ()

    lists = (Received,)

    def __call__(
        self,
        *,
        phone_key: str,
        stats_key: str = "",
        now: int | str,
        operation: bytes,
        served_by: str,
        state: str,
    ) -> RunScript[Received | None]:
        """Record the delivery of the send with the id `operation`, or of the send with the record `served_by`."""
        keys = (phone_key, stats_key or phone_key)
        return RunScript(self, keys, (now, operation, served_by, state))

    def read(self, reply: Raw, args: Raw) -> Received | None:
        """Return the receipt if it is new."""
        return None if reply == [] else Received(*numbers_of(reply, 1))
