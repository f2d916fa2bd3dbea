"""One issue: reserve, send, settle.

Reserve comes first, so that a code which could be received can always be verified, and fifty parallel calls send one
message. After the hand-over the gateway's outcome stands, whatever Redis does. Nothing is ever sent again by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from otpkit.core.config import Deployment, FixedCode, check_fixed_life
from otpkit.core.crypto import encode_id, new_id
from otpkit.core.dispatch import Handover, send_by
from otpkit.core.limits import NOTHING_TAKEN, Taken, WideLimit, give, take
from otpkit.core.parse import Description, challenge_of, live_challenge, raise_limited, text
from otpkit.core.routing import Member, Plan
from otpkit.core.subject import IDEMPOTENCY_BYTES, Identity
from otpkit.core.tokens import from_ms
from otpkit.effects import Flow, RunScript, Unconfirmed
from otpkit.errors import BlockedError, ConfigurationError, GatewayRejectedError, OTPError, RateLimitError
from otpkit.gateways.base import Channel, Message, Receipt
from otpkit.gateways.provider import message_id
from otpkit.models import Challenge

_MAX_RECORD = 64  # bytes of a value, beyond which Redis gives up its compact encoding
_LEAST_LIFE_S = 10  # of a code, when its message leaves: the person must still receive it and type it
_GATEWAY_WAIT_S = 60  # the carriers' shortest window, where a gateway does not say how long

BLOCKED = "Too many consecutive wrong codes for this phone. An operator who knows the person calls unblock(phone)."


class Issue:
    """One call of `issue`, from its checks to its settlement."""

    def __init__(
        self,
        deployment: Deployment,
        who: Identity,
        limits: tuple[WideLimit, ...],
        plan: Plan,
        params: Mapping[str, str] | None,
        idempotency_key: str | None,
        channel: Channel,
    ) -> None:
        self.deployment = deployment
        self.who = who
        self.limits = limits
        self.taken: Sequence[Taken] = ()
        self.params = params
        self.plan, self.channel = plan, channel
        self.candidates = plan.candidates(channel)
        for member in self.candidates:
            template = member.template_for(who.purpose)
            if params is not None:  # what a template refuses is an error before anything is reserved
                template.sms_params("0" * deployment.policy.code_length, params=params)
        self.op, self.nonce = new_id(), new_id()
        self.leaves_by = 0.0  # by `Deployment.elapsed_s`
        self.idempotency = (
            b"" if idempotency_key is None else who.operation(b"issue", idempotency_key, size=IDEMPOTENCY_BYTES)
        )

    def run(self) -> Flow[Challenge]:
        """Reserve, send, settle."""
        fixed = (yield from self._fixed_in_force()) if self.deployment.fixed else None
        reply = yield from self._reserve(fixed)
        word = text(reply[0])
        if word == "blocked":
            raise BlockedError(BLOCKED)
        if word == "limited":
            raise_limited(self.who, reply)
        now_ms = reply[1]
        if word == "replayed":
            self.who.replayed = True
            return challenge_of(self.who, now_ms, Description(*reply[2:]), replayed=True)
        sent = Description(*reply[5:])
        receipt, record = Receipt("fixed"), ""
        if fixed is None:
            self.leaves_by += (sent.ends_ms - now_ms) / 1000
            member, receipt = yield from self._hand_over(reply, sent)
            record = self._record(member, receipt)
        settled = yield from self._settle(receipt, record)
        now_ms, resend_ms, sends_left = settled or (now_ms, sent.resend_ms, sent.sends_left)
        sent = sent._replace(delivery=receipt.outcome[0], resend_ms=resend_ms, sends_left=sends_left, served_by=record)
        return challenge_of(self.who, now_ms, sent)

    def _fixed_in_force(self) -> Flow[FixedCode | None]:
        d, who = self.deployment, self.who
        fixed = d.fixed.get((who.phone, who.purpose))
        if fixed is None:
            return None
        now_ms = (yield RunScript(d.scripts.status, (who.phone_key,), (d.now_arg(), who.slot)))[0]
        check_fixed_life(fixed, now_ms / 1000)
        return fixed if now_ms < who.fixed_ends_ms else None

    def _reserve(self, fixed: FixedCode | None) -> Flow[Any]:
        d, who = self.deployment, self.who
        known_keys = b"".join(d.keys.by_id)
        self.taken, refusal = (yield from take(d, self.limits)) if self.limits else NOTHING_TAKEN
        keys: tuple[str, ...] = (who.phone_key, who.counter_key)
        args = (d.now_arg(), self.op, who.slot, self._fresh(fixed), self.idempotency, known_keys, *refusal)
        if charged := self._charged():
            keys += tuple(limit.key for limit in charged)
            args += tuple(part for limit in charged for part in (limit.scope, limit.rates))
        script: RunScript[Any] = RunScript(d.scripts.reserve, keys, args, d.policy.replicas)
        reply: Any = None
        unconfirmed = None
        self.leaves_by = d.elapsed_s() - _LEAST_LIFE_S
        try:
            reply = yield script
        except Unconfirmed as error:
            unconfirmed = error
        if unconfirmed is not None:
            yield from self._withdraw()
            raise unconfirmed
        reply = reply[1:]  # It begins with the operation, which the store has checked.
        if text(reply[0]) != "reserved":
            yield from give(d, self.taken)
        return reply

    def _withdraw(self) -> Flow[None]:
        """Undo a reservation that too few replicas confirmed: nothing is sent for it, and its key is free again."""
        d = self.deployment
        with suppress(OTPError):
            undone, _ = yield RunScript(d.scripts.undo, (self.who.phone_key,), (d.now_arg(), self.op, 0, 0))
            if undone:
                yield from give(d, self.taken)

    def _fresh(self, fixed: FixedCode | None) -> bytes:
        """Return a fresh challenge. Its code stands in no frame that waits for Redis."""
        key, packed = self.deployment.keys.current, self.who.packed
        code = key.code(self.nonce, packed, self.deployment.policy.code_length) if fixed is None else fixed.code
        return key.challenge(self.nonce, packed, code, fixed=fixed is not None)

    def _charged(self) -> tuple[WideLimit, ...]:
        """The wider limits that the phone's own script charges."""
        return () if self.deployment.clustered else self.limits

    def _hand_over(self, reply: Any, sent: Description) -> Flow[tuple[Member, Receipt]]:
        failure: OTPError
        try:
            if len(self.candidates) == 1:
                member = self.candidates[0]
                return member, (yield from send_by(self.who, member, self._message(member, reply, sent), self._left_s))
            return (yield from self._in_turn(reply, sent))
        except (GatewayRejectedError, ConfigurationError) as error:
            failure = error
        if isinstance(failure, GatewayRejectedError):
            wait_ms = yield from self._undo(failure, reserved_ms=reply[1])
            raise (yield from self._gateway_limit(failure, wait_ms)) if failure.category == "rate_limit" else failure
        # It may be on its way all the same.
        yield from self._settle(Receipt("", outcome="uncertain"), "")
        raise failure

    def _in_turn(self, reply: Any, sent: Description) -> Flow[tuple[Member, Receipt]]:
        def compose(member: Member) -> Message:
            return self._message(member, reply, sent)

        handover = Handover(
            self.deployment, self.who, self.plan, self.candidates, compose, encode_id(self.op), self._left_s
        )
        return (yield from handover.run(text(reply[4]), reply[1]))

    def _left_s(self) -> float:
        """Return the seconds in which the message must leave, for its code to live long enough."""
        return self.leaves_by - self.deployment.elapsed_s()

    def _message(self, member: Member, reply: Any, sent: Description) -> Message:
        now_ms, nonce, key_id = reply[1:4]
        who, d, template = self.who, self.deployment, member.template_for(self.who.purpose)
        key = d.keys.by_id[bytes.fromhex(text(key_id))] if key_id else d.keys.current
        code = key.code(bytes.fromhex(text(nonce)) if nonce else self.nonce, who.packed, d.policy.code_length)
        minutes = max(1, (sent.ends_ms - now_ms) // 60_000)
        params = template.sms_params(code, minutes=minutes, params=self.params)
        channel = member.channel_for(self.channel)
        return Message(who.phone, code, template, params, encode_id(self.op), from_ms(now_ms), channel)

    def _record(self, member: Member, receipt: Receipt) -> str:
        """Return what is kept of who served: nothing where it goes without saying."""
        its_id = message_id(receipt.message_id) if member.gateway.keeps_message_id(self.who.phone) else ""
        if not its_id and self.deployment.routing.only is not None:
            return ""
        record = f"{member.name} {its_id}".rstrip()
        return record if len(record) <= _MAX_RECORD else member.name

    def _settle(self, receipt: Receipt, record: str) -> Flow[Any]:
        d = self.deployment
        args = (d.now_arg(), self.op, receipt.outcome[0], record)
        try:
            return (yield RunScript(d.scripts.settle, (self.who.phone_key,), args))
        except OTPError:
            return None  # after the hand-over the gateway's outcome stands

    def _undo(self, rejection: GatewayRejectedError, *, reserved_ms: int) -> Flow[int]:
        # A loop on bad numbers must not be free, and the carriers have counted what they limited.
        d, category = self.deployment, rejection.category
        kept = {"number": {"phone", "ip"}, "rate_limit": {"phone", "ip", "region", "total"}}.get(category, set())
        returned = [limit for limit in self._charged() if limit.scope not in kept]
        try:
            undone, wait_ms = yield RunScript(
                d.scripts.undo,
                (self.who.phone_key, *(limit.key for limit in returned)),
                (
                    d.now_arg(),
                    self.op,
                    int("phone" in kept),
                    reserved_ms,
                    *(limit.rates for limit in returned),
                ),
            )
            if undone:
                yield from give(d, [(limit, at) for limit, at in self.taken if limit.scope not in kept])
        except OTPError:
            return 0  # it stays counted, and the challenge's send uncertain: the safe side
        return int(wait_ms)

    def _gateway_limit(self, rejection: GatewayRejectedError, wait_ms: int) -> Flow[RateLimitError]:
        challenge = None
        with suppress(OTPError):
            challenge = yield from live_challenge(self.deployment, self.who)
        # The send stays counted, so the phone's own limits may last longer than the gateway's.
        wait = max(rejection.retry_after or _GATEWAY_WAIT_S, math.ceil(wait_ms / 1000))
        return RateLimitError(
            f"The gateway {rejection.gateway} limits messages to this phone; nothing was sent. Try again in {wait} s.",
            scope="gateway",
            retry_after=wait,
            challenge=challenge,
        )
