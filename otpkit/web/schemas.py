"""The JSON bodies of the HTTP service and of FastAPI's router, as pydantic models. OpenAPI is built from them.

It needs the extra `json`. Only JSON routers import it.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from otpkit.core.audit import MAX_TEXT
from otpkit.errors import ConfigurationError

try:
    from pydantic import (
        AfterValidator,
        AwareDatetime,
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        PlainSerializer,
        WithJsonSchema,
    )
except ModuleNotFoundError as missing:
    raise ConfigurationError("otpkit.web.schemas needs pydantic.", "Run: pip install 'otpkit[json]'.") from missing

# The meaning of problem statuses that is the same in the service and in FastAPI's router.
MEANINGS: Final = {
    413: "The body has more than 16 KiB.",
    415: "The body is not sent as application/json.",
    423: "Too many wrong codes in a row for this number. Only an operator can unblock it.",
    429: "A limit is reached. `Retry-After` is the time to wait.",
    502: "The gateway rejected the message: certainly not sent.",
    503: "The store did not respond: nothing was granted, nothing was sent.",
}
EXAMPLE_PHONE: Final = "+8613800138000"
EXAMPLE_TIME: Final = "2026-01-01T12:00:00.000Z"
EXAMPLE_ID: Final = "q0Zf3yJm1hW8cV5tR2nXbA"


def _ip_pattern() -> str:
    """Return a pattern for the addresses that `ipaddress` parses: IPv4, and IPv6 without a zone (RFC 3986 §3.2.2)."""
    byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    v4, group = rf"({byte}\.){{3}}{byte}", "[0-9A-Fa-f]{1,4}"
    last = f"({group}:{group}|{v4})"
    shortened = [f"({group}(:{group}){{0,{n}}})?::({group}:){{{4 - n}}}{last}" for n in range(5)]
    v6 = [f"({group}:){{6}}{last}", f"::({group}:){{5}}{last}", *shortened]
    v6 += [f"({group}(:{group}){{0,5}})?::{group}", f"({group}(:{group}){{0,6}})?::"]
    return f"^({'|'.join([v4, *v6])})$"


def _check_ip(text: str) -> str:
    if "%" in text:  # A zone has a meaning on one host only.
        raise ValueError
    ipaddress.ip_address(text)
    return text


def _rfc3339(moment: datetime) -> str:
    """Format an aware UTC datetime as RFC 3339, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RequestModel(BaseModel):
    """A request's body. Types are strict, unknown fields are refused, and no error repeats the input."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


Phone = Annotated[
    str,
    Field(
        description="The number as typed: ASCII or full-width digits, which may have blanks, hyphens, dots and pairs "
        "of parentheses between them. Pasted characters are normalized first: direction marks, digits of other "
        "scripts, other blanks and hyphens.",
        examples=[EXAMPLE_PHONE],
    ),
]
Code = Annotated[
    str,
    Field(
        description="The code as typed. Blanks and hyphens are dropped, and pasted characters are normalized as in "
        "`phone`.",
        examples=["123456"],
    ),
]
Region = Annotated[
    str,
    Field(
        description="The region of a number without a country code (ISO 3166-1 alpha-2). Default: the policy's region.",
        examples=["CN"],
    ),
]
Purpose = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="The purpose of the code. The API key must be allowed to use it. Default: `signup`.",
        examples=["signup"],
    ),
]
Bind = Annotated[
    str,
    Field(
        max_length=512,
        description="A text that the code is tied to, such as a session id. Verify it with the same text.",
        examples=["session-5f1c"],
    ),
]
Ip = Annotated[
    str,
    AfterValidator(_check_ip),
    Field(
        description="The visitor's address as your own server knows it, for the limits by address. Without it there "
        "are none, unless the service is configured to trust your proxies' X-Forwarded-For.",
        json_schema_extra={"pattern": _ip_pattern()},
        examples=["203.0.113.7"],
    ),
]
Token = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="The proof's token. It contains the phone: keep it out of URLs and logs.",
        examples=["eyJpZCI6IjFkTkV.aVhQ1w.Zk3_0c"],
    ),
]
Device = Annotated[
    str,
    Field(
        description="The device token from an earlier verification on the visitor's device, or up to four joined by "
        "`~`. With one for this phone, the visitor may use the parts of the limits that are kept from strangers. A "
        "wrong or expired one counts as none.",
        examples=["q0Zf3yJm1hW8cV5tR2nXbA.1767225600000.pE1kN0"],
    ),
]


Captcha = Annotated[
    str,
    Field(
        max_length=6000,  # With every character escaped, it still fits into a body.
        pattern=r"^[ -~]*$",
        description="The answer to the captcha of an earlier `captcha_required`, as the visitor's page made it, in "
        "printable ASCII. It is used up only if a message is sent.",
        examples=["XXXX.DUMMY.TOKEN.XXXX"],
    ),
]


class _ToSend(RequestModel):
    phone: Phone = Field(repr=False)
    region: Region | None = None
    purpose: Purpose = "signup"
    ip: Ip | None = None
    params: dict[str, str] | None = Field(
        None, description="Values for the template's variables, except the one for the code."
    )
    channel: Literal["sms", "voice"] = Field(
        "sms", description="A text message, or a call that reads the code aloud. Default: `sms`."
    )
    device: Device | None = Field(None, repr=False)
    captcha: Captcha | None = Field(None, repr=False)
    known: bool = Field(
        False,
        description="True if your application knows that this very number is verified for this account. The guard then "
        "asks for a captcha where it would refuse. The API key must be allowed to say so. Default: false.",
    )


class ChallengeRequest(_ToSend):
    """Send a code to a phone."""

    bind: Bind = ""
    discreet: bool = Field(
        False,
        description="True if the visitor must not see what others did with the number. If it is blocked or at its own "
        "limits, the answer is first that of a number without a history: its captcha, or a limit of the visitor's. "
        "423 and 429 (`phone`, `failures`) come last: show the answer of 202 instead. Default: false.",
    )


def _whole(number: object) -> object:
    """Return a number as JSON Schema reads it: 10.0 is an integer."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


