"""What is asked and answered, as JSON: the models by which bodies are read and the OpenAPI document is written."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

EXAMPLE_PHONE = "+8613800138000"
EXAMPLE_TIME = "2026-01-01T12:00:00.000Z"
EXAMPLE_ID = "q0Zf3yJm1hW8cV5tR2nXbA"


def _check_ip(text: str) -> str:
    if "%" in text:  # a zone means something on one host alone
        raise ValueError
    ipaddress.ip_address(text)
    return text


class Body(BaseModel):
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
    Field(description="The region of a number without a country code; the policy's own if left out.", examples=["CN"]),
]
Purpose = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="What the code is for. The API key must be allowed it.",
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
        json_schema_extra={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
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


def _without_default(schema: dict[str, Any]) -> None:
    """Say in the schema of a field that it can be left out, which is not the same as null."""
    schema.pop("default", None)


class _About(Body):
    phone: Phone
    region: Region | None = None
    purpose: Purpose = "signup"
    bind: Bind = ""


class ChallengeRequest(_About):
    """Send a code to a phone."""

    ip: Ip | None = None
    params: dict[str, str] | None = Field(
        None, description="Values for the template's variables, but for the one that carries the code."
    )
    channel: Literal["sms", "voice"] = Field("sms", description="A message, or a call that speaks the code.")


class ChallengeQuery(_About):
    """Name a challenge."""


class VerificationRequest(_About):
    """Verify the code that a phone received."""

    code: Code
    ip: Ip | None = None


class RedemptionRequest(Body):
    """Redeem a proof."""

    token: Token
    purpose: Purpose = "signup"
    bind: Bind = ""
    phone: Phone | None = Field(
        None,
        description="If given, the proof must be of this phone; null is no phone's. Left out, any phone's will do: use "
        "the answer's then, never the form's.",
        json_schema_extra=_without_default,
    )
    region: Region | None = None
    request: str | None = Field(
        None,
        max_length=512,
        description="A text that is the same for the same form, such as a digest of its fields: with the same "
        "Idempotency-Key another one is `used_token`.",
        examples=["9f86d081884c7d65"],
    )


class Answer(BaseModel):
    """An answer's body. Further fields may be added: ignore those that you don't know."""


Seconds = Annotated[int, Field(ge=0, examples=[300])]
Time = Annotated[datetime, Field(examples=[EXAMPLE_TIME])]


class ChallengeAnswer(Answer):
    """A live challenge. Times are by the store's clock; `_in` is in seconds, and for the same moments."""

    id: str = Field(examples=[EXAMPLE_ID])
    phone: str = Field(description="E.164.", examples=[EXAMPLE_PHONE])
    purpose: str = Field(examples=["signup"])
    delivery: Literal["pending", "accepted", "uncertain", "delivered", "failed"] = Field(
        description="`uncertain`: it may or may not have been sent; show the form for the code, and a resend."
    )
    expires_at: Time
    expires_in: Seconds
    resend_at: Time
    resend_in: Annotated[int, Field(ge=0, examples=[60])]
    attempts_left: int = Field(ge=0, examples=[5])
    sends_left: int = Field(ge=0, examples=[4])
    replayed: bool = Field(description="The Idempotency-Key was seen before: nothing was sent for this request.")
    gateway: str = Field(description="Who served; empty while it is not known.", examples=["alidayu"])


class ProofAnswer(Answer):
    """A proof that the phone is its holder's."""

    id: str = Field(examples=[EXAMPLE_ID])
    phone: str = Field(description="E.164.", examples=[EXAMPLE_PHONE])
    purpose: str = Field(examples=["signup"])
    verified_at: Time
    expires_at: Time
    fixed: bool = Field(description="A fixed code for reviewers was used: no message was ever received.")
    replayed: bool = Field(
        description="This proof was redeemed before, by its Idempotency-Key: return what exists, make nothing new. "
        "False for a verification."
    )
    token: Token


class DeliveryAnswer(Answer):
    """What became of the latest message of the live challenge."""

    state: Literal["pending", "delivered", "failed", "unknown"]
    gateway: str = Field(examples=["alidayu"])
    result_code: str = Field(description="The carrier's; empty where there is none.", examples=["DELIVERED"])
    sent_at: Time | None
    received_at: Time | None


class HealthAnswer(Answer):
    """The process lives, or is ready."""

    status: Literal["ok"]


class FieldError(Answer):
    """What is wrong with one field."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or a header.", examples=["#/phone"])
    kind: str = Field(description="What is wrong, as pydantic names it.", examples=["missing"])


class ProblemDocument(Answer):
    """RFC 9457. `code` is a stable word to branch on; `detail` is for the person at the form."""

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
    errors: list[FieldError] = Field(default_factory=list, description="With `invalid_request`.")
