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
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from otpkit.effects import Call, Flow
from otpkit.errors import ConfigurationError
from otpkit.frames import without_locals
from otpkit.models import mask
from otpkit.template import Template

__all__ = ["Delivery", "FunctionGateway", "Gateway", "Message", "Push", "Receipt", "Receipts"]

Channel = Literal["sms", "voice"]
MAX_BATCH: Final = 524_288  # bytes of a push that holds many receipts: some 2000 rows, where a provider names no number


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message to hand to a gateway.

    `phone` is E.164, `code` the digits, `params` the template's variables with the code filled in, and `send_id` the
    operation id of the `issue` that made it: 22 characters of `[A-Za-z0-9_-]`, which a gateway that can echo something
    carries back in its receipts. `sent_at` is when it was handed over, an aware datetime by the Redis server's clock;
    None is now, by this host's. `channel` is how it is to reach the person, one of the gateway's `channels`.
    """

    phone: str
    code: str
    template: Template
    params: Mapping[str, str]
    send_id: str
    sent_at: datetime | None = None
    channel: Channel = "sms"

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
    UTC datetimes, or None. Of a receipt that was pushed, `phone` (E.164) and `send_id`, or the gateway's own
    `message_id`, say which message it is of; a `send_id` may be the beginning of one, of at least 15 characters.
    """

    state: Literal["pending", "delivered", "failed", "unknown"]
    gateway: str = ""
    result_code: str = ""
    sent_at: datetime | None = None
    received_at: datetime | None = None
    phone: str = field(default="", repr=False)
    send_id: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Push:
    """An HTTP request by which a provider tells what became of messages.

    `url` is whole, as the provider called it, and `headers` are its headers, whatever the case of their names.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Receipts:
    """What a push said, and the HTTP answer that its provider wants: `status`, `content_type` and `body`.

    `problem` is why nothing of it could be believed or read, and what the operator should check; it is logged, at most
    once a minute.
    """

    deliveries: tuple[Delivery, ...]
    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    problem: str = field(default="", compare=False)


class Gateway(ABC):
    """The adapter that delivers a message. It yields effects and does no I/O of its own."""

    name: ClassVar[str]
    channels: frozenset[Channel] = frozenset({"sms"})
    """How its messages reach a person."""
    adds_signature: ClassVar[bool] = False
    """Whether the provider puts `【sign_name】` in front of the text; all others get the text as it is written."""
    can_trace: ClassVar[bool] = False
    """Whether the gateway can be asked what became of a message."""
    knows_message_id: ClassVar[bool] = False
    """Whether `trace` or `receipts` know a message by the gateway's own id alone: then it is kept with the send."""
    max_push: ClassVar[int] = 65_536
    """How many bytes a push of the provider's may have; `otpkit serve` refuses a longer one."""
    needs: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of the constructor's arguments, of each of which one must be given although all have defaults."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("otpkit."):  # an author's own frames are the author's
            without_locals(cls)

    def check(self, template: Template) -> None:
        """Raise ConfigurationError for a template that this gateway can't send, naming the field and the remedy."""
        if self.adds_signature and not template.sign_name:
            raise ConfigurationError(
                f"Template.sign_name is not set, and {self.name} sends no message without one.",
                "Pass the approved signature bare, like '阿里大鱼'.",
            )

    @abstractmethod
    def send(self, message: Message) -> Flow[Receipt]:
        """Put one message on the wire, once, and say how that went.

        Raises `GatewayRejectedError` where it was certainly not sent.
        """

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Ask what became of the send `send_id`, made to `phone` (E.164) at about `sent_at`.

        `message_id` is that of its receipt, where the gateway `knows_message_id`; "" where it gave none.

        Raises `GatewayRejectedError` where the gateway refuses to say. An answer that never came is state `unknown`.
        """
        return Delivery(state="unknown", gateway=self.name)
        yield  # a flow without effects

    def keeps_message_id(self, phone: str) -> bool:
        """Return whether the id of a message to `phone` (E.164) is kept with the send, as by `knows_message_id`."""
        return self.knows_message_id

    def receipts(self, push: Push) -> Receipts:
        """Read what the provider pushed, and say what to answer. It does no I/O, and a stranger's push says nothing.

        Raises ConfigurationError for a gateway whose provider pushes none.
        """
        remedy = "Ask by OTP.delivery()." if self.can_trace else "Remove this call: it can't be asked either."
        raise ConfigurationError(f"The gateway {self.name} is pushed no receipts.", remedy)


class FunctionGateway(Gateway):
    """A plain function as gateway: returning is acceptance, and a text returned is the message id."""

    name = "function"

    def __init__(self, function: Callable[[Message], Any]) -> None:
        self.function = function

    def send(self, message: Message) -> Flow[Receipt]:
        """Call the function. What it raises is the flow's to judge."""
        message_id = yield Call(self.function, message)
        return Receipt(self.name, message_id if isinstance(message_id, str) else "")
