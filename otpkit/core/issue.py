"""One issue: reserve, send, settle.

Reserving comes first: every code that a user can receive can then be verified, and fifty parallel calls send one
message. Once the gateway has the message, its outcome counts, whatever happens in Redis. No message is ever sent again
automatically.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from otpkit.core.budgets import Bill, Purse
from otpkit.core.circuits import note_error
from otpkit.core.config import Config, FixedCode, check_fixed_life
from otpkit.core.crypto import encode_id, new_ids
from otpkit.core.dispatch import ABOUT_THE_PHONE, Dispatch, send_by
from otpkit.core.figures import add, add_refusal
from otpkit.core.limits import NOTHING_CONSUMED, Charge, consume, consume_beside, ip_limits, refund, send_limits
from otpkit.core.report import Report
from otpkit.core.routing import Member
from otpkit.core.scripts.limits import Refusal, WideLimit
from otpkit.core.scripts.money import MoneyCharge, Shortage
from otpkit.core.scripts.parse import Blocked, Described, Limited
from otpkit.core.scripts.sends import (
    CaptchaAsked,
    Misdated,
    Refused,
    Replayed,
    Reserved,
    ReserveReply,
    Settled,
    Unaffordable,
)
from otpkit.core.spending import FOREIGN_REPLY, Payment
from otpkit.core.subject import IDEMPOTENCY_BYTES, NO_DEVICE, Subject
from otpkit.core.tallies import NO_GATEWAY, dated
from otpkit.core.tokens import from_ms
from otpkit.effects import Flow, RunScript, SeveralSlots, Unconfirmed, run
from otpkit.errors import (
    BlockedError,
    ConfigurationError,
    GatewayRejectedError,
    OTPError,
    RateLimitError,
    StoreUnavailableError,
)
from otpkit.gateways.base import Channel, Message, Receipt
from otpkit.gateways.provider import message_id
from otpkit.guard.elsewhere import Counting
from otpkit.guard.protection import NOT_GUARDED
from otpkit.guard.screening import NO_ARGUMENTS, Screening
from otpkit.models import Challenge

_Decision: TypeAlias = Reserved | Replayed | Limited | Unaffordable | Blocked | Refused | CaptchaAsked

_MAX_RECORD = 64  # In bytes. For longer values, Redis gives up its compact encoding.
_LEAST_LIFE_S = 10  # The life of a code when its message leaves: the user must still receive and type it.
# The scopes that keep a rejected send counted. A loop over bad numbers must not be free, and after "rate_limit" the
# carriers have counted the message too.
_KEPT = {"number": frozenset({"phone", "ip"}), "rate_limit": frozenset({"phone", "ip", "region", "total"})}
_GATEWAY_WAIT_S = 60  # The shortest window of carriers, for a gateway that reports no waiting time.

BLOCKED = (
    "Too many consecutive wrong codes for this phone.",
    "An operator who knows the user can call unblock(phone).",
)


class IssueRequest(NamedTuple):
    """The arguments of `issue`. `OTP.issue` documents them."""

    phone: object
    purpose: str
    bind: str
    ip: object
    params: Mapping[str, str] | None
    idempotency_key: str | None
    channel: Channel
    region: str | None
    device: object = None
    captcha: object = None
    known: bool = False
    budget_key: str | None = None
    discreet: bool = False


class Issue:
    """One call of `issue`, from the checks of its arguments to its settlement."""

    # Class attributes: most calls change none of them.
    payment: Payment | None = None
    stats_key = ""
    """The key of the figures, if the phone's own scripts count; else ""."""
    money_key = ""
    refunds = ""
    """What budgets get back when the send is settled."""
    screening: Screening | None = None
    device = 0
    """1 if the send was reserved with a valid device token."""
    is_open = False
    """True if the circuit of the gateway that served was open."""
    kind = b"issue"
    """The kind of the idempotency keys."""
    is_relayed = False
    """True for a code that another system keeps."""

    def __init__(self, config: Config, subject: Subject, report: Report, request: IssueRequest) -> None:
        self.config = config
        self.subject = subject
        self.report = report
        self.request = request
        self.limits = ip_limits(config, "sends", request.ip)
        self.limits += send_limits(config, subject.region)
        self.charges: Sequence[Charge] = ()
        self.plan = config.routing.plan_for(subject.region)
        self.candidates = self.plan.candidates(request.channel)
        for member in self.candidates:
            template = member.template_for(subject.purpose)
            if request.params is not None:  # Raise the template's errors before anything is reserved.
                template.sms_params("0" * config.policy.code_length, params=request.params)
        if config.purse is not None and (bill := self._known_bill(config.purse)) is not None:
            self.payment = Payment(config, report, bill)
            self.money_key = self.payment.money_key
        self.op, self.nonce = new_ids()
        report.operation_id = self.op
        self.leaves_by = 0.0  # The deadline by `Config.elapsed_s`.
        key = request.idempotency_key
        self.idempotency = b"" if key is None else subject.operation(self.kind, key, size=IDEMPOTENCY_BYTES)
        if config.protection is not None:
            self.screening = Screening(config.protection, config, subject, report, request)

    def run(self) -> Flow[Challenge]:
        """Reserve, send, settle; return the challenge."""
        fixed = (yield from self._fixed_in_force()) if self.config.fixed else None
        if fixed is not None:
            self.screening = None  # A fixed code is not sent, so there is nothing to protect.
        elif self.screening is not None and self.screening.has_questions:
            yield from self.screening.before()
        match (yield from self._reserve(fixed)):
            case Reserved() as reserved:
                if reserved.device:
                    self.device = 1
                self.report.now_ms, self.report.resent = reserved.now_ms, bool(reserved.nonce)
                if self.screening is not None and self.screening.is_news(reserved.judged):
                    yield from self.screening.found(reserved.judged)
                if reserved.alerts and self.payment is not None:
                    yield from self.payment.tell(reserved.alerts)
                return (yield from self._send(reserved, fixed))
            case Replayed() as earlier:
                self.report.now_ms, self.report.replayed = earlier.now_ms, True
                self.op = earlier.send
                return self.subject.challenge(earlier.now_ms, earlier.described, replayed=True)
            case Limited() as hit:
                self.report.now_ms = hit.now_ms
                raise hit.error(self.subject)
            case Unaffordable() as short:
                self.report.now_ms = short.now_ms
                if self.payment is None:
                    raise StoreUnavailableError(*FOREIGN_REPLY)
                raise (yield from self.payment.refuse(short, self.subject))
            case Blocked():
                raise BlockedError(*BLOCKED)
            case (Refused() | CaptchaAsked()) as refusal if self.screening is not None:
                self.report.now_ms = refusal.now_ms
                raise (yield from self.screening.error(refusal))
            case _:
                raise StoreUnavailableError(*FOREIGN_REPLY)  # There is no guard.

    def _send(self, reserved: Reserved, fixed: FixedCode | None) -> Flow[Challenge]:
        """Send the message of a reservation, and settle it. A fixed code is not sent."""
        described = reserved.described
        if fixed is None:
            self.leaves_by += (described.ends_ms - reserved.now_ms) / 1000
            member, receipt = yield from self._dispatch(reserved)
            record = self._record(member, receipt)
            figures = self._sent(member, receipt)
            if self.payment is not None:
                self.refunds = self.payment.unspent(self.report.served or (member.name,))
        else:
            receipt, record, figures = Receipt("fixed"), "", []
        settled = yield from self._settle(receipt, record, figures)
        now_ms, resend_ms, sends_left = settled or (reserved.now_ms, described.resend_ms, described.sends_left)
        self.report.now_ms = now_ms
        ends_ms, _, attempts_left, _, _, generation, is_fixed, _ = described
        described = Described(
            ends_ms, resend_ms, attempts_left, sends_left, receipt.outcome, generation, is_fixed, record
        )
        return self.subject.challenge(now_ms, described)

    @property
    def _has_fixed_code(self) -> bool:
        """True if the phone and the purpose have a fixed code, in force or not."""
        return bool(self.config.fixed) and (self.subject.phone, self.subject.purpose) in self.config.fixed

    def _fixed_in_force(self) -> Flow[FixedCode | None]:
        config, subject = self.config, self.subject
        fixed = config.fixed.get((subject.phone, subject.purpose))
        if fixed is None:
            return None
        status = config.scripts.status(
            phone_key=subject.phone_key, now=config.now_arg(), challenge_field=subject.challenge_field
        )
        now_ms = (yield from run(status)).now_ms
        check_fixed_life(fixed, now_ms / 1000)
        return fixed if now_ms < subject.fixed_ends_ms else None

    def _known_bill(self, purse: Purse) -> Bill | None:
        """Return what the message may cost, or None if no budget counts it."""
        request, subject = self.request, self.subject
        if self._has_fixed_code:
            return None  # A fixed code is not sent.
        key = request.budget_key
        if request.params is not None or not (key is None or type(key) is str):
            return self._bill(purse)
        return purse.remembered((subject.region, subject.purpose, request.channel, key), lambda: self._bill(purse))

    def _bill(self, purse: Purse) -> Bill | None:
        costs, request, purpose = self.config.costs, self.request, self.subject.purpose
        segments = {
            member.name: costs.segments(member, purpose, member.channel_for(request.channel), request.params) or 1
            for member in self.candidates
        }
        return purse.bill(
            plan=self.plan,
            candidates=self.candidates,
            region=self.subject.region,
            purpose=purpose,
            channel=request.channel,
            key=request.budget_key,
            segments=segments,
        )

    def _reserve(self, fixed: FixedCode | None) -> Flow[_Decision]:
        if self.counting is not None:
            refusal = yield from self._count_elsewhere()
        else:
            self.charges, refusal = (yield from consume(self.config, self.limits)) if self.limits else NOTHING_CONSUMED
        config, payment = self.config, self.payment
        money: MoneyCharge | Shortage | None = None
        while True:
            if payment is not None and refusal is None:  # A limit that refused on another node outranks the money.
                if self.config.clustered:
                    money = yield from payment.charge(privileged=(yield from self._is_privileged_elsewhere()))
                else:
                    money = payment.due(privileged=self._is_privileged())
            unconfirmed: Unconfirmed | None = None
            call = self._reservation(fixed, refusal, money)
            self.leaves_by = self.config.elapsed_s() - _LEAST_LIFE_S
            try:
                reply = yield from run(call)
            except Unconfirmed as error:
                unconfirmed = error
            except SeveralSlots:
                if not self.stats_key:
                    raise
                config.tallies.part()
                continue
            if unconfirmed is not None:
                yield from self._withdraw()
                raise unconfirmed
            if not isinstance(reply, Misdated):
                break
            if payment is None:
                raise StoreUnavailableError(*FOREIGN_REPLY)
            payment.misdated(reply)
        if not isinstance(reply, Reserved):
            if self.charges:
                yield from refund(self.config, self.charges)
            if self.counting is not None:
                yield from self.counting.give_back()
            yield from self._give_back(self._unspent())
        if not self.stats_key and (what := self._refusal_figure(reply)):
            yield from add_refusal(config, self.op, self.subject.region, what)
        return reply

    def _refusal_figure(self, reply: _Decision) -> str:
        """Return what is counted of a reservation's reply; "" for nothing."""
        match reply:
            case Limited():
                return f"l{reply.scope}"
            case Unaffordable():
                return "lbudget"
            case Blocked():
                return "lblocked"
            case Refused():
                return "grefused"
            case CaptchaAsked():
                return "gcaptcha"
            case Reserved() if self.screening is not None and self.screening.observes(reply.judged):
                return "gobserved"
        return ""

    @property
    def counting(self) -> Counting | None:
        """The guard's scopes, if they lie on other nodes than the phone."""
        return None if self.screening is None else self.screening.counting

    def _count_elsewhere(self) -> Flow[Refusal | None]:
        """On a cluster, take from the wide limits and count in the guard's scopes, side by side."""
        screening, counting = self.screening, self.counting
        if screening is None or counting is None:
            return None
        others, failure = screening.counts(self.op), None
        try:
            self.charges, refusal, found = yield from consume_beside(self.config, self.limits, others)
            yield from counting.take(found)
        except OTPError as error:
            failure = error
        if failure is not None:  # Some of the nodes may have counted it.
            yield from counting.give_back()
            raise failure
        return refusal

    def _is_privileged(self) -> bool:
        """Return True if the message may spend what budgets keep. A valid device may too: see reserve.lua."""
        request, protection = self.request, self.config.protection
        return request.known or (
            protection is not None and protection.has_safe and protection.is_safe(self.subject.phone, request.ip)
        )

    def _is_privileged_elsewhere(self) -> Flow[bool]:
        """Return `_is_privileged` on a cluster. There, the phone's node is asked first if the device is valid."""
        request, config = self.request, self.config
        if self._is_privileged():
            return True
        if request.device is None:
            return False
        key, since = self.subject.device_claim(request.device)
        if not isinstance(since, int):
            return False
        return (yield from run(config.scripts.check_device(device_key=key, now=config.now_arg(), device_since=since)))

    def _unspent(self) -> str:
        """Return what budgets get back if nothing was sent."""
        return "" if self.payment is None else self.payment.unspent()

    def _give_back(self, refunds: str, *, was_sent: bool = False) -> Flow[None]:
        """On a cluster, give money back to budgets. On one server, the phone's own scripts do."""
        if refunds and self.payment is not None:
            yield from self.payment.give_back(refunds, was_sent=was_sent)

    def _reservation(
        self, fixed: FixedCode | None, refusal: Refusal | None, money: MoneyCharge | Shortage | None
    ) -> RunScript[ReserveReply]:
        config, subject = self.config, self.subject
        device_key, device_since = (
            NO_DEVICE if self.request.device is None else subject.device_claim(self.request.device)
        )
        screened = NO_ARGUMENTS if self.screening is None else self.screening.arguments()
        guard, guard_keys, answer_key, captcha = screened
        self.stats_key, label = config.tallies.places[subject.region]
        return config.scripts.reserve(
            phone_key=subject.phone_key,
            counter_key=subject.counter_key,
            stats_key=self.stats_key,
            now=dated(config.now_arg(), label),
            operation=self.op,
            challenge_field=subject.challenge_field,
            fresh=self._fresh(fixed),
            idempotency=self.idempotency,
            known_keys=config.keys.ids,
            device_key=device_key,
            device_since=device_since,
            limits=self._charged(),
            refusal=refusal,
            guard=guard,
            guard_keys=guard_keys,
            captcha=captcha,
            answer_key=answer_key,
            money_key=self.money_key,
            money=money,
        )

    def _withdraw(self) -> Flow[None]:
        """Undo a reservation that too few replicas confirmed. Nothing is sent; the idempotency key is free again."""
        config, (guard, guard_keys) = self.config, self._uncounting()
        undo = config.scripts.undo(
            phone_key=self.subject.phone_key,
            now=config.now_arg(),
            operation=self.op,
            stays_counted=0,
            reserved_ms=0,
            device=0,
            guard=guard,
            guard_keys=guard_keys,
            refunds=self._unspent(),
            money_key=self.money_key,
        )
        with suppress(OTPError):
            if (yield from run(undo)).undone:
                yield from refund(config, self.charges)
            if self.counting is not None:
                yield from self.counting.give_back()
        yield from self._give_back(self._unspent())

    def _fresh(self, fixed: FixedCode | None) -> bytes:
        """Return a fresh challenge. The code is a local of this frame only, and of none that waits for Redis."""
        key, packed = self.config.keys.current, self.subject.packed
        code = key.code(self.nonce, packed, self.config.policy.code_length) if fixed is None else fixed.code
        return key.challenge(self.nonce, packed, code, fixed=fixed is not None)

    def _charged(self) -> tuple[WideLimit, ...]:
        """Return the wider limits that the phone's own script charges."""
        return () if self.config.clustered else self.limits

    def _dispatch(self, reserved: Reserved) -> Flow[tuple[Member, Receipt]]:
        failure: OTPError
        try:
            if len(self.candidates) == 1:
                member = self.candidates[0]
                message = self._message(member, reserved)
                params = self.request.params
                receipt = yield from send_by(self.config, self.report, member, message, self._left_s, params)
                if receipt.outcome == "uncertain":
                    yield from note_error(self.config, member, "uncertain", "")
                return member, receipt
            return (yield from self._in_turn(reserved))
        except (GatewayRejectedError, ConfigurationError) as error:
            failure = error
        if isinstance(failure, GatewayRejectedError):
            if not self.report.rejected:
                self.report.rejected = (self.candidates[0].name,)
            wait_ms = yield from self._undo(
                _KEPT.get(failure.category, frozenset()), self._rejected(failure.category), reserved_ms=reserved.now_ms
            )
            if len(self.candidates) == 1 and failure.category not in ABOUT_THE_PHONE:
                yield from note_error(self.config, self.candidates[0], failure.category, failure.gateway_code)
            raise (yield from self._gateway_limit(failure, wait_ms)) if failure.category == "rate_limit" else failure
        # The message may still be on its way.
        receipt = Receipt("", outcome="uncertain")
        yield from self._settle(receipt, "", self._sent(self.candidates[0], receipt))
        raise failure

    def _in_turn(self, reserved: Reserved) -> Flow[tuple[Member, Receipt]]:
        def compose(member: Member) -> Message:
            return self._message(member, reserved)

        dispatch = Dispatch(
            config=self.config,
            report=self.report,
            plan=self.plan,
            candidates=self.candidates,
            compose=compose,
            left=self._left_s,
            params=self.request.params,
        )
        member, receipt, self.is_open = yield from dispatch.run(reserved.before, reserved.now_ms)
        return member, receipt

    def _left_s(self) -> float:
        """Return the seconds within which the message must leave, so that its code lives long enough."""
        return self.leaves_by - self.config.elapsed_s()

    def _message(self, member: Member, reserved: Reserved) -> Message:
        template, code = member.template_for(self.subject.purpose), self._code(reserved)
        params = template.sms_params(code, minutes=self._minutes(reserved), params=self.request.params)
        channel = self.report.channel = member.channel_for(self.request.channel)
        sent_at = from_ms(reserved.now_ms)
        return Message(self.subject.phone, code, template, params, encode_id(self.op), sent_at, channel)

    def _code(self, reserved: Reserved) -> str:
        """Return the code to send."""
        config = self.config
        key = config.keys.by_id[reserved.key_id] if reserved.key_id else config.keys.current
        return key.code(reserved.nonce or self.nonce, self.subject.packed, config.policy.code_length)

    def _minutes(self, reserved: Reserved) -> int:
        """Return the life of the code, for the message."""
        return max(1, (reserved.described.ends_ms - reserved.now_ms) // 60_000)

    def _record(self, member: Member, receipt: Receipt) -> str:
        """Return the stored record of the gateway that served; "" if there is only one and no message id to keep."""
        its_id = message_id(receipt.message_id) if member.gateway.keeps_message_id(self.subject.phone) else ""
        if not its_id and self.config.routing.only is not None:
            return ""
        record = f"{member.name} {its_id}".rstrip()
        return record if len(record) <= _MAX_RECORD else member.name

    def _uncounting(self) -> tuple[str, tuple[str, ...]]:
        """Return the guard's argument and keys of a script that no longer counts the send."""
        return NOT_GUARDED if self.screening is None else self.screening.uncounting()

    def _sent(self, member: Member, receipt: Receipt) -> list[str]:
        """Return what is counted of a message that `member` has or may have, and of the other gateways' answers."""
        region, report = self.subject.region, self.report
        other_system = "o" if self.is_relayed else ""
        figures = [f" {region} {member.name} {other_system}{receipt.outcome[0]}{self._micros(member)}"]
        if len(report.served) > 1 or report.rejected:
            others = [other for other in self.candidates if other.name in report.served and other is not member]
            figures += [f" {region} {other.name} {other_system}u{self._micros(other)}" for other in others]
            figures += self._rejected()
        return figures

    def _micros(self, member: Member) -> int:
        """Return what the message costs by a gateway, in millionths; 0 without a price."""
        costs, request, subject = self.config.costs, self.request, self.subject
        if not costs.currency:
            return 0
        channel = member.channel_for(request.channel)
        return costs.of(member, subject.region, subject.purpose, channel, request.params).micros or 0

    def _rejected(self, category: str = "") -> list[str]:
        """Return what is counted of the gateways that refused the message, the last of them for this reason."""
        region = self.subject.region
        limited = [f" {region} {NO_GATEWAY} lgateway"] if category == "rate_limit" else []
        return [f" {region} {name} r" for name in self.report.rejected] + limited

    def _settle(self, receipt: Receipt, record: str, figures: Sequence[str] = ()) -> Flow[Settled | None]:
        config = self.config
        guard, guard_keys = NOT_GUARDED
        # While a gateway's circuit is open, an uncertain send says more about the gateway than about the visitor.
        if self.is_open and receipt.outcome == "uncertain" and self.screening is not None:
            guard, guard_keys = self.screening.uncounting()
        settle = config.scripts.settle(
            phone_key=self.subject.phone_key,
            stats_key=self.stats_key,
            now=dated(config.now_arg(), figures[0] if figures and self.stats_key else ""),
            figures=figures[1:] if self.stats_key else (),
            operation=self.op,
            outcome=receipt.outcome[0],
            served_by=record,
            device=self.device,
            guard=guard,
            guard_keys=guard_keys,
            refunds=self.refunds,
            money_key=self.money_key,
        )
        settled = None
        try:  # `suppress` would cost every issue half a microsecond.
            settled = yield from run(settle)
            if guard and self.counting is not None:
                yield from self.counting.uncount()
        except OTPError:
            pass  # The gateway has the message: its outcome counts.
        if self.refunds:
            yield from self._give_back(self.refunds, was_sent=True)
        if not self.stats_key:
            yield from add(config, self.op, figures)
        return settled

    def _undo(self, kept: frozenset[str], figures: list[str], *, reserved_ms: int) -> Flow[int]:
        """Take back a send that was certainly not made, except from the scopes that keep it counted."""
        config = self.config
        guard, guard_keys = self._uncounting()
        undo = config.scripts.undo(
            phone_key=self.subject.phone_key,
            stats_key=self.stats_key,
            now=dated(config.now_arg(), "\n".join(figures) if self.stats_key else ""),
            operation=self.op,
            stays_counted=int("phone" in kept),
            reserved_ms=reserved_ms,
            device=self.device,
            limits=[limit for limit in self._charged() if limit.scope not in kept],
            guard=guard,
            guard_keys=guard_keys,
            refunds=self._unspent(),
            money_key=self.money_key,
        )
        wait_ms = 0
        with suppress(OTPError):  # The send then stays counted, and its delivery uncertain, which is the safe side.
            undone, wait_ms = yield from run(undo)
            if undone:
                yield from refund(config, [charge for charge in self.charges if charge.limit.scope not in kept])
            if self.counting is not None:
                yield from self.counting.uncount()
        yield from self._give_back(self._unspent())
        if not self.stats_key:
            yield from add(config, self.op, figures)
        return wait_ms

    def _gateway_limit(self, rejection: GatewayRejectedError, wait_ms: int) -> Flow[RateLimitError]:
        challenge = None
        with suppress(OTPError):
            challenge = yield from self.subject.find_challenge(self.request.device)
        # The send stays counted, so the phone's own limits may last longer than the gateway's.
        wait = max(rejection.retry_after or _GATEWAY_WAIT_S, math.ceil(wait_ms / 1000))
        return RateLimitError(
            f"The gateway {rejection.gateway} limits messages to this phone. Nothing was sent.",
            f"Try again in {wait} s.",
            scope="gateway",
            retry_after=wait,
            challenge=challenge,
        )
