"""Dispatch a message: to one gateway, or to the next one if the first can't serve.

One call of `issue` sends at most one message, or at most one for each gateway with `Failover(on_uncertain="next")`.
After an uncertain send, no later rejection can make it certain that nothing was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from otpkit.core.circuits import gateways_key, note_error, notes_key
from otpkit.core.config import Config
from otpkit.core.crypto import encode_id
from otpkit.core.report import Report
from otpkit.core.routing import Member, Plan
from otpkit.core.scripts.circuit import Circuit
from otpkit.core.scripts.sends import Before
from otpkit.effects import Emit, Flow, NotStarted, outbound, run
from otpkit.errors import ConfigurationError, GatewayRejectedError, OTPError
from otpkit.gateways.base import Channel, Message, Receipt
from otpkit.models import Event

ABOUT_THE_PHONE = frozenset({"number", "rate_limit"})
"""The rejections after which no other gateway is tried: another one would bypass the carriers' limits."""


def send_by(
    config: Config,
    report: Report,
    member: Member,
    message: Message,
    left: Callable[[], float],
    params: Mapping[str, str] | None,
) -> Flow[Receipt]:
    """Let one gateway send the message. An exception that is not a rejection makes the outcome uncertain.

    Args:
        config: the configuration.
        report: the report of the call.
        member: the gateway.
        message: the message.
        left: a function that returns the seconds within which the message must leave.
        params: the further variables of the message.

    Raises:
        GatewayRejectedError: it is certain that nothing was sent.
        ConfigurationError: the gateway raised it.
    """
    began_s = config.elapsed_s()
    receipt: Receipt | None = None
    failure: Exception = TypeError("the gateway returned no receipt")
    try:
        receipt = yield from outbound(member.name, member.gateway.send(message), left)
    except NotStarted as error:
        failure = GatewayRejectedError(
            f"The gateway {member.name} did not receive the message, so nothing was sent: {error}.",
            "The operator should find out why the gateway is slow. The same call may succeed later.",
            gateway=member.gateway.name,
            category="connection",
            concerns="message",
        )
    except Exception as error:  # noqa: BLE001 - Each kind is handled below.
        failure = error
    if config.listener is not None:
        yield Emit(_sent(config, report, member, message.channel, params, receipt or failure, began_s))
    if receipt is not None:
        return receipt
    if isinstance(failure, (GatewayRejectedError, ConfigurationError)):
        raise failure
    # In any other case the message may be on its way. The error's text may contain the code, so it is not shown.
    kind = type(failure).__name__
    yield Emit(
        report.event("gateway_failed", detail=kind, gateway=member.name),
        warning=f"The gateway {member.name} raised {kind}, so the outcome is uncertain. Correct the gateway.",
    )
    return Receipt(member.gateway.name, outcome="uncertain")


def _sent(
    config: Config,
    report: Report,
    member: Member,
    channel: Channel,
    params: Mapping[str, str] | None,
    outcome: Receipt | Exception,
    began_s: float,
) -> Event:
    """Return the event of one send. A rejected message costs nothing."""
    cost = config.costs.of(member, report.subject.region, report.subject.purpose, channel, params)
    word: str
    word, detail, price = "uncertain", "", cost.price
    match outcome:
        case Receipt():
            word = outcome.outcome
        case GatewayRejectedError():
            word, detail, price = "rejected", f"{outcome.category} {outcome.gateway_code}".strip(), ""
        case _:
            detail = type(outcome).__name__
    return report.event(
        "sent",
        word,
        detail,
        gateway=member.name,
        duration_ms=round(1000 * (config.elapsed_s() - began_s)),
        segments=cost.segments,
        price=price,
    )


