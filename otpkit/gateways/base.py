"""What every gateway is: it turns a message into an HTTP request, and a response into one of three outcomes.

accepted
    A `Receipt` whose `outcome` is `"accepted"`.
rejected
    A `GatewayRejectedError`: certainly not sent.
uncertain
    A `Receipt` whose `outcome` is `"uncertain"`: it may or may not have been sent. It is never sent again by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from otpkit.effects import Call, Flow
from otpkit.models import mask
from otpkit.template import Template


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message to hand to a gateway.

    `phone` is E.164, `code` the digits, `params` the template's variables with the code filled in, and `send_id` the
    operation id of the `issue` that made it: 22 characters of `[A-Za-z0-9_-]`, which a gateway that can echo something
    carries back in its receipts. `sent_at` is when it was handed over, an aware datetime by the Redis server's clock;
    None is now, by this host's.
    """

    phone: str
    code: str
    template: Template
    params: Mapping[str, str]
    send_id: str
    sent_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Message(phone={mask(self.phone)!r}, template={self.template.code!r}, send_id={self.send_id!r})"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a gateway said of a message that it did not reject; `message_id` is its own, "" where it gave none."""

    gateway: str
    message_id: str = ""
    outcome: Literal["accepted", "uncertain"] = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a message.

    `state` is `pending` (accepted, no receipt yet), `delivered`, `failed`, or `unknown` (the gateway can't be asked,
    did not answer, or does not know the message). `result_code` is the carrier's; `sent_at` and `received_at` are aware
    UTC datetimes, or None.
    """

    state: Literal["pending", "delivered", "failed", "unknown"]
    gateway: str = ""
    result_code: str = ""
    sent_at: datetime | None = None
    received_at: datetime | None = None


class Gateway(ABC):
    """The adapter that delivers a message. It yields effects and does no I/O of its own."""

    name: ClassVar[str]
    can_trace: ClassVar[bool] = False
    """Whether the gateway can be asked what became of a message."""

    @abstractmethod
    def send(self, message: Message) -> Flow[Receipt]:
        """Put one message on the wire, once, and say how that went.

        Raises `GatewayRejectedError` where it was certainly not sent.
        """

    def trace(self, phone: str, send_id: str, sent_at: datetime) -> Flow[Delivery]:
        """Ask what became of the send `send_id`, made to `phone` (E.164) at about `sent_at`.

        Raises `GatewayRejectedError` where the gateway refuses to say. An answer that never came is state `unknown`.
        """
        return Delivery(state="unknown", gateway=self.name)
        yield  # a flow without effects


class FunctionGateway(Gateway):
    """A plain function as gateway: returning is acceptance, and a text returned is the message id."""

    name = "function"

    def __init__(self, function: Callable[[Message], Any]) -> None:
        self.function = function

    def send(self, message: Message) -> Flow[Receipt]:
        """Call the function. What it raises is the flow's to judge."""
        message_id = yield Call(self.function, message)
        return Receipt(self.name, message_id if isinstance(message_id, str) else "")
