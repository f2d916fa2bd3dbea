"""What the events of one public call tell beside its result, noted while the call runs."""

from __future__ import annotations

from otpkit.core.crypto import encode_id
from otpkit.core.subject import Subject
from otpkit.core.tokens import from_ms
from otpkit.errors import OTPError
from otpkit.models import Challenge, Event


class Report:
    """The facts of one call: a call sets each when it knows it, and the events that follow tell it.

    `operation` is the call's name, `operation_id` that of its send, verification or redemption. `now_ms` is the time of
    the server's latest answer. `replayed` says that an idempotency key found an earlier call's answer, `resent` that
    the code is that of an earlier message.
    """

    # Class attributes, not slots: most calls set one or two, and every call pays for its report.
    operation_id = b""
    now_ms = 0
    channel = ""
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
    ) -> Event:
        """Return an event of this call. It names the subject by its pseudonym."""
        return Event(
            name=name,
            operation=self.operation,
            operation_id=encode_id(self.operation_id),
            challenge_id=challenge_id,
            at=from_ms(self.now_ms) if self.now_ms else None,
            purpose=self.subject.purpose,
            phone_id=self.subject.phone_id,
            region=self.subject.region,
            channel=self.channel,
            gateway=gateway,
            outcome=outcome,
            detail=detail,
            scope=scope,
            duration_ms=duration_ms,
        )

    def done(self, name: str, result: object, duration_ms: int) -> Event:
        """Return the event of a call that has returned."""
        name = "replayed" if self.replayed else "resent" if self.resent else name
        if isinstance(result, Challenge):
            gateway = result.gateway
            return self.event(
                name, result.delivery, gateway, gateway=gateway, challenge_id=result.id, duration_ms=duration_ms
            )
        return self.event(name, duration_ms=duration_ms)

    def refused(self, error: OTPError, duration_ms: int) -> Event:
        """Return the event of a call that has raised."""
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
