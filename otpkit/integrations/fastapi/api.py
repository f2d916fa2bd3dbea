"""The JSON calls of a purpose, with strict request bodies and documented problem responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from otpkit import AsyncOTP, Challenge, OTPError, fold, normalize
from otpkit.frames import without_locals
from otpkit.integrations.fastapi.bodies import with_body
from otpkit.integrations.fastapi.dependencies import Bind, Key, Otp, require_bind
from otpkit.web import (
    MAX_BODY,
    MEDIA_TYPE,
    CodeRefusedError,
    Problem,
    plain_problem,
    presumed_challenge,
    tells_of_number,
)
from otpkit.web.bodies import read_bounded
from otpkit.web.schemas import (
    MEANINGS,
    CodeToSend,
    CodeToVerify,
    CommonProblem,
    PhoneChallenge,
    PhoneProof,
    PhoneToVerify,
)

_MAX_DETAIL = 300  # characters; the text may contain anything that the client sent


_MEANINGS: Final = {
    **{status: MEANINGS[status] for status in (413, 415, 423, 429, 502, 503)},
    422: "Not a number, not a code, a wrong or dead code, or a body that can't be read.",
}
_CONTENT: Final = {MEDIA_TYPE: {"schema": CommonProblem.model_json_schema()}}
PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": meaning, "content": _CONTENT} for status, meaning in sorted(_MEANINGS.items())
}
GUARD_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    403: {
        "description": "A captcha is needed, or its answer is not accepted: `captcha_required`, `captcha_rejected`. "
        "`parameters` is what a page needs to show it. Or the application refuses the request: `refused`.",
        "content": _CONTENT,
    }
}


class _Route(APIRoute):
    """A route that reports bad bodies as problem documents. FastAPI's own would repeat the number and the code."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        @without_locals
        async def answer(request: Request) -> Response:
            if not _is_json(request):
                detail = "Send the header Content-Type: application/json."
                return _respond(plain_problem(415, "not_json", "Not JSON", detail))
            body = await read_bounded(request.stream(), MAX_BODY)
            if body is None:
                return _respond(plain_problem(413, "too_long", "Too long", f"Send at most {MAX_BODY} bytes."))
            try:
                response = await handle(with_body(request, body))
            except RequestValidationError as error:
                wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
                detail = "; ".join(wrong)[:_MAX_DETAIL]
                return _respond(plain_problem(422, "malformed_request", "The request can't be read", detail))
            response.headers["Cache-Control"] = "no-store"  # The response holds a proof, or values that soon change.
            return response

        return answer


def json_router(
    purpose: str,
    bind: Bind,
    address: Callable[[Request], str | None],
    is_known: Callable[[Request, str], Awaitable[bool]],
    *,
    discreet: bool = False,
) -> APIRouter:
    """Return the router of `PhoneVerification.router`.

    `address` returns a request's client IP address, or None. `is_known` returns True if a number is the verified number
    of the account that is logged in.
    """
    router = APIRouter(route_class=_Route, responses=PROBLEMS)

    async def bound(given: str = Depends(bind)) -> str:
        return require_bind(given)

    @router.post("/challenges", status_code=202, responses=GUARD_PROBLEMS)
    async def issue(
        body: CodeToSend, request: Request, otp: Otp, own: str = Depends(bound), key: Key = None
    ) -> PhoneChallenge:
        """Send a code. While one is live, send the same code again."""
        ip, phone = address(request), _phone(body, otp)
        known = await is_known(request, phone)
        try:
            challenge = await otp.issue(
                phone,
                purpose,
                bind=own,
                ip=ip,
                idempotency_key=key,
                device=body.device,
                captcha=body.captcha,
                known=known,
                discreet=discreet,
            )
        except OTPError as error:
            if not (discreet and tells_of_number(error)):
                raise
        return _live(presumed_challenge(phone, purpose, otp.policy) if discreet else challenge)

    async def status(body: PhoneToVerify, otp: Otp, own: str = Depends(bound)) -> PhoneChallenge | None:
        """Return the live challenge that this client requested, or null."""
        found = await otp.status(_phone(body, otp), purpose, bind=own, device=body.device)
        return None if found is None else _live(found)

    if not discreet:
        router.post("/challenges/status")(status)

    @router.post("/verifications")
    async def verify(
        body: CodeToVerify, request: Request, otp: Otp, own: str = Depends(bound), key: Key = None
    ) -> PhoneProof:
        """Verify a code. A correct code is used up, a wrong one is counted."""
        ip, phone = address(request), _phone(body, otp)
        try:
            proof = await otp.verify(
                phone, fold(body.code), purpose, bind=own, ip=ip, idempotency_key=key, device=body.device
            )
        except OTPError as error:
            if discreet and tells_of_number(error):
                raise CodeRefusedError from None
            raise
        life = proof.expires_at - proof.verified_at
        expires_in = int(life.total_seconds())
        return PhoneProof(token=proof.token, phone=proof.phone, expires_in=expires_in, device=proof.device)

    return router


def _phone(body: PhoneToVerify, otp: AsyncOTP) -> str:
    region = otp.policy.default_region if body.region is None else body.region
    return normalize(body.phone, region, regions=otp.policy.regions)


def _live(challenge: Challenge) -> PhoneChallenge:
    return PhoneChallenge.model_validate(challenge)


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _respond(found: Problem) -> Response:
    return Response(found.json(), found.status, dict(found.headers), MEDIA_TYPE)
