"""The base class of gateways, and its values. A gateway turns a message into an HTTP request.

It turns the response into one of three outcomes:

accepted
    A `Receipt` whose `outcome` is `"accepted"`.
rejected
    A `GatewayRejectedError`: the message was certainly not sent.
uncertain
    A `Receipt` whose `outcome` is `"uncertain"`: the message may have been sent. It is never resent automatically.
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
# Bytes in a push that holds many receipts: about 2000 rows. It applies where the provider documents no limit.
MAX_BATCH: Final = 524_288


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """One message to send through a gateway.

    Args:
        phone: the recipient's number, E.164.
        code: the digits of the code.
        template: the template to send.
        params: the template's variables, with the code filled in.
        send_id: the operation id of the `issue` that made the message, 22 characters of `[A-Za-z0-9_-]`. A gateway
            whose provider can echo a value gets it back in receipts.
        sent_at: the time of dispatch, an aware datetime by the Redis server's clock; None means now, by this host's.
        channel: `"sms"` or `"voice"`, one of the gateway's `channels`.
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
    """The result of a send that the gateway did not reject.

    Args:
        gateway: the gateway's name.
        message_id: the provider's id of the message; "" if it returned none.
        outcome: `"accepted"`, or `"uncertain"` if the message may or may not have been sent.
    """

    gateway: str
    message_id: str = ""
    outcome: Literal["accepted", "uncertain"] = "accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The delivery state of a message.

    In a pushed receipt, `phone` and `send_id`, or the gateway's own `message_id`, identify the message.

    Args:
        state: `pending` (accepted, no receipt yet), `delivered`, `failed`, or `unknown` (the gateway can't be queried,
            did not answer, or does not know the message).
        gateway: the gateway's name.
        result_code: the carrier's result code; "" if there is none.
        sent_at: the time at which the gateway sent it, an aware UTC datetime, or None.
        received_at: the time at which the phone received it, an aware UTC datetime, or None.
        phone: the recipient's number, E.164; "" if the provider did not report it.
        send_id: the send id, or a prefix of it of at least 15 characters; "" if the provider did not report it.
        message_id: the gateway's own id of the message; "" if the provider did not report it.
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
    """An HTTP request in which a provider reports the delivery of messages.

    Args:
        url: the complete URL, as the provider called it.
        headers: the request's headers; the case of their names does not matter.
        body: the request's body, unchanged.
        method: the HTTP method.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Receipts:
    """The deliveries that a push reports, and the HTTP response that its provider expects.

    Args:
        deliveries: the deliveries, in the order of the push.
        status: the HTTP status of the response.
        content_type: the Content-Type of the response.
        body: the body of the response.
        problem: the reason why the push was not trusted or could not be parsed, and what the operator should check;
            "" if all is well. It is logged, at most once a minute.
    """

    deliveries: tuple[Delivery, ...]
    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    problem: str = field(default="", compare=False)


class Gateway(ABC):
    """The adapter of one provider. It yields effects and does no I/O of its own."""

    name: ClassVar[str]
    channels: frozenset[Channel] = frozenset({"sms"})
    """The channels that it can send through: `"sms"`, `"voice"` or both."""
    adds_signature: ClassVar[bool] = False
    """True if the provider puts `【sign_name】` in front of the text. Any other provider sends the text unchanged."""
    can_trace: ClassVar[bool] = False
    """True if `trace` can query the delivery of a message."""
    knows_message_id: ClassVar[bool] = False
    """True if `trace` or `receipts` can identify a message by the gateway's own id alone. The id is then stored."""
    max_push: ClassVar[int] = 65_536
    """The largest push in bytes. `otpkit serve` refuses a larger one."""
    needs: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of constructor arguments that all have defaults. At least one argument of each group is required."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("otpkit."):  # A custom gateway's frames keep their locals.
            without_locals(cls)

    def check(self, template: Template) -> None:
        """Check that this gateway can send a template.

        Args:
            template: the template to check.

        Raises:
            ConfigurationError: it can't. The error names the field and the remedy.
        """
        if self.adds_signature and not template.sign_name:
            raise ConfigurationError(
                f"Template.sign_name is not set, and {self.name} sends no message without one.",
                "Pass the approved signature bare, like '阿里大鱼'.",
            )

    @abstractmethod
    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message, exactly once.

        Args:
            message: the message to send.

        Returns:
            The receipt. Its `outcome` is `"uncertain"` if the message may or may not have been sent.

        Raises:
            GatewayRejectedError: the message was certainly not sent.
        """

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Query the delivery of a message.

        Args:
            phone: the recipient's number, E.164.
            send_id: the message's send id.
            sent_at: the approximate time of the send, an aware datetime.
            message_id: the message id of the receipt, if the gateway `knows_message_id`; "" if it returned none.

        Returns:
            The delivery. Its state is `unknown` if no answer came.

        Raises:
            GatewayRejectedError: the gateway refused the query.
        """
        return Delivery(state="unknown", gateway=self.name)
        yield  # This makes the function a generator. The flow has no effects.

    def keeps_message_id(self, phone: str) -> bool:
        """Return whether the gateway's id of a message is stored with the send.

        Args:
            phone: the recipient's number, E.164.

        Returns:
            True if it is stored. By default this is `knows_message_id`, for every number.
        """
        return self.knows_message_id

    def remedy_for(self, code: str) -> str:
        """Return what to do about one of the provider's error codes, for operators.

        Args:
            code: the provider's error code, as in `GatewayRejectedError.gateway_code`.

        Returns:
            A sentence, or "" for an unknown code. By default every code is unknown.
        """
        return ""

    def receipts(self, push: Push) -> Receipts:
        """Parse a push from the provider. This does no I/O, and ignores a push that fails authentication.

        Args:
            push: the HTTP request that the provider made.

        Returns:
            The deliveries, and the HTTP response for the provider.

        Raises:
            ConfigurationError: this gateway's provider pushes no receipts.
        """
        remedy = "Call OTP.delivery() instead." if self.can_trace else "Remove this call: it has no queries either."
        raise ConfigurationError(f"The gateway {self.name} does not receive pushed receipts.", remedy)


class FunctionGateway(Gateway):
    """A gateway made from a plain function. A return means accepted; a returned str is the message id.

    Args:
        function: takes a `Message` and sends it.
    """

    name = "function"

    def __init__(self, function: Callable[[Message], Any]) -> None:
        self.function = function

    def send(self, message: Message) -> Flow[Receipt]:
        """Call the function with the message. The flow handles the function's exceptions."""
        message_id = yield Call(self.function, message)
        return Receipt(self.name, message_id if isinstance(message_id, str) else "")
