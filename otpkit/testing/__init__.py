"""Test code that uses otpkit: an outbox in place of a gateway, captchas that pass or fail, and a clock that tests can
move.

The pytest plug-in next to this module provides both as fixtures, with an `OTP` on the embedded store.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, overload

from otpkit.captcha.base import Captcha, CaptchaCheck, CaptchaSilent, Verdict
from otpkit.effects import Flow
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.base import Delivery, Gateway, Message, Receipt

DeliveryOutcome = Literal["pending", "delivered", "failed", "unknown"]


class Outbox(Gateway, Sequence[Message]):
    """A gateway that collects messages instead of sending them. `outbox[-1].code` is the latest code.

    It accepts every message, except after `reject_next` and `lose_next`.
    """

    name = "outbox"
    can_trace = True

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._failures: deque[GatewayRejectedError | None] = deque()
        self._lock = threading.Lock()
        self.delivery: DeliveryOutcome = "delivered"
        """The state that `otp.delivery()` returns for messages in the outbox."""

    def reject_next(self, error: GatewayRejectedError | None = None) -> None:
        """Reject the next message.

        Args:
            error: the error to raise; None is a rejection of the category `account`.
        """
        self._failures.append(
            error or GatewayRejectedError("Rejected as the test asked.", gateway=self.name, category="account")
        )

    def lose_next(self) -> None:
        """Make the outcome of the next message uncertain, as a gateway timeout does. The outbox does not keep it."""
        self._failures.append(None)

    def clear(self) -> None:
        """Remove all messages."""
        with self._lock:
            self._messages.clear()

    def send(self, message: Message) -> Flow[Receipt]:
        """Keep the message, or fail if `reject_next` or `lose_next` was called."""
        with self._lock:
            if self._failures:
                error = self._failures.popleft()
                if error is not None:
                    raise error
                return Receipt(self.name, outcome="uncertain")
            self._messages.append(message)
            return Receipt(self.name, message.send_id)
        yield  # makes this function a flow, without effects

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Return `self.delivery` for a message in the outbox, and `unknown` for any other."""
        known = any(message.send_id == send_id for message in self._messages)
        return Delivery(state=self.delivery if known else "unknown", gateway=self.name)
        yield  # makes this function a flow, without effects

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)

    def __repr__(self) -> str:
        return f"Outbox({self._messages!r})"


class _TestCaptcha(Captcha):
    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return the captcha's name, and the name of the form field."""
        return {"provider": self.name, "field": "captcha"}


class PassingCaptcha(_TestCaptcha):
    """A captcha that every answer passes, except the empty text. It asks nothing outside."""

    name = "passing"

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Return a verdict that passes."""
        passed = isinstance(answer, str) and bool(answer)
        return Verdict(passed, "" if passed else "malformed")
        yield  # makes this function a flow, without effects


class FailingCaptcha(_TestCaptcha):
    """A captcha that no answer passes. It asks nothing outside."""

    name = "failing"

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Return a verdict that does not pass."""
        return Verdict(False, "wrong")
        yield  # makes this function a flow, without effects


class SilentCaptcha(_TestCaptcha):
    """A captcha whose provider never answers, to test `Guard(fallback=…)`.

    Args:
        misconfigured: True as if the provider refused the keys.
    """

    name = "silent"

    def __init__(self, *, misconfigured: bool = False) -> None:
        self.misconfigured = misconfigured

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Raise `CaptchaSilent`."""
        raise CaptchaSilent(
            "The captcha is silent, as the test asked.", provider=self.name, misconfigured=self.misconfigured
        )
        yield  # makes this function a flow, without effects


class MovableClock:
    """A clock that stands still until it is moved. Pass it as `OTP(clock=…)`.

    Args:
        now: the time in seconds since the epoch; the default is 2026-01-01T00:00:00Z.
    """

    def __init__(self, now: float = 1_767_225_600.0) -> None:  # 2026-01-01T00:00:00Z
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock.

        Args:
            seconds: how far; negative moves it back, as a failover to a slower clock would.
        """
        self.now += seconds


__all__ = ["DeliveryOutcome", "FailingCaptcha", "MovableClock", "Outbox", "PassingCaptcha", "SilentCaptcha"]
