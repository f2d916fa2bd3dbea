"""The facts that a call's events report beside its result, recorded while the call runs."""

from __future__ import annotations

from datetime import datetime

from otpkit.core.crypto import encode_id
from otpkit.core.subject import Subject
from otpkit.core.tokens import from_ms
from otpkit.errors import OTPError
from otpkit.models import Challenge, Event, Sent


class _Draft:
    """An event while its fields are set. It becomes a frozen `Event` at the end of `__init__`.

    A frozen dataclass sets each field by a function call, which would cost a verify a thirtieth of its time.
    """

    __slots__ = Event.__slots__

    def __init__(
        self,
        report: Report,
        name: str,
        outcome: str,
        detail: str,
        gateway: str,
        scope: str,
        challenge_id: str,
        duration_ms: int | None,
        reasons: tuple[str, ...],
        segments: int | None,
        price: str,
    ) -> None:
        subject = report.subject
        self.name = name
        self.operation = report.operation
        self.purpose = subject.purpose
        self.phone_id = subject.phone_id
        self.outcome = outcome
        self.detail = detail
        self.gateway = gateway
        self.region = subject.region
        self.scope = scope
        self.operation_id = encode_id(report.operation_id)
        self.challenge_id = challenge_id
        self.at: datetime | None = from_ms(report.now_ms) if report.now_ms else None
        self.channel = report.channel
        self.segments = segments
        self.price = price
        self.duration_ms = duration_ms
        self.reasons = reasons
        self.__class__ = Event  # type: ignore[assignment]  # The slots are the same.


class Report:
    """The facts of one call. The call sets each one when it is known; the events that follow include it.

    `operation` is the name of the call, `operation_id` the id of its send, verification or redemption. `now_ms` is the
    time of the server's latest reply. `served` are the gateways that have the message or may have it, `rejected` those
    that certainly don't have it. `replayed` is True if an idempotency key found the answer of an earlier call, `resent`
    if the code is that of an earlier message. `gateway` is that of a verified challenge's latest message.
    """

    # Class attributes, not slots: most calls set one or two, and every call makes a report.
    operation_id = b""
    now_ms = 0
    channel = ""
    gateway = ""
    served: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    replayed = False
    resent = False

    def __init__(self, subject: Subject, operation: str) -> None:
        self.subject = subject
        self.operation = operation

    def event(
        self,
        name: str,
        outcome: str = "",
        detail: str = "",
        *,
        gateway: str = "",
        scope: str = "",
        challenge_id: str = "",
        duration_ms: int | None = None,
        reasons: tuple[str, ...] = (),
        segments: int | None = None,
        price: str = "",
    ) -> Event:
        """Return an event of this call. It contains the pseudonym of the phone, not the number."""
        return _Draft(  # type: ignore[return-value]  # It has become an `Event`.
            self, name, outcome, detail, gateway, scope, challenge_id, duration_ms, reasons, segments, price
        )

    def done(self, name: str, result: object, duration_ms: int) -> Event:
        """Return the event of a call that returned `result` after `duration_ms` milliseconds."""
        name = "replayed" if self.replayed else "resent" if self.resent else name
        if isinstance(result, Challenge):
            gateway = result.gateway
            return self.event(
                name, result.delivery, gateway, gateway=gateway, challenge_id=result.id, duration_ms=duration_ms
            )
        if isinstance(result, Sent):
            return self.event(name, result.delivery, result.gateway, gateway=result.gateway, duration_ms=duration_ms)
        return _Draft(self, name, "", "", self.gateway, "", "", duration_ms, (), None, "")  # type: ignore[return-value]

    def refused(self, error: OTPError, duration_ms: int) -> Event:
        """Return the event of a call that raised `error` after `duration_ms` milliseconds."""
        scope, challenge = getattr(error, "scope", ""), getattr(error, "challenge", None)
        return self.event(
            "replayed" if self.replayed else "refused",
            error.code,
            scope or getattr(error, "gateway_code", ""),
            gateway=getattr(error, "gateway", ""),
            scope=scope,
            challenge_id="" if challenge is None else challenge.id,
            duration_ms=duration_ms,
        )
