"""A captcha whose answers say whether they are right. The world decides who solves it; see `people` and `attackers`."""

from __future__ import annotations

from typing import Final

from otpkit.captcha.base import Captcha, CaptchaCheck, Verdict
from otpkit.effects import Flow

_RIGHT: Final = "right"


class SimulatedCaptcha(Captcha):
    """A captcha of the simulator. It asks no provider."""

    name = "simulated"

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return its name alone: nobody shows it."""
        return {"provider": self.name}

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge an answer of `answer`."""
        return Verdict(answer.startswith(_RIGHT), "" if answer.startswith(_RIGHT) else "wrong")
        yield  # makes this function a flow, without effects


def answer(number: int, *, right: bool) -> str:
    """Return an answer. Each right one passes once, so each needs a number of its own.

    Args:
        number: the number.
        right: whether it passes.
    """
    return f"{_RIGHT if right else 'wrong'}-{number}"