class Dispatch(NamedTuple):
    """One message, and the gateways that may carry it, in order.

    `compose` returns the message for one gateway. `left` returns the seconds within which the message must leave.
    `params` are its further variables.
    """

    config: Config
    report: Report
    plan: Plan
    candidates: tuple[Member, ...]
    compose: Callable[[Member], Message]
    left: Callable[[], float]
    params: Mapping[str, str] | None

    def run(self, before: Before | None, now_ms: int) -> Flow[tuple[Member, Receipt, bool]]:
        """Send the message and return the gateway that served, its receipt, and True if its circuit was open.

        Args:
            before: the previous send of the same code, or None.
            now_ms: the time in server milliseconds.

        Raises the errors of `send_by`.
        """
        order = self._order(before, now_ms)
        states = yield from self._states(order)
        uncertain: tuple[Member, Receipt] | None = None
        refusal: GatewayRejectedError | None = None
        for member in sorted(order, key=lambda member: states[member.name] is Circuit.OPEN):
            if (uncertain or refusal) and self.left() <= 0:
                break  # The code would expire on the way.
            outcome = yield from self._attempt(member)
            if isinstance(outcome, Receipt):
                self.report.served += (member.name,)
                if outcome.outcome == "accepted":
                    if states[member.name]:
                        yield from self._served(member)
                    return member, outcome, states[member.name] is Circuit.OPEN
                uncertain = uncertain or (member, outcome)
                yield from self._failed(member, "uncertain")
                if not self.plan.tries_after_uncertain:
                    break
            else:
                refusal = outcome
                self.report.rejected += (member.name,)
                if refusal.category in ABOUT_THE_PHONE:
                    if states[member.name]:
                        yield from self._served(member)  # It judged the phone, so it works.
                    break
                counts = refusal.concerns == "gateway"
                yield from self._failed(member, refusal.category, refusal.gateway_code, counts=counts)
        if uncertain is not None:
            return *uncertain, states[uncertain[0].name] is Circuit.OPEN
        raise refusal or AssertionError("no gateway was tried")

    def _attempt(self, member: Member) -> Flow[Receipt | GatewayRejectedError]:
        """Let one gateway send; return a rejection as a value."""
        try:
            message = self.compose(member)
            return (yield from send_by(self.config, self.report, member, message, self.left, self.params))
        except GatewayRejectedError as rejection:
            return rejection

    def _order(self, before: Before | None, now_ms: int) -> tuple[Member, ...]:
        """Return the gateways in order: after an undelivered message, start behind its gateway if so planned."""
        after_ms = self.plan.undelivered_after_ms
        if before is None or after_ms is None:
            return self.candidates
        is_overdue = before.delivery == "failed" or (
            before.delivery != "delivered" and now_ms - before.sent_ms >= after_ms
        )
        place = next((i for i, member in enumerate(self.candidates, 1) if member.name == before.gateway), 0)
        return self.candidates[place:] + self.candidates[:place] if is_overdue else self.candidates

    def _states(self, members: Sequence[Member]) -> Flow[dict[str, Circuit]]:
        names = [member.name for member in members]
        states = [Circuit.CLOSED] * len(names)
        circuit_state = self.config.scripts.circuit_state(
            gateways_key=gateways_key(self.config),
            notes_key=notes_key(self.config),
            now=self.config.now_arg(),
            names=names,
        )
        with suppress(OTPError):  # The message is more important than the order.
            states = yield from run(circuit_state)
        return dict(zip(names, states, strict=True))

    def _failed(self, member: Member, how: str, code: str = "", *, counts: bool = True) -> Flow[None]:
        """Report a failure. It `counts` towards opening the circuit if it concerns every message."""
        yield from note_error(self.config, member, how, code)
        opens = counts and (yield from self._record(member, served=False))
        detail = f"{member.name} {code}".strip()
        yield Emit(
            self.report.event("gateway_failed", how, detail, gateway=member.name),
            warning=f"The gateway {member.name} failed {self.plan.rest_after} times in a row and is skipped for now."
            if opens
            else "",
        )
        if opens:
            yield Emit(self.report.event("circuit_opened", how, detail, gateway=member.name))

    def _served(self, member: Member) -> Flow[None]:
        """Record that a gateway works again, and report it if its circuit was open."""
        if (yield from self._record(member, served=True)):
            yield Emit(self.report.event("circuit_closed", gateway=member.name))

    def _record(self, member: Member, *, served: bool) -> Flow[bool]:
        """Record that a gateway served or failed; return whether its circuit closes or opens now."""
        record_failure = self.config.scripts.record_failure(
            gateways_key=gateways_key(self.config),
            now=self.config.now_arg(),
            name=member.name,
            most_failures=0 if served else self.plan.rest_after,
            rest_ms=self.plan.rest_ms,
            operation=encode_id(self.report.operation_id),
        )
        with suppress(OTPError):
            return (yield from run(record_failure))
        return False
