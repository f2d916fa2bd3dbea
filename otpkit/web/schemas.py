"""The JSON bodies of the HTTP service and of FastAPI's router: pydantic models, which OpenAPI documents are made from.

It needs the extra `json`. Only JSON routers import it.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, Final, Literal

from otpkit.errors import ConfigurationError

try:
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
except ModuleNotFoundError as missing:
    raise ConfigurationError("otpkit.web.schemas needs pydantic.", "Run: pip install 'otpkit[json]'.") from missing

# What each status of a problem means, where it means the same in the service and in FastAPI's router.
MEANINGS: Final = {
    413: "The body has more than 16 KiB.",
    415: "The body is not sent as application/json.",
    423: "Too many wrong codes in a row for this number: only an operator can help.",
    429: "A limit is used up: `Retry-After` says for how long.",
    502: "The gateway refused: certainly not sent.",
    503: "The store did not answer: nothing was granted, nothing was sent.",
}
EXAMPLE_PHONE: Final = "+8613800138000"
EXAMPLE_TIME: Final = "2026-01-01T12:00:00.000Z"
EXAMPLE_ID: Final = "q0Zf3yJm1hW8cV5tR2nXbA"


def _ip_pattern() -> str:
    """Return a pattern for what `ipaddress` reads: IPv4, and IPv6 without a zone (RFC 3986 §3.2.2)."""
    byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    v4, group = rf"({byte}\.){{3}}{byte}", "[0-9A-Fa-f]{1,4}"
    last = f"({group}:{group}|{v4})"
    shortened = [f"({group}(:{group}){{0,{n}}})?::({group}:){{{4 - n}}}{last}" for n in range(5)]
    v6 = [f"({group}:){{6}}{last}", f"::({group}:){{5}}{last}", *shortened]
    v6 += [f"({group}(:{group}){{0,5}})?::{group}", f"({group}(:{group}){{0,6}})?::"]
    return f"^({'|'.join([v4, *v6])})$"


def _check_ip(text: str) -> str:
    if "%" in text:  # A zone means something on one host alone.
        raise ValueError
    ipaddress.ip_address(text)
    return text


def _rfc3339(moment: datetime) -> str:
    """Write an aware UTC datetime by RFC 3339, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RequestModel(BaseModel):
    """A request's body. Types are strict, unknown fields are refused, and no error repeats what was sent."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


Phone = Annotated[
    str,
    Field(
        description="The number as it was typed: ASCII or full-width digits, with blanks, hyphens and dots between "
        "them; pairs of parentheses are taken too. What people paste is folded to that first: marks of direction, "
        "digits of other scripts, other blanks and hyphens.",
        examples=[EXAMPLE_PHONE],
    ),
]
Code = Annotated[
    str,
    Field(
        description="The code as it was typed; blanks and hyphens are dropped, and what people paste is folded as in "
        "`phone`.",
        examples=["123456"],
    ),
]
Region = Annotated[
    str,
    Field(
        description="The region of a number without a country code (ISO 3166-1 alpha-2); the policy's own if left out.",
        examples=["CN"],
    ),
]
Purpose = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="What the code is for. The API key must be allowed it. Left out, it is `signup`.",
        examples=["signup"],
    ),
]
Bind = Annotated[
    str,
    Field(
        max_length=512,
        description="What the code stays tied to, such as a session's id: only who sends the same text can verify.",
        examples=["session-5f1c"],
    ),
]
Ip = Annotated[
    str,
    AfterValidator(_check_ip),
    Field(
        description="The visitor's address, as your own server knows it, for the limits by address. Left out, there "
        "are none, unless the service is told to believe your proxies' X-Forwarded-For.",
        json_schema_extra={"pattern": _ip_pattern()},
        examples=["203.0.113.7"],
    ),
]
Token = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        description="The proof's token. It shows the phone: keep it out of URLs and logs.",
        examples=["eyJpZCI6IjFkTkV.aVhQ1w.Zk3_0c"],
    ),
]


class _About(RequestModel):
    phone: Phone = Field(repr=False)
    region: Region | None = None
    purpose: Purpose = "signup"
    bind: Bind = ""


class ChallengeRequest(_About):
    """Send a code to a phone."""

    ip: Ip | None = None
    params: dict[str, str] | None = Field(
        None, description="Values for the template's variables, but for the one that carries the code."
    )
    channel: Literal["sms", "voice"] = Field(
        "sms", description="A message, or a call that speaks the code. Left out, it is `sms`."
    )


class ChallengeQuery(_About):
    """Name a challenge."""


class VerificationRequest(_About):
    """Verify the code that a phone received."""

    code: Code = Field(repr=False)
    ip: Ip | None = None


class RedemptionRequest(RequestModel):
    """Redeem a proof."""

    token: Token = Field(repr=False)
    purpose: Purpose = "signup"
    bind: Bind = ""
    phone: Phone | None = Field(
        None,
        repr=False,
        description="If given, the proof must be of this phone; null is no phone's. Left out, any phone's will do: use "
        "the answer's then, never the form's.",
    )
    region: Region | None = None
    request: str | None = Field(
        None,
        max_length=512,
        description="A text that is the same for the same form, such as a digest of its fields: with the same "
        "Idempotency-Key another one is `used_token`.",
        examples=["9f86d081884c7d65"],
    )


class PhoneToVerify(BaseModel):
    """The phone that a code is for. The purpose and the bind are the application's own."""

    model_config = ConfigDict(extra="forbid")
    phone: Phone = Field(repr=False)
    region: Region | None = None


