"""The calls that the sandbox answers, and the types of requests and responses. No I/O.

The names of Alibaba Cloud's calls have no prefix.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from otpkit.gateways.base import Channel

ProviderName = Literal[
    "alidayu",
    "dysmsapi",
    "dyvmsapi",
    "tencent",
    "twilio",
    "turnstile",
    "hcaptcha",
    "recaptcha",
    "aliyun-captcha",
    "tencent-captcha",
    "geetest",
]
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
    "turnstile.siteverify",
    "hcaptcha.siteverify",
    "recaptcha.siteverify",
    "recaptcha.CreateAssessment",
    "VerifyIntelligentCaptcha",
    "tencent.DescribeCaptchaResult",
    "geetest.validate",
]


HEARD: Final = "200000"  # the state of a call that was heard to the end
CALL_RESULTS: Final = (HEARD, "200003")  # (success, failure) of every provider's calls; 200003 is "no answer"


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider's properties, except its wire format.

    `rejection` is the default code of the fault `reject`: out of service, which no client can fix; for a captcha, an
    answer that is not right. `results` are the result codes of a delivered and of a failed receipt. `send_id` builds
    the provider's id of a send from a serial number. `own_id` is the provider's name for the sender's own id.
    `is_pushed`: receipts are pushed to `Sandbox(receipts_url=…)`. A captcha has none of these.
    """

    title: str
    rejection: str
    results: tuple[str, str] = ("", "")
    send_id: Callable[[int, Channel], str] = lambda serial, _: str(serial)
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
    "turnstile": ProviderRow(title="Turnstile", rejection="invalid-input-response"),
    "hcaptcha": ProviderRow(title="hCaptcha", rejection="invalid-input-response"),
    "recaptcha": ProviderRow(title="reCAPTCHA", rejection="invalid-input-response"),
    "aliyun-captcha": ProviderRow(title="Aliyun Captcha", rejection="F015"),
    "tencent-captcha": ProviderRow(title="Tencent Captcha", rejection="15"),
    "geetest": ProviderRow(title="Geetest", rejection="-50304"),
}


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call's properties: its provider, its channel, whether it sends or queries, and whether it is a captcha's."""

    provider: ProviderName
    channel: Channel
    sends: bool
    is_captcha: bool = False


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
    "turnstile.siteverify": CallRow("turnstile", "sms", sends=False, is_captcha=True),
    "hcaptcha.siteverify": CallRow("hcaptcha", "sms", sends=False, is_captcha=True),
    "recaptcha.siteverify": CallRow("recaptcha", "sms", sends=False, is_captcha=True),
    "recaptcha.CreateAssessment": CallRow("recaptcha", "sms", sends=False, is_captcha=True),
    "VerifyIntelligentCaptcha": CallRow("aliyun-captcha", "sms", sends=False, is_captcha=True),
    "tencent.DescribeCaptchaResult": CallRow("tencent-captcha", "sms", sends=False, is_captcha=True),
    "geetest.validate": CallRow("geetest", "sms", sends=False, is_captcha=True),
}
APIS: Final[tuple[Api, ...]] = tuple(CALLS)


def calls_of(*providers: ProviderName) -> tuple[Api, ...]:
    """Return the names of the calls of `providers`."""
    return tuple(api for api, call in CALLS.items() if call.provider in providers)


@dataclass(frozen=True, slots=True)
class WireRequest:
    """An HTTP request as received. Header names are in lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """Return a header's value without surrounding blanks, or "" if it is absent."""
        return self.headers.get(name.encode(), b"").decode("latin-1").strip()


Headers = tuple[tuple[bytes, bytes], ...]
Ending = Literal["whole", "half", "drop"]
JSON: Final[Headers] = ((b"content-type", b"application/json; charset=utf-8"),)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """An HTTP response and how to send it: after `delay` seconds; whole, cut in half, or not at all."""

    status: int
    body: bytes
    headers: Headers = JSON
    delay: float = 0.0
    ending: Ending = "whole"


def json_response(content: dict[str, object], *, status: int = 200, headers: Headers = JSON) -> WireResponse:
    """Return a response with a JSON object as its body. Chinese is not escaped."""
    return WireResponse(status, json.dumps(content, ensure_ascii=False).encode(), headers)


class Unacceptable(Exception):
    """Raised for a send or a query that the gateway refuses. `code` is the gateway's code for the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
