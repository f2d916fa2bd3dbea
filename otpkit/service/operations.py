"""What the service can be asked to do: each operation with its path, its body, its answers and its problems."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from otpkit import AsyncOTP, PhoneError, fold, normalize
from otpkit.core.arguments import NOT_GIVEN, NotGiven
from otpkit.core.spelling import check_region
from otpkit.service.responses import json_response, refused
from otpkit.web import schemas

# Refusals of every operation: what can't be read, by whom it was call, and a service that can't.
ALWAYS: Final = (400, 401, 403, 413, 415, 422, 500, 503)


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation needs of a request: its body, the visitor's address and the idempotency key, or None."""

    body: Any
    ip: str | None
    idempotency_key: str | None


Run = Callable[[AsyncOTP, Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation, a POST of JSON.

    `answers` are its successes by status: what they mean, and their model. `problems` are the statuses of its refusals,
    beside those of every operation. `takes_key` says whether `Idempotency-Key` is looked at.
    """

    path: str
    name: str
    summary: str
    description: str
    body: type[BaseModel]
    answers: Mapping[int, tuple[str, type[BaseModel] | None]]
    problems: tuple[int, ...] = ()
    takes_key: bool = False
    run: Run


def _phone(otp: AsyncOTP, body: Any) -> str:
    """Return the phone that a body names, as E.164, from whatever a person pasted."""
    region = otp.policy.default_region if body.region is None else body.region
    return normalize(body.phone, region, regions=otp.policy.regions)


def _phone_of_proof(otp: AsyncOTP, body: schemas.RedemptionRequest) -> str | NotGiven | None:
    if body.region is not None:
        check_region(body.region, otp.policy.regions)
    if body.phone is None:
        return None if "phone" in body.model_fields_set else NOT_GIVEN
    try:
        return _phone(otp, body)
    except PhoneError:
        return ""  # what is no phone is not the proof's


async def _issue(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.ChallengeRequest = call.body
    challenge = await otp.issue(
        _phone(otp, body),
        body.purpose,
        bind=body.bind,
        ip=call.ip,
        params=body.params,
        idempotency_key=call.idempotency_key,
        channel=body.channel,
    )
    status = 202 if challenge.delivery in {"pending", "uncertain"} else 201
    return json_response(schemas.ChallengeAnswer, challenge, status)


async def _verify(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.VerificationRequest = call.body
    proof = await otp.verify(
        _phone(otp, body),
        fold(body.code),
        body.purpose,
        bind=body.bind,
        ip=call.ip,
        idempotency_key=call.idempotency_key,
    )
    return json_response(schemas.ProofAnswer, proof)


async def _redeem(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.RedemptionRequest = call.body
    proof = await otp.redeem(
        body.token,
        body.purpose,
        bind=body.bind,
        phone=_phone_of_proof(otp, body),
        idempotency_key=call.idempotency_key,
        request=body.request,
    )
    return json_response(schemas.ProofAnswer, proof)


async def _status(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.ChallengeQuery = call.body
    challenge = await otp.status(_phone(otp, body), body.purpose, bind=body.bind)
    if challenge is None:
        raise refused(404, "no_challenge", "There is no live challenge", "Issue a code to begin one.")
    return json_response(schemas.ChallengeAnswer, challenge)


async def _delivery(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.ChallengeQuery = call.body
    delivery = await otp.delivery(_phone(otp, body), body.purpose, bind=body.bind)
    return json_response(schemas.DeliveryAnswer, delivery)


async def _revoke(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.ChallengeQuery = call.body
    await otp.revoke(_phone(otp, body), body.purpose, bind=body.bind)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


OPERATIONS: Final = (
    Operation(
        path="/v1/challenges",
        name="issue",
        summary="Send a code",
        description="While a code of the same phone, purpose and bind is live, the same code is sent again. "
        "A CAPTCHA, a first factor or a risk check belongs before it: whoever may make you send spends your money. "
        "423 and 429 (scopes `phone`, `failures`, `gateway`) tell what others did with the number; nothing is sent: "
        "show strangers the answer of 202 instead.",
        body=schemas.ChallengeRequest,
        answers={
            201: ("The gateway took the message.", schemas.ChallengeAnswer),
            202: ("It may or may not have been sent, or is under way: show the form.", schemas.ChallengeAnswer),
        },
        problems=(423, 429, 502),
        takes_key=True,
        run=_issue,
    ),
    Operation(
        path="/v1/verifications",
        name="verify",
        summary="Verify a code",
        description="A right code is used up and gives a proof. A wrong one is counted.",
        body=schemas.VerificationRequest,
        answers={200: ("The code is right.", schemas.ProofAnswer)},
        problems=(409, 423, 429),
        takes_key=True,
        run=_verify,
    ),
    Operation(
        path="/v1/proofs/redeem",
        name="redeem",
        summary="Redeem a proof, once ever",
        description="By the form that creates the account; use the phone of the answer, never the form's. Where "
        "the visitor may choose the Idempotency-Key, look at `replayed`: one proof makes one account.",
        body=schemas.RedemptionRequest,
        answers={200: ("The proof holds, and is now used up.", schemas.ProofAnswer)},
        problems=(409,),
        takes_key=True,
        run=_redeem,
    ),
    Operation(
        path="/v1/challenges/status",
        name="status",
        summary="Look at the live challenge",
        description="Nothing is sent or counted. It tells whether a code is live: show it to no stranger.",
        body=schemas.ChallengeQuery,
        answers={200: ("The live challenge.", schemas.ChallengeAnswer)},
        problems=(404,),
        run=_status,
    ),
    Operation(
        path="/v1/challenges/delivery",
        name="delivery",
        summary="Ask what became of the latest message",
        description="The gateway is asked where it can be. Show it to no stranger.",
        body=schemas.ChallengeQuery,
        answers={200: ("What is known.", schemas.DeliveryAnswer)},
        problems=(502,),
        run=_delivery,
    ),
    Operation(
        path="/v1/challenges/revoke",
        name="revoke",
        summary="End the live challenge",
        description="Its code is dead; where there is none, nothing happens.",
        body=schemas.ChallengeQuery,
        answers={204: ("There is no live challenge any more.", None)},
        run=_revoke,
    ),
)