Minutes = Annotated[
    int,
    Field(
        ge=1,
        le=1440,
        description="The life of the code, for a template that names it. Default: that of the policy.",
        examples=[10],
    ),
    BeforeValidator(_whole),
]


class SendRequest(_ToSend):
    """Send a code that another system made and keeps. The template is that of the purpose."""

    code: str = Field(
        pattern="^[0-9A-Za-z]{4,10}$",
        repr=False,
        description="The code as it is sent: 4 to 10 ASCII digits or letters. It is neither stored nor logged.",
        examples=["123456"],
    )
    minutes: Minutes | None = None


class _About(RequestModel):
    phone: Phone = Field(repr=False)
    region: Region | None = None
    purpose: Purpose = "signup"
    bind: Bind = ""


class ChallengeQuery(_About):
    """Identify a challenge."""


class VerificationRequest(_About):
    """Verify the code that a phone received."""

    code: Code = Field(repr=False)
    ip: Ip | None = None
    device: Device | None = Field(None, repr=False)


class RedemptionRequest(RequestModel):
    """Redeem a proof."""

    token: Token = Field(repr=False)
    purpose: Purpose = "signup"
    bind: Bind = ""
    phone: Phone | None = Field(
        None,
        repr=False,
        description="If set, the proof must be for this phone; null matches no phone. If omitted, any phone "
        "matches: then use the phone of the answer, never the form's.",
    )
    region: Region | None = None
    request: str | None = Field(
        None,
        max_length=512,
        description="A text that identifies the content of the form, such as a digest of its fields. With the same "
        "Idempotency-Key, a different text is `used_token`.",
        examples=["9f86d081884c7d65"],
    )


