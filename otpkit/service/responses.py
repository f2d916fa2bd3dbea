"""How answers are written: JSON for values, problem documents for errors, and nothing of them cached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from otpkit.errors import CodeError, Language, MalformedCodeError, OTPError, TokenError
from otpkit.gateways.base import Delivery
from otpkit.models import Challenge, Proof
from otpkit.web import MEDIA_TYPE, Problem, plain_problem, problem

CONFLICT: Final = 409
_NO_ROUTE: Final = {404: ("not_found", "There is nothing here"), 405: ("method_not_allowed", "Not by this method")}
_NO_STORE: Final = {"Cache-Control": "no-store"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Refused(Exception):
    """A request that is answered by a problem document before anything is asked of the `AsyncOTP`."""

    def __init__(self, refusal: Problem) -> None:
        super().__init__(refusal.body["code"])
        self.problem = refusal


def refused(
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    evidence: Mapping[str, object] | None = None,
) -> Refused:
    """Return what to raise for a request that can't be served; `detail` is for the caller's developer."""
    return Refused(plain_problem(status, code, title, detail, {"Content-Language": "en", **(headers or {})}, evidence))


def problem_answer(found: Problem) -> Response:
    """Return the answer of a problem document."""
    return Response(found.json(), found.status, dict(found.headers), MEDIA_TYPE)


def no_route(error: HTTPException) -> Response:
    """Return the answer to a request that no route takes: 404, or 405 with `Allow`."""
    code, title = _NO_ROUTE.get(error.status_code, ("refused", "The request was refused"))
    headers = {"Content-Language": "en", **(error.headers or {})}
    detail = "See /openapi.json for what there is."
    return problem_answer(plain_problem(error.status_code, code, title, detail, headers))


def error_answer(error: OTPError, language: Language) -> Response:
    """Return the answer of an error.

    A code or a token that does not hold is 409, not 422 or 401: the request is well formed, and its API key is good;
    what it shows conflicts with what the store knows (RFC 9110 §15.5.10). So 401 is about API keys alone, and 422 says
    that the same request can never succeed.
    """
    found = problem(error, language)
    if isinstance(error, (CodeError, TokenError)) and not isinstance(error, MalformedCodeError):
        found = replace(found, status=CONFLICT, body={**found.body, "status": CONFLICT})
    return problem_answer(found)


def json_answer(value: Mapping[str, object], status: int = 200) -> Response:
    """Return an answer of JSON."""
    return Response(_encode(value), status, _NO_STORE, "application/json")


def challenge_json(challenge: Challenge) -> dict[str, Any]:
    """Return what is told of a challenge."""
    return {
        "id": challenge.id,
        "phone": challenge.phone,
        "purpose": challenge.purpose,
        "delivery": challenge.delivery,
        "expires_at": _time(challenge.expires_at),
        "expires_in": challenge.expires_in,
        "resend_at": _time(challenge.resend_at),
        "resend_in": challenge.resend_in,
        "attempts_left": challenge.attempts_left,
        "sends_left": challenge.sends_left,
        "replayed": challenge.replayed,
        "gateway": challenge.gateway,
    }


def proof_json(proof: Proof) -> dict[str, Any]:
    """Return what is told of a proof, its token included."""
    return {
        "id": proof.id,
        "phone": proof.phone,
        "purpose": proof.purpose,
        "verified_at": _time(proof.verified_at),
        "expires_at": _time(proof.expires_at),
        "fixed": proof.fixed,
        "replayed": proof.replayed,
        "token": proof.token,
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return what is told of a delivery."""
    return {
        "state": delivery.state,
        "gateway": delivery.gateway,
        "result_code": delivery.result_code,
        "sent_at": None if delivery.sent_at is None else _time(delivery.sent_at),
        "received_at": None if delivery.received_at is None else _time(delivery.received_at),
    }


def _time(moment: datetime) -> str:
    """Write an aware UTC datetime by RFC 3339, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
