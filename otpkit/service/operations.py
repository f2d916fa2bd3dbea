"""The operations of the service, each with its path, body, responses and problems."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from otpkit import AsyncOTP, ConfigurationError, PhoneError, fold, normalize
from otpkit.aio import config_of
from otpkit.core.arguments import NOT_GIVEN, NotGiven
from otpkit.core.audit import read_operator
from otpkit.core.spelling import check_region
from otpkit.models import DeliveryState
from otpkit.service.parsing import invalid
from otpkit.service.responses import json_response, refused
from otpkit.web import schemas

# Problem statuses of every operation: unreadable request, API key, service failure.
ALWAYS: Final = (400, 401, 403, 413, 415, 422, 500, 503)


@dataclass(frozen=True, slots=True)
class Call:
    """The parts of a request that an operation needs.

    These are its body, the visitor's IP address, its idempotency key, and the name of its API key.
    """

    body: Any
    ip: str | None
    idempotency_key: str | None
    api_key: str


Run = Callable[[AsyncOTP, Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: a POST with a JSON body.

    `answers` maps the statuses of success to their meaning and model. `problems` are the statuses of its errors, beside
    `ALWAYS`. `takes_key`: it reads the header `Idempotency-Key`. `for_operators`: the key needs no purpose, but
    `operator`.
    """

    path: str
    name: str
    summary: str
    description: str
    body: type[BaseModel]
    answers: Mapping[int, tuple[str, type[BaseModel] | None]]
    problems: tuple[int, ...] = ()
    takes_key: bool = False
    for_operators: bool = False
    run: Run


def _phone(otp: AsyncOTP, body: Any) -> str:
    """Return the phone in a body as E.164. Pasted characters are normalized."""
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
        return ""  # A text that is not a phone can't be the proof's phone.


def _check_reason(otp: AsyncOTP, reason: str) -> None:
    """Refuse a reason that the audit does not keep, such as one with a phone number."""
    problem = ""
    try:
        read_operator(config_of(otp), "", reason)
    except ConfigurationError as error:
        problem = error.problem
    if problem:
        raise invalid("#/reason", problem)


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
        device=body.device,
        budget_key=call.api_key,
        captcha=body.captcha,
        known=body.known,
        discreet=body.discreet,
    )
    return json_response(schemas.ChallengeAnswer, challenge, _status_of(challenge.delivery))


def _status_of(delivery: DeliveryState) -> int:
    return 202 if delivery in {"pending", "uncertain"} else 201


