"""Every public call as a flow: each decision written once, for the sync and the async shell alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from otpkit.core.arguments import DEFAULT_NAMESPACE, NOT_GIVEN, check_bind, check_purpose, check_request
from otpkit.core.config import Deployment
from otpkit.core.crypto import ID_BYTES, clean_code, decode_start, encode_id, new_id
from otpkit.core.issue import BLOCKED, Issue
from otpkit.core.limits import (
    NOTHING_TAKEN,
    WideLimit,
    give,
    ip_limits,
    is_countable,
    memory_key,
    read_ip,
    send_limits,
    take,
)
from otpkit.core.parse import DELIVERY, Description, live_challenge, raise_limited, standing_of, text
from otpkit.core.spelling import check_region
from otpkit.core.subject import Identity
from otpkit.core.tokens import Claims, from_ms
from otpkit.effects import Emit, Flow, NotStarted, RunScript, Together, Unconfirmed, outbound
from otpkit.errors import (
    BlockedError,
    ExpiredCodeError,
    ExpiredTokenError,
    InvalidTokenError,
    OTPError,
    PhoneError,
    StoreUnavailableError,
    UsedTokenError,
    WrongCodeError,
)
from otpkit.gateways.base import Channel, Delivery, Push, Receipts
from otpkit.gateways.provider import message_id
from otpkit.models import Challenge, Event, Proof, Standing
from otpkit.phone import resolve

T = TypeVar("T")

_ARRIVED = {"delivered": "delivered", "failed": "undelivered"}  # states, and the events that tell of them
_KNOWLEDGE = ("unknown", "pending", "failed", "delivered")  # of two states of a message the later one here stands
_BATCH = 500  # receipts that are recorded together
_WARNING_MS = 60_000  # between two warnings of one gateway's pushes: a stranger must not fill the log
_CALL_BYTES = 8  # of a redeem's id
_FUTURE_MS = 30_000  # how far ahead of this host the server's clock may be, for `check`
_NO_CHALLENGE = "There is no live challenge for this phone, purpose and bind: issue a new code."
_EXPIRED = "The proof's life is over. Verify the phone again."
_NO_AUDIENCE = "The proof is of an earlier version and names no namespace. Redeem it, or verify the phone again."
_USED = "The proof was redeemed before, or its record is gone. Verify the phone again."


class Flows:
    """The calls of one deployment. `OTP` and `AsyncOTP` document them."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._warned_ms: dict[str, int] = {}  # when a gateway's pushes were last warned of

    def issue(
        self,
        phone: object,
        purpose: str,
        bind: str,
        ip: object,
        params: Mapping[str, str] | None,
        idempotency_key: str | None,
        channel: Channel,
        region: str | None = None,
    ) -> Flow[Challenge]:
        d = self._deployment
        canonical, served_region = self._resolve(phone, region)
        who = Identity(d, canonical, purpose, bind, served_region)
        limits = self._ip_limits("sends", ip, d.policy.ip_sends) + send_limits(d, served_region)
        plan = d.routing.plan_for(served_region)
        flow = Issue(d, who, limits, plan, params, idempotency_key, channel).run()
        return self._watch(who, "issue", "issued", flow, ip)

    def verify(
        self,
        phone: object,
        code: object,
        purpose: str,
        bind: str,
        ip: object,
        idempotency_key: str | None,
        region: str | None = None,
    ) -> Flow[Proof]:
        who = self._identify(phone, purpose, bind, region)
        return self._watch(who, "verify", "verified", self._verify(who, code, ip, idempotency_key), ip)

    def _verify(self, who: Identity, code: object, ip: object, idempotency_key: str | None) -> Flow[Proof]:
        d = self._deployment
        digits = clean_code(code, d.policy.code_length)
        # A key counts with its code: it gives the same answer to the same form, and no proof to another code.
        op = new_id() if idempotency_key is None else who.operation(b"verify", idempotency_key, digits, size=ID_BYTES)
        digests = b"".join([key.digest(who.packed, digits) + key.id for key in d.keys.codes])
        limits = self._ip_limits("failures", ip, d.policy.ip_failures)
        taken, refusal = (yield from take(d, limits)) if limits else NOTHING_TAKEN
        keys: tuple[str, ...] = (who.phone_key, who.counter_key)
        args: tuple[bytes | str | int, ...] = (d.now_arg(), op, who.slot, digests, *who.fixed(digits))
        if limits and not d.clustered:
            keys += tuple(key for limit in limits for key in (limit.key, memory_key(limit, op)))
            args += tuple(limit.rates for limit in limits)
        script: RunScript[Any] = RunScript(d.scripts.verify, keys, (*args, *refusal[1:]), d.policy.replicas)
        reply: Any = None
        unconfirmed = None
        try:
            reply = yield script
        except Unconfirmed as error:
            unconfirmed = error
        if unconfirmed is not None:
            if idempotency_key is not None:
                raise unconfirmed  # A call beside this one may have been confirmed. A repeat finds the same proof.
            undo: RunScript[Any] = RunScript(
                d.scripts.unverify, (who.phone_key, who.counter_key), (d.now_arg(), op, who.slot)
            )
            raise (yield from _take_back(undo, unconfirmed))
        reply = reply[1:]  # It begins with the operation, which the store has checked.
        word = text(reply[0])
        if word in {"proved", "wrong"}:
            # Without a key the operation is this call's alone: what it repeats is itself, after a lost reply.
            who.replayed = idempotency_key is not None and len(reply) == (5 if word == "proved" else 3)
        if word == "proved":
            if taken:
                yield from give(d, taken)
            issued_ms, expires_ms, fixed = reply[1:4]
            return d.signer.proof(encode_id(op), who.phone, who.purpose, who.bind, issued_ms, expires_ms, fixed == 1)
        if word == "wrong":
            raise WrongCodeError(_wrong(reply[1]), attempts_left=reply[1])
        if word == "limited":
            raise_limited(who, reply)
        raise BlockedError(BLOCKED) if word == "blocked" else ExpiredCodeError(_NO_CHALLENGE)

    def check(self, token: object, purpose: str, bind: str, phone: object, region: str | None = None) -> Proof:
        d = self._deployment
        claims = self._claims(token, purpose, bind, phone, region)
        if not claims.has_audience and d.namespace != DEFAULT_NAMESPACE:
            # A process of the version before made it. `redeem` takes it: its record shows that it is ours.
            raise InvalidTokenError(_NO_AUDIENCE)
        now_ms = d.host_ms()
        if claims.issued_ms > now_ms + _FUTURE_MS:
            raise InvalidTokenError(
                "The proof was made in the future: mend the clock of this host or of the Redis server."
            )
        if claims.expires_ms <= now_ms:
            raise ExpiredTokenError(_EXPIRED)
        return claims.proof

    def redeem(
        self,
        token: object,
        purpose: str,
        bind: str,
        phone: object,
        idempotency_key: str | None,
        request: str | None = None,
        region: str | None = None,
    ) -> Flow[Proof]:
        d = self._deployment
        claims = self._claims(token, purpose, bind, phone, region)
        who = Identity(d, claims.proof.phone, purpose, bind, self._region_of(claims.proof.phone))
        asked = () if request is None else (check_request(request),)
        op, call = new_id(), b""
        if idempotency_key is not None:
            # The calls of a key with one request are one operation. Each has an id, to know its own repetition by.
            op, call = who.operation(b"redeem", idempotency_key, *asked, size=ID_BYTES), op[:_CALL_BYTES]
        return self._watch(who, "redeem", "redeemed", self._redeem(who, claims, op, call))

    def _redeem(self, who: Identity, claims: Claims, op: bytes, call: bytes) -> Flow[Proof]:
        d = self._deployment
        args = (d.now_arg(), op, claims.proof_id, claims.expires_ms, *([call] if call else []))
        reply: Any = None
        unconfirmed = None
        try:
            reply = yield RunScript(d.scripts.redeem, (who.phone_key,), args, d.policy.replicas)
        except Unconfirmed as error:
            unconfirmed = error
        if unconfirmed is not None:
            undo: RunScript[Any] = RunScript(
                d.scripts.unredeem, (who.phone_key,), (d.now_arg(), op, claims.proof_id, call)
            )
            raise (yield from _take_back(undo, unconfirmed))
        word = text(reply[1])
        if word in {"redeemed", "repeated"}:
            # Without a key the operation is this call's alone: what it repeats is itself, after a lost reply.
            who.replayed = word == "repeated" and bool(call)
            return replace(claims.proof, replayed=True) if who.replayed else claims.proof
        raise ExpiredTokenError(_EXPIRED) if word == "expired" else UsedTokenError(_USED)

    def status(self, phone: object, purpose: str, bind: str, region: str | None = None) -> Flow[Challenge | None]:
        d = self._deployment
        return live_challenge(d, self._identify(phone, purpose, bind, region))

    def standing(self, phone: object, region: str | None = None) -> Flow[Standing]:
        d = self._deployment
        who = self._identify(phone, "operator", "", region)
        reply = yield RunScript(d.scripts.standing, (who.phone_key, who.counter_key), (d.now_arg(),))
        return standing_of(who, reply)

    def delivery(self, phone: object, purpose: str, bind: str, region: str | None = None) -> Flow[Delivery]:
        d = self._deployment
        who = self._identify(phone, purpose, bind, region)
        reply = yield RunScript(d.scripts.status, (who.phone_key,), (d.now_arg(), who.slot))
        if len(reply) == 1:
            return Delivery(state="unknown", gateway=who.served_by("", fixed=False)[0])
        _, _, send_id, sent_ms, *described = reply
        found, op = Description(*described), bytes.fromhex(text(send_id))
        name, its_id = who.served_by(text(found.served_by), fixed=found.fixed == 1)
        told = DELIVERY[text(found.delivery)]
        known = Delivery(state=told if told in {"delivered", "failed"} else "unknown", gateway=name)
        member = d.routing.members.get(name)
        if member is None or not member.gateway.can_trace:
            return known
        trace = member.gateway.trace(who.phone, encode_id(op), from_ms(sent_ms), its_id)
        answer = known
        with suppress(NotStarted):
            answer = yield from outbound(f"{name}-trace", trace)
        if _KNOWLEDGE.index(answer.state) < _KNOWLEDGE.index(known.state) or answer.state == "unknown":
            return known
        with suppress(OTPError):  # what the gateway said is an answer, kept or not
            yield from self._record([(who, answer, op, name)])
        return replace(answer, gateway=name)

    def receive(self, push: Push, gateway: str) -> Flow[Receipts]:
        member = self._deployment.routing.member(gateway)
        receipts = member.gateway.receipts(push)
        if receipts.problem or receipts.status >= 400:
            yield from self._warn_of(member.name, receipts)
        # All of them: a provider that was answered does not tell a row again.
        for start in range(0, len(receipts.deliveries), _BATCH):
            told = []
            for delivery in receipts.deliveries[start : start + _BATCH]:
                with suppress(PhoneError, ValueError):
                    who = self._identify(delivery.phone, "receipt", "")
                    told.append((who, delivery, _op_of(delivery), f"{member.name} {message_id(delivery.message_id)}"))
            yield from self._record(told)
        return receipts

    def _warn_of(self, name: str, receipts: Receipts) -> Flow[None]:
        """Warn of a push that was not believed or not read, once in a while."""
        now_ms = self._deployment.host_ms()
        if abs(now_ms - self._warned_ms.get(name, -_WARNING_MS)) < _WARNING_MS:
            return
        self._warned_ms[name] = now_ms
        problem = receipts.problem or f"it was answered by {receipts.status}"
        yield Emit(
            Event(name="push_refused", operation="receive", detail=name, gateway=name),
            warning=f"The gateway {name} was pushed receipts that are not accepted: {problem}. "
            "This is logged at most once a minute.",
        )

    def _record(self, told: Sequence[tuple[Identity, Delivery, bytes, str]]) -> Flow[None]:
        """Keep what became of messages: of each the phone, the send's id or its beginning, or who served it."""
        d = self._deployment
        settled = [(who, delivery, op, record) for who, delivery, op, record in told if delivery.state in _ARRIVED]
        if not settled:
            return
        replies = yield Together(
            tuple(
                RunScript(d.scripts.receive, (who.phone_key,), (d.now_arg(), op, record, delivery.state[0]))
                for who, delivery, op, record in settled
            )
        )
        for (who, delivery, _, record), is_news in zip(settled, replies, strict=True):
            if is_news:
                name = record.partition(" ")[0] or delivery.gateway
                detail = f"{name} {delivery.result_code}".strip()
                yield from self._tell(who, "receive", _ARRIVED[delivery.state], detail=detail, gateway=name)

    def revoke(self, phone: object, purpose: str, bind: str, region: str | None = None) -> Flow[None]:
        d = self._deployment
        who = self._identify(phone, purpose, bind, region)
        yield RunScript(d.scripts.revoke, (who.phone_key,), (d.now_arg(), who.slot), d.policy.replicas)
        yield from self._tell(who, "revoke", "revoked")

    def unblock(self, phone: object, region: str | None = None) -> Flow[None]:
        d = self._deployment
        who = self._identify(phone, "operator", "", region)
        yield RunScript(d.scripts.unblock, (who.phone_key, who.counter_key), (d.now_arg(),))
        yield from self._tell(who, "unblock", "unblocked")

    def erase(self, phone: object, region: str | None = None) -> Flow[None]:
        d = self._deployment
        who = self._identify(phone, "operator", "", region)
        yield RunScript(d.scripts.erase, (who.phone_key, who.counter_key), ())
        yield from self._tell(who, "erase", "erased")

    def _resolve(self, phone: object, region: str | None = None) -> tuple[str, str]:
        policy = self._deployment.policy
        if region is None:
            return resolve(phone, policy.regions, policy.default_region)
        check_region(region, policy.regions)
        return resolve(phone, policy.regions, region)

    def _identify(self, phone: object, purpose: object, bind: object, region: str | None = None) -> Identity:
        canonical, served_region = self._resolve(phone, region)
        return Identity(self._deployment, canonical, purpose, bind, served_region)

    def _region_of(self, phone: str) -> str:
        """Return the region of a token's phone, which the listener is told; "" where it is none of the policy's now."""
        if self._deployment.listener is not None:
            with suppress(PhoneError):
                return self._resolve(phone)[1]
        return ""

    def _claims(self, token: object, purpose: str, bind: str, phone: object, region: str | None) -> Claims:
        canonical = None
        if phone is not NOT_GIVEN:
            try:
                canonical, _ = self._resolve(phone, region)
            except PhoneError:
                canonical = ""  # what is no phone, None included, is not the token's
        return self._deployment.signer.read(token, check_purpose(purpose), check_bind(bind), canonical)

    def _ip_limits(self, use: str, ip: object, rates: Any) -> tuple[WideLimit, ...]:
        return () if ip is None else ip_limits(self._deployment, use, read_ip(ip), rates)

    def _watch(self, who: Identity, operation: str, done: str, flow: Flow[T], ip: object = None) -> Flow[T]:
        """Return a flow as it is, or one that also tells the listener how it went."""
        if self._deployment.listener is None:
            return flow
        return self._told(who, operation, done, flow, ip)

    def _told(self, who: Identity, operation: str, done: str, flow: Flow[T], ip: object) -> Flow[T]:
        if ip is not None and not is_countable(read_ip(ip)):
            yield from self._tell(who, operation, "ip_not_counted")
        try:
            result = yield from flow
        except OTPError as error:
            scope, gateway = getattr(error, "scope", ""), getattr(error, "gateway", "")
            detail, name = scope or getattr(error, "gateway_code", ""), "replayed" if who.replayed else "refused"
            yield from self._tell(who, operation, name, error.code, detail, scope=scope, gateway=gateway)
            raise
        name = "replayed" if who.replayed else done
        if isinstance(result, Challenge):
            outcome, gateway = result.delivery, result.gateway
            yield from self._tell(who, operation, name, outcome, gateway, gateway=gateway)
        else:
            yield from self._tell(who, operation, name)
        return result

    def _tell(
        self, who: Identity, operation: str, name: str, outcome: str = "", detail: str = "", **more: str
    ) -> Flow[None]:
        if self._deployment.listener is not None:
            yield Emit(who.event(name, operation, outcome, detail, **more))


def _op_of(delivery: Delivery) -> bytes:
    """Return the send's operation id, or its beginning; b"" where the gateway's own id says which message it is.

    Raises ValueError where neither does.
    """
    if not delivery.send_id:
        return b""
    try:
        return decode_start(delivery.send_id)
    except ValueError:
        if not delivery.message_id:
            raise
        return b""


def _take_back(undo: RunScript[object], unconfirmed: Unconfirmed) -> Flow[StoreUnavailableError]:
    """Take back what too few replicas confirmed, and return the error to raise."""
    with suppress(OTPError):
        if (yield undo) == 1:
            return unconfirmed
    return StoreUnavailableError(
        "Too few replicas confirmed a code or a proof that was used, and it could not be taken back: nothing was "
        "granted, but it may be used up. Issue a new code; with an idempotency_key the same call may be repeated."
    )


def _wrong(attempts_left: int) -> str:
    remedy = "let the person try again" if attempts_left else "issue a new code"
    return f"The code is wrong and was counted; attempts left: {attempts_left}. The form should {remedy}."
