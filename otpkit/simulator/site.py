"""The site under test: an `OTP` with a moved clock, a gateway in this process, and books of what happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from otpkit import OTP, CaptchaRequiredError, CodeError, Event, GatewayRejectedError, RateLimitError, Template
from otpkit.effects import Flow
from otpkit.errors import BlockedError
from otpkit.gateways import Gateway, Message, Receipt
from otpkit.simulator.captcha import answer
from otpkit.simulator.ledger import Kind, Ledger, Party
from otpkit.simulator.rules import Decider
from otpkit.simulator.stores import open_store
from otpkit.simulator.timeline import Timeline

TEMPLATE: Final = Template("SMS_000000", sign_name="otpkit")


class PocketGateway(Gateway):
    """A gateway in this process. It keeps the latest code of each phone.

    Its `state` may change: a gateway that is silent loses its messages, and one that refuses rejects them.

    Args:
        name: the gateway's name.
        ledger: the books to write to.
        price: the price of one message.
        timeline: the clock.
    """

    def __init__(self, name: str, ledger: Ledger, price: Decimal, timeline: Timeline) -> None:
        self.name = name  # type: ignore[misc]  # Two gateways of a run have two names.
        self.codes: dict[str, str] = {}
        self.state: Literal["up", "silent", "refusing"] = "up"
        self._ledger = ledger
        self._price = price
        self._timeline = timeline

    def send(self, message: Message) -> Flow[Receipt]:
        """Keep the code of a message. The outcome is uncertain while the gateway is silent."""
        if self.state == "refusing":
            self._ledger.rejected += 1
            raise GatewayRejectedError("The simulated gateway is down.", gateway=self.name, category="connection")
        self._ledger.pay(self._price, self._timeline.second)
        if self.state == "silent":
            self._ledger.uncertain += 1
            return Receipt(self.name, outcome="uncertain")
        self._ledger.accepted += 1
        self.codes[message.phone] = message.code
        return Receipt(self.name, message.send_id)
        yield  # makes this function a flow, without effects


class Reply(NamedTuple):
    """What a visitor of the site got for a request.

    Attributes:
        kind: what became of the request.
        wait: seconds until the next one can succeed; 0 if unknown.
        scope: the scope of the limit that refused.
        attempts: how many codes the challenge accepts.
        challenge: the id of the challenge.
        delivered: whether the message reached the phone.
    """

    kind: Kind
    wait: int = 0
    scope: str = ""
    attempts: int = 0
    challenge: str = ""
    delivered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A visitor's request for a message. `captcha` is whether its answer to a captcha is right; None without one."""

    phone: str
    ip: str
    party: Party
    captcha: bool | None = None
    device: str | None = None


class Site:
    """The site under test.

    Args:
        url: the URL of the store.
        namespace: the namespace of this run.
        timeline: the clock.
        decider: the rule in front of the flows, or None.
        price: the price of a message.
        options: more arguments of the `OTP`.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        timeline: Timeline,
        *,
        decider: Decider | None,
        price: Decimal,
        options: Mapping[str, Any],
    ) -> None:
        self.ledger = Ledger()
        self.timeline = timeline
        self.gateway = PocketGateway("pocket", self.ledger, price, timeline)
        self._price = price
        self._decider = decider
        self._answers = 0
        self.devices: dict[str, str] = {}  # By phone, as browsers of honest people keep them.
        self._store = open_store(url)
        self.otp = OTP(
            self._store.client,  # A client that is passed in has its own timeouts.
            self.gateway,
            TEMPLATE,
            b"the secret of a simulated site: no real user has one",
            namespace=namespace,
            clock=timeline,
            on_event=self._record,
            **options,
        )

    def issue(self, request: Request) -> Reply:
        """Ask for a message, and write down what became of the request."""
        ledger, party = self.ledger, request.party
        ledger.requests[party] += 1
        reply = self._issue(request)
        ledger.outcomes[party, reply.kind] += 1
        if reply.kind == "sent":
            ledger.cost[party] += self._price
        return reply

    def _issue(self, request: Request) -> Reply:
        decider = self._decider
        if decider is not None and decider.refuses(request.phone, request.ip, self.timeline.now):
            return Reply("refused", scope="rule")
        try:
            device = _device(request.device)
            challenge = self.otp.issue(request.phone, ip=request.ip, captcha=self._answer(request.captcha), **device)
        except CaptchaRequiredError as asked:
            return Reply("captcha", scope=" ".join(asked.reasons))
        except RateLimitError as limit:
            live = limit.challenge.id if limit.challenge is not None else ""
            scope: str = limit.scope
            return Reply("money" if scope == "budget" else "refused", limit.retry_after or 0, scope, challenge=live)
        except BlockedError:
            return Reply("refused", scope="blocked")
        except GatewayRejectedError:
            return Reply("rejected")
        delivered = challenge.delivery == "accepted"
        return Reply("sent", 0, "", challenge.attempts_left, challenge.id, delivered)

    def _answer(self, right: bool | None) -> str | None:
        if right is None:
            return None
        self._answers += 1
        return answer(self._answers, right=right)

    def verify(self, phone: str, ip: str, *, right: bool, keeps_device: bool = False) -> bool:
        """Type a code, the right one or a wrong one. Return whether the phone is now verified.

        Args:
            phone: the phone.
            ip: the visitor's address.
            right: whether the code is the right one.
            keeps_device: whether the visitor's browser keeps the device of the proof, and shows it.
        """
        code = self.gateway.codes.get(phone, "000000")
        typed = code if right else f"{code[:-1]}{(int(code[-1]) + 1) % 10}"
        try:
            proof = self.otp.verify(phone, typed, ip=ip, **_device(self.devices.get(phone) if keeps_device else None))
        except (CodeError, RateLimitError, BlockedError):
            return False
        if keeps_device and (device := getattr(proof, "device", None)):
            self.devices[phone] = device
        if self._decider is not None:
            self._decider.verified(phone, ip, self.timeline.now)
        return True

    def close(self) -> None:
        """Close the connection to the store."""
        self.otp.close()
        self._store.close()

    def _record(self, event: Event) -> None:
        self.ledger.events[event.name] += 1


def _device(device: str | None) -> dict[str, Any]:
    return {} if device is None else {"device": device}
