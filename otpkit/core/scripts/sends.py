"""The typed faces of the scripts of a send: reserve.lua, settle.lua, undo.lua, receive.lua."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self, TypeAlias

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
    count_of,
    delivery_of,
    hex_of,
    numbers_of,
    text_of,
    unfit,
)
from otpkit.effects import RunScript, Script
from otpkit.guard.budgets import BudgetReason
from otpkit.models import DeliveryState


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
    """The send is reserved. Send the code of `nonce` and `key_id`; both are empty for the fresh challenge's code."""

    now_ms: int
    nonce: bytes
    key_id: bytes
    before: Before | None
    described: Described
    alerts: bytes

    @classmethod
    def parse(cls, reply: Raw, args: Raw) -> Self:
        """Return a reservation; raise ValueError if this host lacks the key of its code."""
        now_ms, nonce, key_id, before = reply[2:6]
        if not 0 <= now_ms <= LATEST_MS:
            raise unfit()
        if nonce in EMPTY and key_id in EMPTY:
            nonce = key_id = b""
        else:
            nonce, key_id, known = hex_of(nonce, 16), hex_of(key_id, 4), args[5]
            if key_id not in {known[i : i + 4] for i in range(0, len(known), 4)}:
                raise unfit()
        served = None if before in EMPTY else Before.parse(before)
        if len(reply) == 14:  # Without budgets.
            return cls(now_ms, nonce, key_id, served, Described.parse(reply[6:]), b"")
        return cls(now_ms, nonce, key_id, served, Described.parse(reply[6:14]), alerts_of(*reply[14:]))


class Replayed(NamedTuple):
    """An earlier send under the same idempotency key, or this same send, settled long ago."""

    now_ms: int
    described: Described

    @classmethod
    def parse(cls, reply: Raw, _args: Raw) -> Self:
        """Return the earlier send."""
        now_ms = reply[2]
        if not 0 <= now_ms <= LATEST_MS:
            raise unfit()
        return cls(now_ms, Described.parse(reply[3:]))


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


ReserveReply: TypeAlias = Reserved | Replayed | Limited | Unaffordable | Misdated | Blocked


class Reserve(WordScript[ReserveReply]):
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
        fresh: bytes,
        idempotency: bytes,
        known_keys: bytes,
        limits: Sequence[WideLimit] = (),
        refusal: Refusal | None = None,
        money_key: str = "",
        money: MoneyCharge | Shortage | None = None,
    ) -> RunScript[ReserveReply]:
        """MoneyCharge `limits` and `money`, or pass on a refusal that another node returned. Never pass both.

        A `MoneyCharge` is with its `money_key`, a `Shortage` without.
        """
        keys: tuple[str, ...] = (phone_key, counter_key)
        args: tuple[bytes | str | int, ...]
        args = (now, operation, challenge_field, fresh, idempotency, known_keys, "" if money is None else str(money))
        if limits:
            keys += tuple([limit.key for limit in limits])
            args += tuple([part for limit in limits for part in (limit.scope, limit.rates)])
        elif refusal is not None:
            args += refusal
        if money_key:
            keys += (money_key,)
        return RunScript(self, keys, args, self.replicas)


class Settled(NamedTuple):
    """The send is settled. `resend_ms` and `sends_left` are what the phone's own limits allow now."""

    now_ms: int
    resend_ms: int
    sends_left: int


class Settle(ListScript[Settled | None]):
    """The face of settle.lua. Its reply is None if the send is gone."""

    __slots__ = ()

    lists = (Settled,)

    def __call__(
        self,
        *,
        phone_key: str,
        now: int | str,
        operation: bytes,
        outcome: str,
        served_by: str,
        refunds: str = "",
        money_key: str = "",
    ) -> RunScript[Settled | None]:
        """Settle the send `operation`, and give back `refunds` of what it reserved."""
        keys = (phone_key, money_key) if money_key else (phone_key,)
        return RunScript(self, keys, (now, operation, outcome, served_by, refunds))

    def read(self, reply: Raw, args: Raw) -> Settled | None:
        """Return what the limits allow now, or None."""
        return None if reply == [] else Settled(*numbers_of(reply, 3))


class Undone(NamedTuple):
    """The result of undoing. `wait_ms` is the time until the phone's own limits allow another send."""

    undone: bool
    wait_ms: int


class Undo(ListScript[Undone]):
    """The face of undo.lua."""

    __slots__ = ()

    lists = (Undone,)

    def __call__(
        self,
        *,
        phone_key: str,
        now: int | str,
        operation: bytes,
        stays_counted: int,
        reserved_ms: int,
        limits: Sequence[WideLimit] = (),
        refunds: str = "",
        money_key: str = "",
    ) -> RunScript[Undone]:
        """Undo the send `operation`, refund `limits`, and give back `refunds` of what it reserved."""
        keys = (phone_key, *[limit.key for limit in limits])
        if money_key:
            keys += (money_key,)
        args = (now, operation, stays_counted, reserved_ms, refunds, *[limit.rates for limit in limits])
        return RunScript(self, keys, args)

    def read(self, reply: Raw, args: Raw) -> Undone:
        """Return `Undone`."""
        undone, wait_ms = numbers_of(reply, 2)
        return Undone(undone == 1, wait_ms)


class Receive(Script[bool]):
    """The face of receive.lua. Its reply is True if the receipt is new."""

    __slots__ = ()

    def __call__(
        self, *, phone_key: str, now: int | str, operation: bytes, served_by: str, state: str
    ) -> RunScript[bool]:
        """Record the delivery of the send with the id `operation`, or of the send with the record `served_by`."""
        return RunScript(self, (phone_key,), (now, operation, served_by, state))

    def read(self, reply: Raw, args: Raw) -> bool:
        """Return True if the receipt is new."""
        return count_of(reply, 1) == 1