async def _send(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.SendRequest = call.body
    sent = await otp.send(
        _phone(otp, body),
        body.purpose,
        body.code,
        minutes=body.minutes,
        ip=call.ip,
        params=body.params,
        idempotency_key=call.idempotency_key,
        channel=body.channel,
        device=body.device,
        budget_key=call.api_key,
        captcha=body.captcha,
        known=body.known,
    )
    return json_response(schemas.SentAnswer, sent, _status_of(sent.delivery))


async def _verify(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.VerificationRequest = call.body
    proof = await otp.verify(
        _phone(otp, body),
        fold(body.code),
        body.purpose,
        bind=body.bind,
        ip=call.ip,
        idempotency_key=call.idempotency_key,
        device=body.device,
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
        raise refused(404, "no_challenge", "There is no live challenge", "Issue a code first.")
    return json_response(schemas.ChallengeAnswer, challenge)


async def _delivery(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.ChallengeQuery = call.body
    delivery = await otp.delivery(_phone(otp, body), body.purpose, bind=body.bind)
    return json_response(schemas.DeliveryAnswer, delivery)


async def _revoke(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.ChallengeQuery = call.body
    await otp.revoke(_phone(otp, body), body.purpose, bind=body.bind)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


async def _check_device(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.DeviceQuery = call.body
    verified_at = await otp.check_device(body.device, _phone(otp, body))
    return json_response(schemas.DeviceAnswer, {"verified_at": verified_at})


async def _forget_devices(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.DevicesQuery = call.body
    _check_reason(otp, body.reason)
    await otp.forget_devices(_phone(otp, body), actor=call.api_key, reason=body.reason)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


async def _audit(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.AuditQuery = call.body
    phone = None if body.phone is None else _phone(otp, body)
    return json_response(schemas.AuditAnswer, await otp.audit(phone, since=body.since, limit=body.limit))


async def _stats(otp: AsyncOTP, call: Call) -> Response:
    body: schemas.StatsQuery = call.body
    found = await otp.stats(body.hours)
    spans = [{name: getattr(each, name) for name in _FIGURES} | {"at": at} for at, each in found.spans]
    named = {name: getattr(found, name) for name in ("since", "until", "currency", "total", "regions", "gateways")}
    return json_response(schemas.StatsAnswer, named | {"spans": spans})


_FIGURES: Final = tuple(schemas.FiguresAnswer.model_fields)
OPERATIONS: Final = (
    Operation(
        path="/v1/challenges",
        name="issue",
        summary="Send a code",
        description="While a code for the same phone, purpose and bind is live, the same code is sent again. "
        "Each request can cost you an SMS: configure the guard, or put a first factor or a risk check before it. "
        "403 with `captcha_required` or `captcha_rejected` has the `provider` and `parameters` of a captcha: show it, "
        "and repeat the request with the visitor's answer as `captcha`. "
        "423 and 429 (scopes `phone`, `failures`, `gateway`) reveal what others did with the number. Nothing is sent "
        "then: set `discreet`, and show strangers the answer of 202 instead.",
        body=schemas.ChallengeRequest,
        answers={
            201: ("The gateway accepted the message.", schemas.ChallengeAnswer),
            202: ("The message may or may not be sent, or is being sent: show the form.", schemas.ChallengeAnswer),
        },
        problems=(423, 429, 502),
        takes_key=True,
        run=_issue,
    ),
    Operation(
        path="/v1/send",
        name="send",
        summary="Send a code that another system keeps",
        description="For systems that make and verify their own codes. The limits, the guard, the budgets and the "
        "gateways are those of a challenge, and there is none: nothing can be verified here, and the code is neither "
        "stored nor logged. Set an Idempotency-Key, so that a repeated request sends nothing.",
        body=schemas.SendRequest,
        answers={
            201: ("The gateway accepted the message.", schemas.SentAnswer),
            202: ("The message may or may not be sent, or is being sent.", schemas.SentAnswer),
        },
        problems=(423, 429, 502),
        takes_key=True,
        run=_send,
    ),
    Operation(
        path="/v1/verifications",
        name="verify",
        summary="Verify a code",
        description="A correct code is used up, and the answer is a proof. A wrong one is counted.",
        body=schemas.VerificationRequest,
        answers={200: ("The code is correct.", schemas.ProofAnswer)},
        problems=(409, 423, 429),
        takes_key=True,
        run=_verify,
    ),
    Operation(
        path="/v1/proofs/redeem",
        name="redeem",
        summary="Redeem a proof, only once",
        description="Call it in the form that creates the account. Use the phone of the answer, never the form's. If "
        "the visitor can choose the Idempotency-Key, check `replayed`: one proof must create one account.",
        body=schemas.RedemptionRequest,
        answers={200: ("The proof is valid, and is now used up.", schemas.ProofAnswer)},
        problems=(409,),
        takes_key=True,
        run=_redeem,
    ),
    Operation(
        path="/v1/challenges/status",
        name="status",
        summary="Get the live challenge",
        description="Nothing is sent or counted. It reveals if a code is live, so do not show it to strangers.",
        body=schemas.ChallengeQuery,
        answers={200: ("The live challenge.", schemas.ChallengeAnswer)},
        problems=(404,),
        run=_status,
    ),
    Operation(
        path="/v1/challenges/delivery",
        name="delivery",
        summary="Get the delivery of the latest message",
        description="The gateway is queried if it supports that. Do not show it to strangers.",
        body=schemas.ChallengeQuery,
        answers={200: ("The delivery, as far as it is known.", schemas.DeliveryAnswer)},
        problems=(502,),
        run=_delivery,
    ),
    Operation(
        path="/v1/challenges/revoke",
        name="revoke",
        summary="Cancel the live challenge",
        description="Its code is no longer valid. If there is no live challenge, nothing happens.",
        body=schemas.ChallengeQuery,
        answers={204: ("There is no live challenge now.", None)},
        run=_revoke,
    ),
    Operation(
        path="/v1/devices/check",
        name="check_device",
        summary="Get when a device last verified a phone",
        description="Nothing is sent or counted. Use it to skip the code on a device that verified the phone lately. "
        "A device is one for all purposes, so any key with a purpose may ask.",
        body=schemas.DeviceQuery,
        answers={200: ("The time of its verification, or null.", schemas.DeviceAnswer)},
        run=_check_device,
    ),
    Operation(
        path="/v1/devices/forget",
        name="forget_devices",
        summary="End all device tokens of a phone",
        description="For a user who lost a device. Each device of the phone becomes a stranger's until it verifies the "
        "phone again. It holds for all purposes, so it is only for keys with `operator`. The audit has the key's name "
        "and the reason.",
        body=schemas.DevicesQuery,
        answers={204: ("The phone has no device now.", None)},
        for_operators=True,
        run=_forget_devices,
    ),
    Operation(
        path="/v1/audit",
        name="audit",
        summary="Read the audit",
        description="What operators did and why, and security events, by pseudonym. Only for keys with `operator`.",
        body=schemas.AuditQuery,
        answers={200: ("The entries, newest first.", schemas.AuditAnswer)},
        for_operators=True,
        run=_audit,
    ),
    Operation(
        path="/v1/stats",
        name="stats",
        summary="Read the figures",
        description="Messages, verifications, refusals and cost, by region, by gateway and by hour, without anything "
        "about a person. Only for keys with `operator`.",
        body=schemas.StatsQuery,
        answers={200: ("The figures.", schemas.StatsAnswer)},
        for_operators=True,
        run=_stats,
    ),
)