class DeviceQuery(RequestModel):
    """Identify a phone and one of its devices."""

    phone: Phone = Field(repr=False)
    region: Region | None = None
    device: Device = Field(repr=False)


class DevicesQuery(RequestModel):
    """Identify the phone whose devices are meant."""

    phone: Phone = Field(repr=False)
    region: Region | None = None
    reason: str = Field(
        "",
        max_length=MAX_TEXT,
        description="Why, for the audit: one line without a phone number. Default: empty.",
        examples=["reported a loss"],
    )


class AuditQuery(RequestModel):
    """Select entries of the audit."""

    phone: Phone | None = Field(None, repr=False, description="Only entries of this phone; null or omitted is all.")
    region: Region | None = None
    since: AwareDatetime | None = Field(
        None, strict=False, description="The earliest time of an entry; null or omitted is all that is kept."
    )
    limit: int = Field(100, ge=1, le=10_000, description="The most entries to return. Default: 100.")


class StatsQuery(RequestModel):
    """Select the figures of the last hours."""

    hours: int = Field(
        24,
        ge=1,
        le=9600,
        description="How many hours, the current one included. More than 840 (35 days) begin with a UTC day, and are "
        "returned by the day. Default: 24.",
    )


class PhoneToVerify(BaseModel):
    """The phone to send a code to. The application sets the purpose and the bind."""

    model_config = ConfigDict(extra="forbid")
    phone: Phone = Field(repr=False)
    region: Region | None = None
    device: Device | None = Field(None, repr=False)


class CodeToSend(PhoneToVerify):
    """The phone to send a code to, and the answer of a captcha if one was asked for."""

    captcha: Captcha | None = Field(None, repr=False)


class CodeToVerify(PhoneToVerify):
    """The phone, and the code that the visitor typed."""

    code: Code = Field(repr=False)


class ResponseModel(BaseModel):
    """A response's body. Fields may be added later, so ignore unknown ones."""

    model_config = ConfigDict(from_attributes=True)


DeliveryState = Annotated[
    Literal["pending", "accepted", "uncertain", "delivered", "failed"],
    Field(description="`uncertain`: it may or may not have been sent. Show the form for the code, and a resend."),
]
ExpiresIn = Annotated[int, Field(ge=0, description="Seconds until it expires.", examples=[300])]
ResendIn = Annotated[int, Field(ge=0, description="Seconds until the code may be sent again.", examples=[60])]
AttemptsLeft = Annotated[int, Field(ge=0, description="Wrong codes that are still allowed.", examples=[5])]
DeviceToken = Annotated[
    str,
    Field(
        description="The token of this device; null for a fixed code. Keep it on the visitor's device, and send it "
        "with later requests. It does not show the phone.",
        examples=["q0Zf3yJm1hW8cV5tR2nXbA.1767225600000.pE1kN0"],
    ),
]
SendsLeft = Annotated[int, Field(ge=0, description="Messages that may still be sent to the phone.", examples=[4])]
E164 = Annotated[str, Field(description="E.164.", examples=[EXAMPLE_PHONE])]
Id = Annotated[str, Field(examples=[EXAMPLE_ID])]
Time = Annotated[
    datetime,
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": [EXAMPLE_TIME]}),
]


class ChallengeAnswer(ResponseModel):
    """A live challenge. Times use the store's clock. Fields with `_in` are the same moments in seconds from now."""

    id: Id
    phone: E164 = Field(repr=False)
    purpose: str = Field(examples=["signup"])
    delivery: DeliveryState
    expires_at: Time
    expires_in: ExpiresIn
    resend_at: Time
    resend_in: ResendIn
    attempts_left: AttemptsLeft
    sends_left: SendsLeft
    replayed: bool = Field(description="The Idempotency-Key was used before: this request sent nothing.")
    gateway: str = Field(description="The gateway that sent it; empty while unknown.", examples=["alidayu"])