class CodeToVerify(PhoneToVerify):
    """The phone, and the code that the person typed."""

    code: Code = Field(repr=False)


class ResponseModel(BaseModel):
    """A response's body. Further fields may be added: ignore those that you don't know."""

    model_config = ConfigDict(from_attributes=True)


DeliveryState = Annotated[
    Literal["pending", "accepted", "uncertain", "delivered", "failed"],
    Field(description="`uncertain`: it may or may not have been sent; show the form for the code, and a resend."),
]
ExpiresIn = Annotated[int, Field(ge=0, description="Seconds that it still lives.", examples=[300])]
ResendIn = Annotated[int, Field(ge=0, description="Seconds until the code may be sent again.", examples=[60])]
AttemptsLeft = Annotated[int, Field(ge=0, description="Wrong codes that it still takes.", examples=[5])]
SendsLeft = Annotated[int, Field(ge=0, description="Messages that the phone may still get.", examples=[4])]
E164 = Annotated[str, Field(description="E.164.", examples=[EXAMPLE_PHONE])]
Id = Annotated[str, Field(examples=[EXAMPLE_ID])]
Time = Annotated[
    datetime,
    PlainSerializer(_rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": [EXAMPLE_TIME]}),
]


class ChallengeAnswer(ResponseModel):
    """A live challenge. Times are by the store's clock; `_in` is in seconds, and for the same moments."""

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
    replayed: bool = Field(description="The Idempotency-Key was seen before: nothing was sent for this request.")
    gateway: str = Field(description="Who served; empty while it is not known.", examples=["alidayu"])


class PhoneChallenge(ResponseModel):
    """A live challenge, as a visitor may see it. Show the form for the code, also where the delivery is uncertain."""

    delivery: DeliveryState
    expires_in: ExpiresIn
    resend_in: ResendIn
    attempts_left: AttemptsLeft
    sends_left: SendsLeft


class ProofAnswer(ResponseModel):
    """A proof that the phone is its holder's."""

    id: Id
    phone: E164 = Field(repr=False)
    purpose: str = Field(examples=["signup"])
    verified_at: Time
    expires_at: Time
    fixed: bool = Field(description="A fixed code for reviewers was used: no message was ever received.")
    replayed: bool = Field(
        description="This proof was redeemed before, by its Idempotency-Key: return what exists, make nothing new. "
        "False for a verification."
    )
    token: Token = Field(repr=False)


class PhoneProof(ResponseModel):
    """A verified phone."""

    token: Token = Field(repr=False)
    phone: E164 = Field(repr=False)
    expires_in: ExpiresIn


class DeliveryAnswer(ResponseModel):
    """What became of the latest message of the live challenge."""

    state: Literal["pending", "delivered", "failed", "unknown"]
    gateway: str = Field(examples=["alidayu"])
    result_code: str = Field(description="The carrier's; empty where there is none.", examples=["DELIVERED"])
    sent_at: Time | None
    received_at: Time | None


class HealthAnswer(ResponseModel):
    """The process lives, or is ready."""

    status: Literal["ok"]


class FieldError(ResponseModel):
    """What is wrong with one field."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or a header.", examples=["#/phone"])
    kind: str = Field(description="What is wrong, as pydantic names it.", examples=["missing"])


class CommonProblem(ResponseModel):
    """RFC 9457. `code` is a stable word to branch on; `detail` is for the person at the form."""

    model_config = ConfigDict(title="ProblemDocument")
    type: str = Field(json_schema_extra={"format": "uri"}, examples=["urn:otpkit:problem:phone"])
    title: str = Field(examples=["Not a mobile number"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(examples=["Please enter a valid mobile number."])
    code: str = Field(examples=["phone"])
    retry_after: int = Field(1, ge=1, description="Seconds; only where waiting helps.", examples=[60])
    attempts_left: int = Field(0, ge=0, description="With `wrong_code`.")
    scope: str = Field("", description="With `rate_limit`: phone, ip, region, total, failures or gateway.")
    code_is_live: bool = Field(False, description="With `rate_limit`: a code can still be typed; show its form.")
    category: str = Field("", description="With `gateway_rejected`: who must act.")


class ProblemDocument(CommonProblem):
    """RFC 9457. `code` is a stable word to branch on; `detail` is for the person at the form."""

    errors: list[FieldError] = Field(default_factory=list, description="With `invalid_request`.")
