"""The console gateway. It prints messages and does not send them. It is for development only."""

from __future__ import annotations

import sys
from typing import ClassVar, TextIO

from otpkit.effects import Call, Flow
from otpkit.errors import ConfigurationError, FieldProblem
from otpkit.gateways.base import Channel, Gateway, Message, Receipt

__all__ = ["Console"]


class Console(Gateway):
    """The gateway that prints each message, with its code and the whole phone number.

    Args:
        stream: the text stream to print to; None means standard output.
        development: must be True (1 in settings), because codes are printed; use this gateway in development only.

    Raises:
        ConfigurationError: `development` is not True. A person who reads the log could log in as any user.
    """

    name: ClassVar[str] = "console"
    channels: frozenset[Channel] = frozenset({"sms", "voice"})
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("development",),)

    def __init__(self, stream: TextIO | None = None, *, development: bool = False) -> None:
        if development is not True:
            problem = "Console prints codes, so it is for development only."
            remedy = "In development, pass development=True (OTPKIT_DEVELOPMENT=1). Elsewhere, use another gateway."
            raise ConfigurationError(problems=[FieldProblem("development", problem, remedy)])
        self._stream = stream

    def __repr__(self) -> str:
        return "Console(development=True)"

    def send(self, message: Message) -> Flow[Receipt]:
        """Print one message.

        Args:
            message: the message to print.

        Returns:
            The receipt. If the stream raises an exception, the flow treats the send as uncertain.
        """
        yield Call(self._print, message)
        return Receipt(self.name)

    def _print(self, message: Message) -> None:
        # Read sys.stdout at each call: tests and servers replace it.
        stream = sys.stdout if self._stream is None else self._stream
        template = message.template
        sign = f"【{template.sign_name}】" if template.sign_name else ""
        text = f"{sign}{message.code}" if template.body is None else template.fill(message.params)
        stream.write(f"[{message.channel} to {message.phone}] {text}\n")
        stream.flush()
