"""The public calls as flows: each decision is written once, and the sync and async shells share it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, TypeVar

from otpkit.core.addresses import read_visitor
from otpkit.core.arguments import DEFAULT_NAMESPACE, NOT_GIVEN, check_bind, check_purpose, check_request
from otpkit.core.audit import Operator, Target, audited, read_audit, read_operator, write_event
from otpkit.core.circuits import close_circuit, gateways, open_circuit
from otpkit.core.config import Config
from otpkit.core.crypto import ID_BYTES, clean_code, decode_start, encode_id, new_id
from otpkit.core.discreet import issue_discreetly
from otpkit.core.figures import add, add_refusal, bucket_of, stats
from otpkit.core.issue import BLOCKED, Issue, IssueRequest
from otpkit.core.limits import NOTHING_CONSUMED, consume, ip_limits, memory_key, refund
from otpkit.core.report import Report
from otpkit.core.scripts.parse import Blocked, Limited
from otpkit.core.scripts.phone import NoSend
from otpkit.core.scripts.redemption import Expired, Redeemed, Repeated, Used
from otpkit.core.scripts.sends import Received
from otpkit.core.scripts.verification import NoChallenge, Proved, Wrong
from otpkit.core.send import SentSubject, send
from otpkit.core.spelling import check_region
from otpkit.core.spending import spending
from otpkit.core.subject import NO_DEVICE, Subject
from otpkit.core.tallies import dated
from otpkit.core.tokens import Claims, from_ms
from otpkit.effects import Emit, Flow, NotStarted, RunScript, SeveralSlots, Unconfirmed, outbound, run, run_together
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
from otpkit.gateways.base import Delivery, Push, Receipts
from otpkit.gateways.provider import message_id
from otpkit.guard.budgets import Spending
from otpkit.guard.elsewhere import count_guesses, move_verified
from otpkit.guard.report import GuardReport, guard_report, override
from otpkit.models import Audit, Challenge, Erased, Event, GatewayStanding, Proof, Sent, Standing, Stats
from otpkit.phone import resolve

T = TypeVar("T")

_ARRIVED = {"delivered": "delivered", "failed": "undelivered"}  # The event name for each final delivery state.
# From weakest to strongest: a stronger state of a message is never overwritten by a weaker one.
_PRECEDENCE = ("unknown", "pending", "failed", "delivered")
_BATCH = 500  # The number of receipts that are recorded together.
_WARNING_MS = 60_000  # The interval between two warnings for one gateway's pushes: a stranger must not fill the log.
_CALL_BYTES = 8  # The size of a redeem call's id.
_FUTURE_MS = 30_000  # The tolerance of `check` for a server clock that is ahead of this host.
_NO_CHALLENGE = "There is no live challenge for this phone, purpose and bind.", "Issue a new code."
_EXPIRED = "The proof has expired.", "Verify the phone again."
_NO_AUDIENCE = (
    "The proof is from an earlier version and names no namespace.",
    "Redeem it, or verify the phone again.",
)
_USED = "The proof was already redeemed, or its record is gone.", "Verify the phone again."


class Reported(NamedTuple):
    """The delivery of a message. The send is known by its id, the beginning of it, or the record of who served it."""

    subject: Subject
    delivery: Delivery
    operation: bytes
    served_by: str


class Flows:
    """The public calls of one `OTP` or `AsyncOTP`. Those classes document them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._warned_ms: dict[str, int] = {}  # The time of the last warning about each gateway's pushes.

    def issue(self, request: IssueRequest) -> Flow[Challenge]:
        subject = self._subject(request.phone, request.purpose, request.bind, request.region)
        report = Report(subject, "issue")
        issue = Issue(self._config, subject, report, request)
        flow = issue_discreetly(issue) if request.discreet else issue.run()
        return self._watch(report, "issued", flow, request.ip)

    def send(self, request: IssueRequest, code: object, minutes: object) -> Flow[Sent]:
        canonical, served_region = self._resolve(request.phone, request.region)
        subject = SentSubject(self._config, canonical, request.purpose, served_region)
        report = Report(subject, "send")
        flow = send(self._config, subject, report, request, code, minutes)
        return self._watch(report, "", flow, request.ip)  # `sent` says what became of the message.

    def verify(
        self,
        phone: object,
        code: object,
        purpose: str,
        bind: str,
        ip: object,
        idempotency_key: str | None,
        region: str | None = None,
        device: object = None,
    ) -> Flow[Proof]:
        subject = self._subject(phone, purpose, bind, region)
        if self._config.listener is None:
            return self._verify(subject, None, code, ip, idempotency_key, device)
        report = Report(subject, "verify")
        flow = self._verify(subject, report, code, ip, idempotency_key, device)
        return self._watched(report, "verified", flow, ip)

    def _verify(
        self,
        subject: Subject,
        report: Report | None,
        code: object,
        ip: object,
        idempotency_key: str | None,
        device: object,
    ) -> Flow[Proof]:
        config = self._config
        digits = clean_code(code, config.policy.code_length)
        # The code is part of the operation: a key repeats the answer for the same form, but never proves another code.
        is_keyed = idempotency_key is not None
        op = subject.operation(b"verify", idempotency_key, digits, size=ID_BYTES) if is_keyed else new_id()
        if report is not None:
            report.operation_id = op
        limits = () if ip is None else ip_limits(config, "failures", ip)
        charges, refusal = (yield from consume(config, limits)) if limits else NOTHING_CONSUMED
        ip_limit = limits[0] if limits and not config.clustered else None
        device_key, device_since = NO_DEVICE if device is None else subject.device_claim(device)
        fixed_ends_ms, is_fixed_code = subject.fixed(digits) if config.fixed else (0, 0)
        guard_keys: tuple[str, ...] = ()
        if config.protection is not None and not config.clustered:  # On a cluster, the scopes lie on other nodes.
            guard_keys = config.protection.keys(subject.phone, subject.region, ip)
        tallies = config.tallies
        unconfirmed: Unconfirmed | None = None
        while True:
            stats_key, label = tallies.places[subject.region]
            call = config.scripts.verify(
                phone_key=subject.phone_key,
                counter_key=subject.counter_key,
                stats_key=stats_key,
                now=dated(config.now_arg(), label),
                operation=op,
                challenge_field=subject.challenge_field,
                digests=config.keys.digests(subject.packed, digits),
                fixed_ends_ms=fixed_ends_ms,
                is_fixed_code=is_fixed_code,
                device_key=device_key,
                device_since=device_since,
                ip_limit=ip_limit,
                memory_key="" if ip_limit is None else memory_key(ip_limit, op),
                refusal=refusal,
                guard_keys=guard_keys,
            )
            try:
                reply = yield from run(call)
            except Unconfirmed as error:
                unconfirmed = error
            except SeveralSlots:
                if not stats_key:
                    raise
                tallies.part()
                continue
            break
        if unconfirmed is not None:
            if is_keyed:
                raise unconfirmed  # A parallel call may have been confirmed. A repeat finds the same proof.
            undo = config.scripts.unverify(
                phone_key=subject.phone_key,
                counter_key=subject.counter_key,
                stats_key=stats_key,
                now=dated(config.now_arg(), label),
                operation=op,
                challenge_field=subject.challenge_field,
                guard_keys=guard_keys,
            )
            raise (yield from _take_back(undo, unconfirmed))
        match reply:
            case Proved() as proved:
                if report is not None:
                    # Without a key, only this call has the operation id. A repeat is then its own retry.
                    report.replayed = is_keyed and proved.repeated
                    report.now_ms = 0 if proved.repeated else proved.issued_ms
                    report.gateway = subject.served_by(proved.figure.gateway, fixed=proved.fixed)[0]
                if charges:
                    yield from refund(config, charges)
                if proved.fixed and not proved.repeated:
                    yield from write_event(config, "fixed_code_used", phone_id=subject.phone_id)
                if proved.moves and config.protection is not None:
                    with suppress(OTPError):  # The sends then stay unverified, and leave with their windows.
                        yield from run_together(
                            move_verified(config, config.protection, subject.phone, subject.region, ip, proved.moves)
                        )
                if proved.figure.counts and not (is_keyed and proved.repeated):
                    yield from add(config, op, (proved.figure.counts,))
                return config.signer.proof(
                    encode_id(op),
                    subject.phone,
                    subject.purpose,
                    subject.bind,
                    proved.issued_ms,
                    proved.expires_ms,
                    proved.fixed,
                    None if proved.fixed else subject.sign_device,
                )
            case Wrong(attempts_left=left, repeated=is_repeated) as wrong:
                if report is not None:
                    report.replayed = is_keyed and is_repeated
                if wrong.blocks:
                    yield from write_event(config, "blocked", phone_id=subject.phone_id)
                if wrong.moves and config.protection is not None:
                    with suppress(OTPError):
                        yield from run_together(count_guesses(config, config.protection, subject.region, wrong.moves))
                if wrong.figure.counts and not (is_keyed and is_repeated):
                    yield from add(config, op, (wrong.figure.counts,))
                raise WrongCodeError(*_wrong(left), attempts_left=left)
            case Limited() as hit:
                if report is not None:
                    report.now_ms = hit.now_ms
                if not stats_key:
                    yield from add_refusal(config, op, subject.region, f"l{hit.scope}")
                raise hit.error(subject)
            case Blocked():
                if not stats_key:
                    yield from add_refusal(config, op, subject.region, "lblocked")
                raise BlockedError(*BLOCKED)
            case NoChallenge():
                raise ExpiredCodeError(*_NO_CHALLENGE)

    def check(self, token: object, purpose: str, bind: str, phone: object, region: str | None = None) -> Proof:
        config = self._config
        claims = self._claims(token, purpose, bind, phone, region)
        if not claims.has_audience and config.namespace != DEFAULT_NAMESPACE:
            # A process of the previous version made it. `redeem` accepts it, because its record proves the namespace.
            raise InvalidTokenError(*_NO_AUDIENCE)
        now_ms = config.host_ms()
        if claims.issued_ms > now_ms + _FUTURE_MS:
            raise InvalidTokenError(
                "The proof was made in the future.",
                "The operator should set the clocks of this host and of the Redis server by NTP.",
            )
        if claims.expires_ms <= now_ms:
            raise ExpiredTokenError(*_EXPIRED)
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
        claims = self._claims(token, purpose, bind, phone, region)
        found = claims.proof.phone
        subject = Subject(self._config, found, purpose, bind, self._region_of(found))
        requests = () if request is None else (check_request(request),)
        op, call = new_id(), b""
        if idempotency_key is not None:
            # Calls with the same key and request are one operation. Each also has an id, to recognise its own retry.
            call = op[:_CALL_BYTES]
            op = subject.operation(b"redeem", idempotency_key, *requests, size=ID_BYTES)
        report = Report(subject, "redeem")
        report.operation_id = op
        return self._watch(report, "redeemed", self._redeem(subject, report, claims, op, call))

    def _redeem(self, subject: Subject, report: Report, claims: Claims, op: bytes, call: bytes) -> Flow[Proof]:
        config = self._config
        redeem = config.scripts.redeem(
            phone_key=subject.phone_key,
            now=config.now_arg(),
            operation=op,
            proof=claims.proof_id,
            expires_ms=claims.expires_ms,
            call=call,
        )
        unconfirmed: Unconfirmed | None = None
        try:
            reply = yield from run(redeem)
        except Unconfirmed as error:
            unconfirmed = error
        if unconfirmed is not None:
            undo = config.scripts.unredeem(
                phone_key=subject.phone_key, now=config.now_arg(), operation=op, proof=claims.proof_id, call=call
            )
            raise (yield from _take_back(undo, unconfirmed))
        match reply:
            case Redeemed():
                return claims.proof
            case Repeated():
                # Without a key, only this call has the operation id. A repeat is then its own retry.
                report.replayed = bool(call)
                return replace(claims.proof, replayed=True) if call else claims.proof
            case Expired():
                raise ExpiredTokenError(*_EXPIRED)
            case Used():
                raise UsedTokenError(*_USED)

    def status(
        self, phone: object, purpose: str, bind: str, region: str | None = None, device: object = None
    ) -> Flow[Challenge | None]:
        return self._subject(phone, purpose, bind, region).find_challenge(device)

    def standing(self, phone: object, region: str | None = None) -> Flow[Standing]:
        config = self._config
        subject = self._subject(phone, "operator", "", region)
        standing = yield from run(
            config.scripts.standing(phone_key=subject.phone_key, counter_key=subject.counter_key, now=config.now_arg())
        )
        return Standing(
            phone=subject.phone,
            blocked=standing.blocked,
            consecutive_failures=standing.consecutive_failures,
            sends_left=standing.sends_left,
            send_in=math.ceil(standing.send_wait_ms / 1000),
            failures_left=standing.failures_left,
            verify_in=math.ceil(standing.verify_wait_ms / 1000),
            device_blocked=standing.device_blocked,
            device_sends_left=standing.device_sends_left,
            device_send_in=math.ceil(standing.device_send_wait_ms / 1000),
            device_failures_left=standing.device_failures_left,
            device_verify_in=math.ceil(standing.device_verify_wait_ms / 1000),
        )

    def delivery(self, phone: object, purpose: str, bind: str, region: str | None = None) -> Flow[Delivery]:
        config = self._config
        subject = self._subject(phone, purpose, bind, region)
        send = yield from run(
            config.scripts.status(
                phone_key=subject.phone_key, now=config.now_arg(), challenge_field=subject.challenge_field
            )
        )
        if isinstance(send, NoSend):
            return Delivery(state="unknown", gateway=subject.served_by("", fixed=False)[0])
        found = send.described
        name, its_id = subject.served_by(found.served_by, fixed=found.fixed)
        known = Delivery(state="unknown", gateway=name)
        if found.delivery == "delivered" or found.delivery == "failed":
            known = replace(known, state=found.delivery)
        member = config.routing.members.get(name)
        if member is None or not member.gateway.can_trace:
            return known
        trace = member.gateway.trace(subject.phone, encode_id(send.operation), from_ms(send.sent_ms), its_id)
        answer = known
        with suppress(NotStarted):
            answer = yield from outbound(f"{name}-trace", trace)
        if _PRECEDENCE.index(answer.state) < _PRECEDENCE.index(known.state) or answer.state == "unknown":
            return known
        with suppress(OTPError):  # The gateway's answer is valid even if it can't be recorded.
            yield from self._record([Reported(subject, answer, send.operation, name)])
        return replace(answer, gateway=name)

    def receive(self, push: Push, gateway: str) -> Flow[Receipts]:
        member = self._config.routing.member(gateway)
        receipts = member.gateway.receipts(push)
        if receipts.problem or receipts.status >= 400:
            yield from self._warn_of(member.name, receipts)
        # Record all of them: the provider does not send a receipt again once the push was answered.
        for start in range(0, len(receipts.deliveries), _BATCH):
            reported = []
            for delivery in receipts.deliveries[start : start + _BATCH]:
                with suppress(PhoneError, ValueError):
                    subject = self._subject(delivery.phone, "receipt", "")
                    served_by = f"{member.name} {message_id(delivery.message_id)}"
                    reported.append(Reported(subject, delivery, _op_of(delivery), served_by))
            yield from self._record(reported)
        return receipts

    def _warn_of(self, name: str, receipts: Receipts) -> Flow[None]:
        """Warn of a push that was rejected or unreadable, at most once a minute for each gateway."""
        now_ms = self._config.host_ms()
        if abs(now_ms - self._warned_ms.get(name, -_WARNING_MS)) < _WARNING_MS:
            return
        self._warned_ms[name] = now_ms
        problem = receipts.problem or f"the response status was {receipts.status}"
        yield Emit(
            Event(name="push_refused", operation="receive", detail=name, gateway=name),
            warning=f"The gateway {name} received a push of receipts that is not accepted: {problem}. "
            "This is logged at most once a minute.",
        )

    def _record(self, reported: Sequence[Reported]) -> Flow[None]:
        """Record deliveries, and emit an event for each one that is new."""
        settled = [each for each in reported if each.delivery.state in _ARRIVED]
        if not settled:
            return
        config, tallies = self._config, self._config.tallies
        while True:
            receipts = [self._receipt(each) for each in settled]
            try:
                replies = yield from run_together(receipts)
            except SeveralSlots:
                if receipts[0].keys[0] == receipts[0].keys[1]:  # They count nothing.
                    raise
                tallies.part()
                continue
            break
        figures = []
        for each, found in zip(settled, replies, strict=True):
            if found is not None:
                name = each.served_by.partition(" ")[0] or each.delivery.gateway
                bucket = bucket_of(found.elapsed_ms) if each.delivery.state == "delivered" else ""
                figures.append(f" {each.subject.region} {name} {each.delivery.state[0]}{bucket}")
                report = Report(each.subject, "receive")
                report.operation_id = each.operation if len(each.operation) == ID_BYTES else b""
                detail = f"{name} {each.delivery.result_code}".strip()
                if config.listener is not None:
                    event = _ARRIVED[each.delivery.state]
                    yield Emit(report.event(event, detail=detail, gateway=name, duration_ms=found.elapsed_ms))
        if receipts[0].keys[0] == receipts[0].keys[1]:
            yield from add(config, new_id(), figures)

    def _receipt(self, each: Reported) -> RunScript[Received | None]:
        config, region = self._config, each.subject.region
        stats_key, _ = config.tallies.places[region]
        name = each.served_by.partition(" ")[0] or each.delivery.gateway
        return config.scripts.receive(
            phone_key=each.subject.phone_key,
            stats_key=stats_key,
            now=dated(config.now_arg(), f" {region} {name} " if stats_key else ""),
            operation=each.operation,
            served_by=each.served_by,
            state=each.delivery.state[0],
        )

    def revoke(
        self,
        phone: object,
        purpose: str,
        bind: str,
        region: str | None = None,
        *,
        actor: object = "",
        reason: object = "",
    ) -> Flow[None]:
        subject = self._subject(phone, purpose, bind, region)
        operator = read_operator(self._config, actor, reason)
        flow = self._revoke(subject)
        # Without an operator, it is the application's own call, as when its user asks for another number.
        return self._audited("revoke", "revoked", subject, operator, flow) if any(operator) else flow

    def _revoke(self, subject: Subject) -> Flow[None]:
        config = self._config
        yield from run(
            config.scripts.revoke(
                phone_key=subject.phone_key, now=config.now_arg(), challenge_field=subject.challenge_field
            )
        )
        yield from self._tell(Report(subject, "revoke"), "revoked")

    def unblock(
        self, phone: object, region: str | None = None, *, actor: object = "", reason: object = ""
    ) -> Flow[None]:
        subject = self._subject(phone, "operator", "", region)
        operator = read_operator(self._config, actor, reason)
        return self._audited("unblock", "unblocked", subject, operator, self._unblock(subject))

    def _unblock(self, subject: Subject) -> Flow[None]:
        config = self._config
        yield from run(
            config.scripts.unblock(phone_key=subject.phone_key, counter_key=subject.counter_key, now=config.now_arg())
        )
        yield from self._tell(Report(subject, "unblock"), "unblocked")

    def gateways(self) -> Flow[tuple[GatewayStanding, ...]]:
        return gateways(self._config)

    def open_circuit(self, gateway: object, seconds: object, *, actor: object, reason: object) -> Flow[None]:
        return open_circuit(self._config, gateway, seconds, read_operator(self._config, actor, reason))

    def close_circuit(self, gateway: object, *, actor: object, reason: object) -> Flow[None]:
        return close_circuit(self._config, gateway, read_operator(self._config, actor, reason))

    def spending(self) -> Flow[tuple[Spending, ...]]:
        return spending(self._config)

    def stats(self, hours: object) -> Flow[Stats]:
        return stats(self._config, hours)

    def erase(
        self, phone: object, region: str | None = None, *, actor: object = "", reason: object = ""
    ) -> Flow[Erased]:
        subject = self._subject(phone, "operator", "", region)
        operator = read_operator(self._config, actor, reason)
        return self._audited("erase", "erased", subject, operator, self._erase(subject))

    def _erase(self, subject: Subject) -> Flow[Erased]:
        config = self._config
        removed = yield from run(
            config.scripts.erase(
                device_key=subject.device_key,
                phone_key=subject.phone_key,
                counter_key=subject.counter_key,
                now=config.now_arg(),
            )
        )
        yield from self._tell(Report(subject, "erase"), "erased")
        return Erased(
            sends=removed.sends,
            challenges=removed.challenges,
            wrong_codes=removed.wrong_codes,
            proofs=removed.proofs,
            consecutive_failures=removed.consecutive_failures,
            records=removed.records,
        )

    def audit(self, phone: object, since: datetime | None, limit: int, region: str | None = None) -> Flow[Audit]:
        phone_id = "" if phone is None else self._subject(phone, "operator", "", region).phone_id
        return read_audit(self._config, phone_id, since, limit)

    def _audited(self, operation: str, action: str, subject: Subject, operator: Operator, flow: Flow[T]) -> Flow[T]:
        target = Target(phone_id=subject.phone_id, region=subject.region)
        return audited(self._config, flow, operation=operation, action=action, operator=operator, target=target)

    def check_device(self, token: object, phone: object, region: str | None = None) -> Flow[datetime | None]:
        config = self._config
        subject = self._subject(phone, "device", "", region)
        since = subject.device_since(token)
        if since is None:
            return None
        check = config.scripts.check_device(device_key=subject.device_key, now=config.now_arg(), device_since=since)
        return from_ms(since) if (yield from run(check)) else None

    def forget_devices(
        self, phone: object, region: str | None = None, *, actor: object = "", reason: object = ""
    ) -> Flow[None]:
        subject = self._subject(phone, "operator", "", region)
        operator = read_operator(self._config, actor, reason)
        return self._audited("forget_devices", "devices_forgotten", subject, operator, self._forget_devices(subject))

    def _forget_devices(self, subject: Subject) -> Flow[None]:
        config = self._config
        yield from run(config.scripts.forget_devices(device_key=subject.device_key, now=config.now_arg()))
        yield from self._tell(Report(subject, "forget_devices"), "devices_forgotten")

    def guard_report(
        self, hours: int, phone: str | None, ip: str | None, region: str | None = None
    ) -> Flow[GuardReport]:
        number = None if phone is None else self._resolve(phone, region)[0]
        return guard_report(self._config, hours, number, ip)

    def override(
        self, action: str, scope: str, subject: str, seconds: int, *, actor: object = "", reason: object = ""
    ) -> Flow[None]:
        operator = read_operator(self._config, actor, reason)
        return override(self._config, action, scope, subject, seconds, operator)

    def _resolve(self, phone: object, region: str | None) -> tuple[str, str]:
        """Return a phone as E.164, and the region whose rules apply to it."""
        policy = self._config.policy
        if region is not None:
            check_region(region, policy.regions)
        return resolve(phone, policy.regions, region or policy.default_region)

    def _subject(self, phone: object, purpose: object, bind: object, region: str | None = None) -> Subject:
        canonical, served_region = self._resolve(phone, region)
        return Subject(self._config, canonical, purpose, bind, served_region)

    def _region_of(self, phone: str) -> str:
        """Return the region of a token's phone for the listener; "" if the policy no longer allows it."""
        if self._config.listener is not None:
            with suppress(PhoneError):
                return self._resolve(phone, None)[1]
        return ""

    def _claims(self, token: object, purpose: str, bind: str, phone: object, region: str | None) -> Claims:
        canonical = None
        if phone is not NOT_GIVEN:
            try:
                canonical, _ = self._resolve(phone, region)
            except PhoneError:
                canonical = ""  # A value that is not a phone, such as None, never matches the token's phone.
        return self._config.signer.read(token, check_purpose(purpose), check_bind(bind), canonical)

    def _watch(self, report: Report, done: str, flow: Flow[T], ip: object = None) -> Flow[T]:
        """Return the flow, or one that also reports its result if there is a listener.

        Without `done`, success has no event of its own.
        """
        return flow if self._config.listener is None else self._watched(report, done, flow, ip)

    def _watched(self, report: Report, done: str, flow: Flow[T], ip: object) -> Flow[T]:
        elapsed_s = self._config.elapsed_s
        began_s = elapsed_s()
        if ip is not None and read_visitor(ip) is None:
            yield Emit(report.event("ip_not_counted"))
        try:
            result = yield from flow
        except OTPError as error:
            yield Emit(report.refused(error, round(1000 * (elapsed_s() - began_s))))
            raise
        if done or report.replayed:
            yield Emit(report.done(done, result, round(1000 * (elapsed_s() - began_s))))
        return result

    def _tell(self, report: Report, name: str) -> Flow[None]:
        if self._config.listener is not None:
            yield Emit(report.event(name))


def _op_of(delivery: Delivery) -> bytes:
    """Return a send's operation id, or the beginning of it; b"" if the gateway's message id identifies the message.

    Raises ValueError if neither does.
    """
    if not delivery.send_id:
        return b""
    try:
        return decode_start(delivery.send_id)
    except ValueError:
        if not delivery.message_id:
            raise
        return b""


def _take_back(undo: RunScript[bool], unconfirmed: Unconfirmed) -> Flow[StoreUnavailableError]:
    """Take back a change that too few replicas confirmed, and return the error to raise."""
    with suppress(OTPError):
        if (yield from run(undo)):
            return unconfirmed
    return StoreUnavailableError(
        "Too few replicas confirmed the use of a code or a proof, and it could not be taken back. Nothing was "
        "granted, but the code or proof may be used up.",
        "Issue a new code. With an idempotency_key, the same call may be repeated.",
    )


def _wrong(attempts_left: int) -> tuple[str, str]:
    remedy = "let the user try again" if attempts_left else "issue a new code"
    return f"The code is wrong and was counted. Attempts left: {attempts_left}.", f"The form should {remedy}."