class SentAnswer(ResponseModel):
    """A message with a code of another system. Times use the store's clock."""

    id: Id
    phone: E164 = Field(repr=False)
    purpose: str = Field(examples=["signup"])
    delivery: DeliveryState
    gateway: str = Field(description="The gateway that sent it; empty while unknown.", examples=["alidayu"])
    resend_at: Time
    resend_in: Annotated[int, Field(ge=0, description="Seconds until the phone may get another.", examples=[60])]
    sends_left: SendsLeft
    replayed: bool = Field(description="The Idempotency-Key was used before: this request sent nothing.")


class PhoneChallenge(ResponseModel):
    """A live challenge, as a visitor may see it. Show the form for the code, even if the delivery is uncertain."""

    delivery: DeliveryState
    expires_in: ExpiresIn
    resend_in: ResendIn
    attempts_left: AttemptsLeft
    sends_left: SendsLeft


class ProofAnswer(ResponseModel):
    """A proof that the visitor controls the phone."""

    id: Id
    phone: E164 = Field(repr=False)
    purpose: str = Field(examples=["signup"])
    verified_at: Time
    expires_at: Time
    fixed: bool = Field(description="A fixed code for reviewers was used: no message was received.")
    replayed: bool = Field(
        description="This proof was redeemed before with the same Idempotency-Key: return what exists, and create "
        "nothing new. False for a verification."
    )
    token: Token = Field(repr=False)
    device: DeviceToken | None = Field(repr=False)


class PhoneProof(ResponseModel):
    """A verified phone."""

    token: Token = Field(repr=False)
    phone: E164 = Field(repr=False)
    expires_in: ExpiresIn
    device: DeviceToken | None = Field(repr=False)


class DeliveryAnswer(ResponseModel):
    """The delivery of the live challenge's latest message."""

    state: Literal["pending", "delivered", "failed", "unknown"]
    gateway: str = Field(examples=["alidayu"])
    result_code: str = Field(description="The carrier's code; empty if there is none.", examples=["DELIVERED"])
    sent_at: Time | None
    received_at: Time | None


class DeviceAnswer(ResponseModel):
    """When a device last verified a phone."""

    verified_at: Time | None = Field(
        description="The time of the verification that made the token. Null if the token is wrong, expired, forgotten, "
        "or not for this phone."
    )


class AuditEntryAnswer(ResponseModel):
    """What an operator did, or a security event. `outcome` of an action is `done`, `begun` or the code of an error."""

    id: Id
    at: Time
    action: str = Field(examples=["unblocked"])
    actor: str = Field(examples=["ann"])
    reason: str = Field(examples=["the user called"])
    phone_id: str = Field(description="The pseudonym of the phone; empty if it is about none.", examples=[EXAMPLE_ID])
    scope: str = Field(description="With the guard and circuits.", examples=["range"])
    subject: str = Field(description="The subject of the scope, by its pseudonym or name.", examples=[EXAMPLE_ID])
    outcome: str = Field(examples=["done"])
    count: int = Field(ge=0, description="How often it has happened in this hour so far.", examples=[1])


class AuditAnswer(ResponseModel):
    """The entries of the audit, newest first."""

    entries: list[AuditEntryAnswer]
    is_capped: bool = Field(description="The audit has reached its greatest length: older entries may be gone.")
    oldest: Time | None = Field(description="The time of the oldest entry that is kept.")


class HealthAnswer(ResponseModel):
    """The process runs, or is ready."""

    status: Literal["ok"]


class FieldError(ResponseModel):
    """A problem with one field."""

    pointer: str = Field(description="A JSON pointer into the body, or a header's name.", examples=["#/phone"])
    kind: str = Field(description="The kind of problem, as pydantic names it.", examples=["missing"])


