"""The typed faces of the scripts of a send: reserve.lua, settle.lua, undo.lua, receive.lua."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self, TypeAlias

from otpkit.core.scripts.limits import Refusal, WideLimit
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
    """The send is reserved. Send the code of `nonce` and `key_id`; both are empty for the fresh challenge's code.

    `device` is True if the device token is valid.
    """

    now_ms: int
    nonce: bytes
    key_id: bytes
    before: Before | None
    device: bool
    described: Described

    @classmethod
    def parse(cls, reply: Raw, args: Raw) -> Self:
        """Return a reservation; raise ValueError if this host lacks the key of its code."""
        now_ms, nonce, key_id, before, device = reply[2:7]
        if not (0 <= now_ms <= LATEST_MS and 0 <= device <= 1):
            raise unfit()
        if nonce in EMPTY and key_id in EMPTY:
            nonce = key_id = b""
        else:
            nonce, key_id, known = hex_of(nonce, 16), hex_of(key_id, 4), args[5]
            if key_id not in {known[i : i + 4] for i in range(0, len(known), 4)}:
                raise unfit()
        served = None if before in EMPTY else Before.parse(before)
        return cls(now_ms, nonce, key_id, served, device == 1, Described.parse(reply[7:]))


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


ReserveReply: TypeAlias = Reserved | Replayed | Limited | Blocked


class Reserve(WordScript[ReserveReply]):
    """The face of reserve.lua."""

    __slots__ = ()

    words = by_word(
        {
            "reserved": Reserved.parse,
            "replayed": Replayed.parse,
            "limited": Limited.parse,
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
        device_key: str = "",
        device_since: int | str = "",
        limits: Sequence[WideLimit] = (),
        refusal: Refusal | None = None,
    ) -> RunScript[ReserveReply]:
        """Charge `limits`, or pass on `refusal`, which another node's limit returned. Never pass both.

        Pass `device_key` and `device_since` if a device token was passed and its signature is right.
        """
        keys: tuple[str, ...] = (phone_key, counter_key)
        args: tuple[bytes | str | int, ...]
        args = (now, operation, challenge_field, fresh, idempotency, known_keys, device_since)
        if limits:
            keys += tuple([limit.key for limit in limits])
            args += tuple([part for limit in limits for part in (limit.scope, limit.rates)])
        elif refusal is not None:
            args += refusal
        if device_key:
            keys += (device_key,)
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
        self, *, phone_key: str, now: int | str, operation: bytes, outcome: str, served_by: str, device: int
    ) -> RunScript[Settled | None]:
        """Settle the send `operation`."""
        return RunScript(self, (phone_key,), (now, operation, outcome, served_by, device))

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
        device: int,
        limits: Sequence[WideLimit] = (),
    ) -> RunScript[Undone]:
        """Undo the send `operation`, and refund `limits`."""
        keys = (phone_key, *[limit.key for limit in limits])
        args = (now, operation, stays_counted, reserved_ms, device, *[limit.rates for limit in limits])
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
