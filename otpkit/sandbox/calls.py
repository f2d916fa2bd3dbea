"""The calls that the sandbox answers, of all providers, and what they travel in. No I/O.

Alibaba Cloud's calls have their plain names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Provider = Literal["alidayu", "dysmsapi", "dyvmsapi", "tencent", "twilio"]
Channel = Literal["sms", "voice"]
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


@dataclass(frozen=True, slots=True)
class Call:
    """What one call is: whose, by which channel, and whether it sends or asks."""

    provider: Provider
    channel: Channel
    sends: bool


CALLS: Final[Mapping[Api, Call]] = {
    "sendSms": Call("alidayu", "sms", sends=True),
    "querySmsDetail": Call("alidayu", "sms", sends=False),
    "SendSms": Call("dysmsapi", "sms", sends=True),
    "SendBatchSms": Call("dysmsapi", "sms", sends=True),
    "QuerySendDetails": Call("dysmsapi", "sms", sends=False),
    "SingleCallByTts": Call("dyvmsapi", "voice", sends=True),
    "SingleCallByVoice": Call("dyvmsapi", "voice", sends=True),
    "ClickToDial": Call("dyvmsapi", "voice", sends=True),
    "QueryCallDetailByCallId": Call("dyvmsapi", "voice", sends=False),
    "tencent.SendSms": Call("tencent", "sms", sends=True),
    "tencent.PullSmsSendStatus": Call("tencent", "sms", sends=False),
    "tencent.PullSmsSendStatusByPhoneNumber": Call("tencent", "sms", sends=False),
    "twilio.CreateMessage": Call("twilio", "sms", sends=True),
    "twilio.CreateCall": Call("twilio", "voice", sends=True),
    "twilio.FetchMessage": Call("twilio", "sms", sends=False),
    "twilio.FetchCall": Call("twilio", "voice", sends=False),
}
APIS: Final[tuple[Api, ...]] = tuple(CALLS)


def calls_of(*providers: Provider) -> tuple[Api, ...]:
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
