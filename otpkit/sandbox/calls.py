"""The calls that the sandbox answers, of all providers, and what they travel in. No I/O.

Alibaba Cloud's calls have their plain names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from otpkit.gateways.base import Channel

ProviderName = Literal["alidayu", "dysmsapi", "dyvmsapi", "tencent", "twilio"]
Api = Literal[
    "sendSms",
    "querySmsDetail",
    "SendSms",
    "SendBatchSms",
    "QuerySendDetails",
    "SingleCallByTts",
    "SingleCallByVoice",
    "ClickToDial",
    "QueryCallDetailByCallId",
    "tencent.SendSms",
    "tencent.PullSmsSendStatus",
    "tencent.PullSmsSendStatusByPhoneNumber",
    "twilio.CreateMessage",
    "twilio.CreateCall",
    "twilio.FetchMessage",
    "twilio.FetchCall",
]


HEARD: Final = "200000"  # the state of a call that was listened to
CALL_RESULTS: Final = (HEARD, "200003")  # of all providers' calls; nobody answers one that fails


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider's own facts, beside its wire format.

    `results` are the result codes of a good and of a bad receipt. `rejection` is what the fault `reject` answers
    unless told otherwise: out of service, which no client can remedy. `send_id` makes the provider's id of a send from
    a serial number. `own_id` is what the sender's own id is called. `is_pushed` tells whether its receipts are pushed
    to the sandbox's one URL.
    """

    title: str
    results: tuple[str, str]
    rejection: str
    send_id: Callable[[int, Channel], str]
    own_id: str = "OutId"
    is_pushed: bool = True


PROVIDERS: Final[Mapping[ProviderName, ProviderRow]] = {
    "alidayu": ProviderRow(
        title="Alidayu",
        results=("000", "UNDELIV"),
        rejection="50001",
        send_id=lambda serial, _: f"{100_000 + serial}^{1_000_000 + serial}",
        own_id="Extend",
        is_pushed=False,
    ),
    "dysmsapi": ProviderRow(
        title="Dysmsapi",
        results=("DELIVERED", "UNDELIV"),
        rejection="isv.OUT_OF_SERVICE",
        send_id=lambda serial, _: f"{100_000_000_000_000_000 + serial}^0",
    ),
    "dyvmsapi": ProviderRow(
        title="Dyvmsapi",
        results=CALL_RESULTS,
        rejection="isv.OUT_OF_SERVICE",
        send_id=lambda serial, _: f"{100_000_000_000 + serial}^{200_000_000_000 + serial}",
    ),
    "tencent": ProviderRow(
        title="Tencent Cloud",
        results=("DELIVRD", "UNDELIV"),
        rejection="FailedOperation.InsufficientBalanceInSmsPackage",
        send_id=lambda serial, _: f"5000:{10**27 + serial}",
        own_id="SessionContext",
    ),
    "twilio": ProviderRow(
        title="Twilio",
        results=("delivered", "30003"),
        rejection="20005",
        send_id=lambda serial, channel: f"{'CA' if channel == 'voice' else 'SM'}{serial:032x}",
        is_pushed=False,
    ),
}


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call's facts: its provider, its channel, and whether it sends or asks."""

    provider: ProviderName
    channel: Channel
    sends: bool


CALLS: Final[Mapping[Api, CallRow]] = {
    "sendSms": CallRow("alidayu", "sms", sends=True),
    "querySmsDetail": CallRow("alidayu", "sms", sends=False),
    "SendSms": CallRow("dysmsapi", "sms", sends=True),
    "SendBatchSms": CallRow("dysmsapi", "sms", sends=True),
    "QuerySendDetails": CallRow("dysmsapi", "sms", sends=False),
    "SingleCallByTts": CallRow("dyvmsapi", "voice", sends=True),
    "SingleCallByVoice": CallRow("dyvmsapi", "voice", sends=True),
    "ClickToDial": CallRow("dyvmsapi", "voice", sends=True),
    "QueryCallDetailByCallId": CallRow("dyvmsapi", "voice", sends=False),
    "tencent.SendSms": CallRow("tencent", "sms", sends=True),
    "tencent.PullSmsSendStatus": CallRow("tencent", "sms", sends=False),
    "tencent.PullSmsSendStatusByPhoneNumber": CallRow("tencent", "sms", sends=False),
    "twilio.CreateMessage": CallRow("twilio", "sms", sends=True),
    "twilio.CreateCall": CallRow("twilio", "voice", sends=True),
    "twilio.FetchMessage": CallRow("twilio", "sms", sends=False),
    "twilio.FetchCall": CallRow("twilio", "voice", sends=False),
}
APIS: Final[tuple[Api, ...]] = tuple(CALLS)


def calls_of(*providers: ProviderName) -> tuple[Api, ...]:
    """Return the names of some providers' calls."""
    return tuple(api for api, call in CALLS.items() if call.provider in providers)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """An HTTP request as it came in; names of headers are in lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """Return a header's value without the blanks around it, or ""."""
        return self.headers.get(name.encode(), b"").decode("latin-1").strip()


Headers = tuple[tuple[bytes, bytes], ...]
Ending = Literal["whole", "half", "drop"]
JSON: Final[Headers] = ((b"content-type", b"application/json; charset=utf-8"),)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """An HTTP answer, and how it is handed over: after `delay` seconds; whole, cut in half, or not at all."""

    status: int
    body: bytes
    headers: Headers = JSON
    delay: float = 0.0
    ending: Ending = "whole"


def json_response(content: dict[str, object], *, status: int = 200, headers: Headers = JSON) -> WireResponse:
    """Return an answer whose body is a JSON object, Chinese left readable."""
    return WireResponse(status, json.dumps(content, ensure_ascii=False).encode(), headers)


class Unacceptable(Exception):
    """A send or a query that the gateway refuses; `code` is its code for the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
