"""Every public call as a flow: each decision written once, for the sync and the async shell alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from otpkit.codes import ID_BYTES, clean_code, encode_id, new_id
from otpkit.deployment import Deployment, check_bind, check_purpose
from otpkit.effects import Emit, Flow, RunScript
from otpkit.errors import (
    BlockedError,
    ExpiredCodeError,
    ExpiredTokenError,
    InvalidTokenError,
    OTPError,
    PhoneError,
    UsedTokenError,
    WrongCodeError,
)
from otpkit.gateways.base import Delivery
from otpkit.identity import Identity
from otpkit.issuing import BLOCKED, Issue
from otpkit.limits import WideLimit, give, ip_limits, is_countable, read_ip, send_limits, take
from otpkit.models import Challenge, Proof
from otpkit.phone import resolve
from otpkit.replies import Description, live_challenge, raise_limited, text
from otpkit.tokens import Claims, from_ms

T = TypeVar("T")

_FUTURE_MS = 30_000  # how far ahead of this host the server's clock may be, for `check`
_NO_CHALLENGE = "There is no live challenge for this phone, purpose and bind: issue a new code."
_EXPIRED = "The proof's life is over. Verify the phone again."
_USED = "The proof was redeemed before, or its record is gone. Verify the phone again."


class Flows:
    """The calls of one deployment. `OTP` and `AsyncOTP` document them."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def issue(
        self,
        phone: object,
        purpose: str,
        bind: str,
        ip: object,
        params: Mapping[str, str] | None,
        idempotency_key: str | None,
    ) -> Flow[Challenge]:
        d = self._deployment
        canonical, region = self._resolve(phone)
        who = Identity(d, canonical, purpose, bind)
        limits = self._ip_limits("sends", ip, d.policy.ip_sends) + send_limits(d, region)
        flow = Issue(d, who, limits, params, idempotency_key).run()
        return self._watch(who, "issue", "issued", flow, ip)

    def verify(
        self, phone: object, code: object, purpose: str, bind: str, ip: object, idempotency_key: str | None
    ) -> Flow[Proof]:
        who = self._identify(phone, purpose, bind)
        return self._watch(who, "verify", "verified", self._verify(who, code, ip, idempotency_key), ip)

    def _verify(self, who: Identity, code: object, ip: object, idempotency_key: str | None) -> Flow[Proof]:
        d = self._deployment
        digits = clean_code(code, d.policy.code_length)
        # A key counts with its code: it gives the same answer to the same form, and no proof to another code.
        op = new_id() if idempotency_key is None else who.operation(b"verify", idempotency_key, digits, size=ID_BYTES)
        digests = b"".join([key.digest(who.packed, digits) + key.id for key in d.keys.codes])
        limits = self._ip_limits("failures", ip, d.policy.ip_failures)
        taken, refusal = yield from take(d, limits)
        charged = () if d.clustered else limits
        reply = yield RunScript(
            d.scripts.verify,
            (who.phone_key, who.counter_key, *[limit.key for limit in charged]),
            (d.now_arg(), op, who.slot, digests, *[limit.rates for limit in charged], *refusal[1:]),
            d.policy.replicas,
        )
        word = text(reply[0])
        if word == "proved":
            yield from give(d, taken)
            _, issued_ms, expires_ms, fixed = reply
            return d.signer.proof(encode_id(op), who.phone, who.purpose, who.bind, issued_ms, expires_ms, fixed == 1)
        if word == "wrong":
            raise WrongCodeError(_wrong(reply[1]), attempts_left=reply[1])
        if word == "limited":
            raise_limited(who, reply)
        raise BlockedError(BLOCKED) if word == "blocked" else ExpiredCodeError(_NO_CHALLENGE)

    def check(self, token: object, purpose: str, bind: str, phone: object) -> Proof:
        d = self._deployment
        claims = self._claims(token, purpose, bind, phone)
        now_ms = d.host_ms()
        if claims.issued_ms > now_ms + _FUTURE_MS:
            raise InvalidTokenError(
                "The proof was made in the future: mend the clock of this host or of the Redis server."
            )
        if claims.expires_ms <= now_ms:
            raise ExpiredTokenError(_EXPIRED)
        return claims.proof

    def redeem(self, token: object, purpose: str, bind: str, phone: object, idempotency_key: str | None) -> Flow[Proof]:
        d = self._deployment
        claims = self._claims(token, purpose, bind, phone)
        who = Identity(d, claims.proof.phone, purpose, bind)
        op = new_id() if idempotency_key is None else who.operation(b"redeem", idempotency_key, size=ID_BYTES)
        return self._watch(who, "redeem", "redeemed", self._redeem(who, claims, op))

    def _redeem(self, who: Identity, claims: Claims, op: bytes) -> Flow[Proof]:
        d = self._deployment
        args = (d.now_arg(), op, claims.proof_id, claims.expires_ms)
        word = text((yield RunScript(d.scripts.redeem, (who.phone_key,), args, d.policy.replicas)))
        if word == "redeemed":
            return claims.proof
        raise ExpiredTokenError(_EXPIRED) if word == "expired" else UsedTokenError(_USED)

    def status(self, phone: object, purpose: str, bind: str) -> Flow[Challenge | None]:
        d = self._deployment
        return live_challenge(d, self._identify(phone, purpose, bind))

    def delivery(self, phone: object, purpose: str, bind: str) -> Flow[Delivery]:
        d = self._deployment
        who = self._identify(phone, purpose, bind)
        reply = yield RunScript(d.scripts.status, (who.phone_key,), (d.now_arg(), who.slot))
        unknown = Delivery(state="unknown", gateway=d.gateway.name)
        if len(reply) == 1:
            return unknown
        _, _, send_id, sent_ms, *described = reply
        if Description(*described).fixed or not d.gateway.can_trace:
            return unknown
        operation = encode_id(bytes.fromhex(text(send_id)))
        return (yield from d.gateway.trace(who.phone, operation, from_ms(sent_ms)))

    def revoke(self, phone: object, purpose: str, bind: str) -> Flow[None]:
        d = self._deployment
        who = self._identify(phone, purpose, bind)
        yield RunScript(d.scripts.revoke, (who.phone_key,), (d.now_arg(), who.slot), d.policy.replicas)
        yield from self._tell(who, "revoke", "revoked")

    def unblock(self, phone: object) -> Flow[None]:
        d = self._deployment
        who = self._identify(phone, "operator", "")
        yield RunScript(d.scripts.unblock, (who.phone_key, who.counter_key), (d.now_arg(),))
        yield from self._tell(who, "unblock", "unblocked")

    def erase(self, phone: object) -> Flow[None]:
        d = self._deployment
        who = self._identify(phone, "operator", "")
        yield RunScript(d.scripts.erase, (who.phone_key, who.counter_key), ())
        yield from self._tell(who, "erase", "erased")

    def _resolve(self, phone: object) -> tuple[str, str]:
        policy = self._deployment.policy
        return resolve(phone, policy.regions, policy.default_region)

    def _identify(self, phone: object, purpose: object, bind: object) -> Identity:
        return Identity(self._deployment, self._resolve(phone)[0], purpose, bind)

    def _claims(self, token: object, purpose: str, bind: str, phone: object) -> Claims:
        canonical = None
        if phone is not None:
            try:
                canonical, _ = self._resolve(phone)
            except PhoneError:
                canonical = ""  # what is no phone is not the token's
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
            detail = getattr(error, "scope", "") or getattr(error, "gateway_code", "")
            yield from self._tell(who, operation, "refused", error.code, detail)
            raise
        yield from self._tell(who, operation, done, result.delivery if isinstance(result, Challenge) else "")
        return result

    def _tell(self, who: Identity, operation: str, name: str, outcome: str = "", detail: str = "") -> Flow[None]:
        if self._deployment.listener is not None:
            yield Emit(who.event(name, operation, outcome, detail))


def _wrong(attempts_left: int) -> str:
    remedy = "let the person try again" if attempts_left else "issue a new code"
    return f"The code is wrong and was counted; attempts left: {attempts_left}. The form should {remedy}."