class CommonProblem(ResponseModel):
    """RFC 9457. `code` is a stable word to branch on. `detail` is for the person at the form."""

    model_config = ConfigDict(title="ProblemDocument")
    type: str = Field(json_schema_extra={"format": "uri"}, examples=["urn:otpkit:problem:phone"])
    title: str = Field(examples=["Not a mobile number"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(examples=["Please enter a valid mobile number."])
    code: str = Field(examples=["phone"])
    retry_after: int = Field(1, ge=1, description="Seconds to wait; only if waiting helps.", examples=[60])
    attempts_left: int = Field(0, ge=0, description="With `wrong_code`.")
    scope: str = Field(
        "", description="With `rate_limit`: phone, ip, region, total, failures, gateway, guard or budget."
    )
    code_is_live: bool = Field(False, description="With `rate_limit`: a code can still be entered; show its form.")
    category: str = Field("", description="With `gateway_rejected`: the category, which shows who must act.")
    provider: str = Field(
        "", description="With `captcha_required` and `captcha_rejected`: the captcha's name.", examples=["turnstile"]
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="With `captcha_required` and `captcha_rejected`: what a page needs to show the captcha.",
    )


class ProblemDocument(CommonProblem):
    """RFC 9457. `code` is a stable word to branch on. `detail` is for the person at the form."""

    scope: str = Field(
        "", description="With `rate_limit`: phone, ip, region, total, failures, gateway, range, guard_ip or budget."
    )
    reasons: list[str] = Field(
        default_factory=list,
        description="With `captcha_required`, `captcha_rejected` and `refused`: the scopes over their allowance, or "
        "the words of your own judgement. They are not for the visitor.",
        examples=[["range"]],
    )
    errors: list[FieldError] = Field(default_factory=list, description="With `invalid_request`.")
    request_id: str = Field(
        "", description="The id of the request, as in the header X-Request-Id and in the service's log."
    )
    trace_id: str = Field("", description="The id of the request's trace, if the service exports traces.")


Count = Annotated[int, Field(ge=0, examples=[12])]
Counts = Annotated[dict[str, Count], Field(examples=[{"phone": 3}])]
Money = Annotated[
    Decimal,
    PlainSerializer(lambda amount: format(amount, "f"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$", "examples": ["1.35"]}),
]
Seconds = Annotated[float, Field(ge=0, description="Seconds from a message to its receipt.", examples=[4.5])]


class FiguresAnswer(ResponseModel):
    """What happened in a span of time. `cost` is in the currency of the prices."""

    sent: Count = Field(description="Messages that a gateway accepted or may have sent.")
    uncertain: Count = Field(description="Those of them that it may have sent.")
    relayed: Count = Field(description="Those of them whose code another system keeps.")
    rejected: Count = Field(description="Messages that a gateway certainly did not send.")
    delivered: Count
    failed: Count
    verified: Count
    wrong_codes: Count
    limited: Counts = Field(description="Refused calls by the scope of a limit, `budget`, `gateway` or `blocked`.")
    guard: Counts = Field(description="Decisions by outcome: `captcha`, `refused`, `observed`.")
    cost: Money
    relayed_cost: Money = Field(description="The part of the relayed messages.")
    conversion: float | None = Field(
        description="Verified challenges for each sent message that is not relayed; null without any."
    )
    cost_per_verified: Money | None = Field(description="Without the cost of relayed messages.")
    receipt_p50: Seconds | None
    receipt_p95: Seconds | None


class SpanAnswer(FiguresAnswer):
    """The figures of an hour or of a UTC day, and its start."""

    at: Time


class StatsAnswer(ResponseModel):
    """The figures in all, by region, by gateway, and by hour or day, oldest first."""

    since: Time
    until: Time
    currency: str = Field(examples=["CNY"])
    total: FiguresAnswer
    regions: dict[str, FiguresAnswer]
    gateways: dict[str, FiguresAnswer]
    spans: list[SpanAnswer]
