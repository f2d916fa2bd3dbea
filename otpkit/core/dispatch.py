"""Dispatch a message: to one gateway, or to the next where the first can't serve.

Whatever happens, one call of `issue` puts one message on the wire, or, with `Failover(on_uncertain="next")`, one for
each gateway. Once a send was uncertain, no later rejection makes it certain that nothing was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from otpkit.core.config import Config
from otpkit.core.crypto import encode_id
from otpkit.core.report import Report
from otpkit.core.routing import Member, Plan
from otpkit.core.scripts.circuit import Circuit
from otpkit.core.scripts.sends import Before
from otpkit.effects import Emit, Flow, NotStarted, outbound, run
from otpkit.errors import ConfigurationError, GatewayRejectedError, OTPError
from otpkit.gateways.base import Message, Receipt

_ABOUT_THE_PHONE = frozenset({"number", "rate_limit"})
"""The rejections after which no other gateway is tried: they would be got round, and the carriers' limits with them."""


def send_by(report: Report, member: Member, message: Message, left: Callable[[], float]) -> Flow[Receipt]:
    """Let one gateway send; what it raises that is no rejection is uncertain.

    `left` gives the seconds in which the message must leave. Raises `GatewayRejectedError` where certainly nothing was
    sent, `ConfigurationError` where the gateway raises it.
    """
    failure: Exception
    try:
        return (yield from outbound(member.name, member.gateway.send(message), left))
    except NotStarted as error:
        failure = GatewayRejectedError(
            f"The gateway {member.name} was not handed the message, so nothing was sent: {error}.",
            "The operator should look for what slows the gateway down. The same call may succeed later.",
            gateway=member.gateway.name,
            category="connection",
            concerns="message",
        )
    except Exception as error:  # noqa: BLE001 - each kind has its answer below
        failure = error
    if isinstance(failure, (GatewayRejectedError, ConfigurationError)):
        raise failure
    # Whatever it was, the message may be on its way; and its text may hold the code.
    kind = type(failure).__name__
    yield Emit(
        report.event("gateway_failed", detail=kind, gateway=member.name),
        warning=f"The gateway {member.name} raised {kind}, so the message is uncertain. Correct the gateway.",
    )
    return Receipt(member.gateway.name, outcome="uncertain")


class Dispatch(NamedTuple):
    """One message, and the gateways that may carry it, in turn.

    `compose` makes the message of one gateway, `left` gives the seconds in which it must leave.
    """

    config: Config
    report: Report
    plan: Plan
    candidates: tuple[Member, ...]
    compose: Callable[[Member], Message]
    left: Callable[[], float]

    def run(self, before: Before | None, now_ms: int) -> Flow[tuple[Member, Receipt]]:
        """Return who served, and its receipt; `before` is who sent the same code last. Raises what `send_by` raises."""
        order = self._order(before, now_ms)
        states = yield from self._states(order)
        uncertain: tuple[Member, Receipt] | None = None
        refusal: GatewayRejectedError | None = None
        for member in sorted(order, key=lambda member: states[member.name] is Circuit.OPEN):
            if (uncertain or refusal) and self.left() <= 0:
                break  # the code would have died on the way
            outcome = yield from self._attempt(member)
            if isinstance(outcome, Receipt):
                if outcome.outcome == "accepted":
                    if states[member.name]:
                        yield from self._record(member, served=True)
                    return member, outcome
                uncertain = uncertain or (member, outcome)
                yield from self._failed(member, "uncertain")
                if not self.plan.tries_after_uncertain:
                    break
            else:
                refusal = outcome
                if refusal.category in _ABOUT_THE_PHONE:
                    if states[member.name]:
                        yield from self._record(member, served=True)  # it judged a phone, so it works
                    break
                counts = refusal.concerns == "gateway"
                yield from self._failed(member, refusal.category, refusal.gateway_code, counts=counts)
        if uncertain is not None:
            return uncertain
        raise refusal or AssertionError("no gateway was tried")

    def _attempt(self, member: Member) -> Flow[Receipt | GatewayRejectedError]:
        """Let one gateway send; a rejection is a value here."""
        try:
            return (yield from send_by(self.report, member, self.compose(member), self.left))
        except GatewayRejectedError as rejection:
            return rejection

    def _order(self, before: Before | None, now_ms: int) -> tuple[Member, ...]:
        """Begin after the gateway whose last message has not arrived, where the plan says so."""
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
            gateways_key=self._key, now=self.config.now_arg(), names=names
        )
        with suppress(OTPError):  # the message matters more than the order
            states = yield from run(circuit_state)
        return dict(zip(names, states, strict=True))

    def _failed(self, member: Member, how: str, code: str = "", *, counts: bool = True) -> Flow[None]:
        """Tell of a failure; it `counts` towards a rest where it says something about every message."""
        opens = counts and (yield from self._record(member, served=False))
        detail = f"{member.name} {code}".strip()
        yield Emit(
            self.report.event("gateway_failed", how, detail, gateway=member.name),
            warning=f"The gateway {member.name} failed {self.plan.rest_after} times in a row and rests now."
            if opens
            else "",
        )

    def _record(self, member: Member, *, served: bool) -> Flow[bool]:
        """Record that a gateway served or failed; return whether its circuit opens now."""
        record_failure = self.config.scripts.record_failure(
            gateways_key=self._key,
            now=self.config.now_arg(),
            name=member.name,
            most_failures=0 if served else self.plan.rest_after,
            rest_ms=self.plan.rest_ms,
            operation=encode_id(self.report.operation_id),
        )
        with suppress(OTPError):
            return (yield from run(record_failure))
        return False

    @property
    def _key(self) -> str:
        return f"{self.config.namespace}:{{gateways}}:g"
