"""Providers whose behaviour a scenario chooses: gateways, and a captcha whose provider accepts an answer once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

from otpkit.captcha.base import Captcha, CaptchaCheck, CaptchaSilent, Verdict
from otpkit.effects import Call, Flow, NoAnswer
from otpkit.errors import GatewayRejectedError
from otpkit.gateways import Delivery, Gateway, Message, Push, Receipt, Receipts

ACCEPTED, UNCERTAIN = "accepted", "uncertain"
JUDGE = """
-- KEYS  1 an answer
return redis.call('SET', KEYS[1], '', 'NX') and 'right' or 'used'
"""
"""A captcha's provider, which accepts an answer once. Its memory is in Redis too, so that it is part of a state."""


def never(_: object) -> NoReturn:
    """Stand for what only a provider can do. The explorer performs the effect itself."""
    raise AssertionError("the explorer performs this effect")


class Wire(Gateway):
    """A gateway with some possible outcomes: `accepted`, `uncertain`, or the category of a rejection."""

    name: ClassVar[str] = "wire"

    def __init__(self, name: str = "wire", outcomes: Sequence[str] = (ACCEPTED,)) -> None:
        self.name = name  # type: ignore[misc]
        self.outcomes = tuple(outcomes)

    def transmit(self, message: Message) -> NoReturn:
        never(message)

    def send(self, message: Message) -> Flow[Receipt]:
        outcome = yield Call(self.transmit, message)
        if outcome == ACCEPTED:
            return Receipt(self.name)
        if outcome == UNCERTAIN:
            raise NoAnswer("the connection was cut")
        raise GatewayRejectedError("Rejected as the scenario asked.", gateway=self.name, category=outcome)

    def receipts(self, push: Push) -> Receipts:
        rows = json.loads(push.body)
        return Receipts(tuple(Delivery(state=state, phone=phone, send_id=send) for state, phone, send in rows))


def push(*rows: tuple[str, str, str]) -> Push:
    """Return a push of receipts: each with its state, its phone and its send id."""
    return Push("https://site.example/", {}, json.dumps(rows).encode())


class Puzzle(Captcha):
    """A captcha that every answer passes, for as long as it is not used. It asks nobody."""

    name: ClassVar[str] = "puzzle"

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        return {"provider": self.name}

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        return Verdict(passed=True)
        yield  # This makes the function a generator.


class Provided(Puzzle):
    """A captcha whose provider accepts an answer once."""

    name: ClassVar[str] = "provided"
    single_use: ClassVar[bool] = True

    def judge(self, answer: str) -> NoReturn:
        never(answer)

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        failure = None
        try:
            word: Any = yield Call(self.judge, answer)
        except NoAnswer as error:
            failure = error
        if failure is not None:
            raise CaptchaSilent("The provider did not answer.", provider=self.name)
        return Verdict(word == "right", "" if word == "right" else "expired")
