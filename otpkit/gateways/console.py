"""The console: messages are printed and not sent, for development alone."""

from __future__ import annotations

import sys
from typing import ClassVar, TextIO

from otpkit.effects import Call, Flow
from otpkit.errors import ConfigurationError, FieldProblem
from otpkit.gateways.base import Channel, Gateway, Message, Receipt

__all__ = ["Console"]


class Console(Gateway):
    """Prints each message, with its code and its whole number.

    Args:
        stream: where to; standard output unless said.
        development: True (1 in settings), for codes are printed: for development alone.

    Raises ConfigurationError without `development=True`: who sees the log could log in as anybody.
    """

    name: ClassVar[str] = "console"
    channels: frozenset[Channel] = frozenset({"sms", "voice"})
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("development",),)

    def __init__(self, stream: TextIO | None = None, *, development: bool = False) -> None:
        if development is not True:
            problem = "Console prints codes, which is for development alone."
            remedy = "Pass development=True there (OTPKIT_DEVELOPMENT=1), and another gateway anywhere else."
            raise ConfigurationError(problems=[FieldProblem("development", problem, remedy)])
        self._stream = stream

    def __repr__(self) -> str:
        return "Console(development=True)"

    def send(self, message: Message) -> Flow[Receipt]:
        """Print one message. What the stream raises leaves it uncertain."""
        yield Call(self._print, message)
        return Receipt(self.name)

    def _print(self, message: Message) -> None:
        # Standard output as it is now: tests and servers exchange it.
        stream = sys.stdout if self._stream is None else self._stream
        template = message.template
        sign = f"【{template.sign_name}】" if template.sign_name else ""
        text = f"{sign}{message.code}" if template.body is None else template.fill(message.params)
        stream.write(f"[{message.channel} to {message.phone}] {text}\n")
        stream.flush()
