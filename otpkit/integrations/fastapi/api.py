"""The JSON calls of a purpose, with strict request bodies and documented problem responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from otpkit import AsyncOTP
from otpkit.frames import without_locals
from otpkit.integrations.fastapi.bodies import with_body
from otpkit.integrations.fastapi.dependencies import Bind, Key, Otp
from otpkit.web import MAX_BODY, MEDIA_TYPE, Problem, drive_async
from otpkit.web.bodies import read_bounded
from otpkit.web.json_calls import (
    ANSWER_HEADERS,
    ISSUE,
    STATUS,
    VERIFY,
    Client,
    JsonCalls,
    calls_of,
    malformed,
    unreadable,
    wrong_type,
)
from otpkit.web.schemas import (
    MEANINGS,
    CodeToSend,
    CodeToVerify,
    CommonProblem,
    PhoneChallenge,
    PhoneProof,
    PhoneToVerify,
)

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
            if found := wrong_type(request.headers.get("content-type", "")):
                return _respond(found)
            body = await read_bounded(request.stream(), MAX_BODY)
            if found := unreadable(body):
                return _respond(found)
            try:
                response = await handle(with_body(request, body or b""))
            except RequestValidationError as error:
                return _respond(malformed(error.errors()))
            response.headers.update(ANSWER_HEADERS)
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

    def calls(otp: AsyncOTP) -> JsonCalls:
        return JsonCalls(purpose, otp.policy, discreet)

    @router.post(ISSUE.path, status_code=ISSUE.status, responses=GUARD_PROBLEMS)
    async def issue(
        body: CodeToSend, request: Request, otp: Otp, own: str = Depends(bind), key: Key = None
    ) -> PhoneChallenge:
        """Send a code. While one is live, send the same code again."""
        client = Client(bind=own, ip=address(request), known=partial(is_known, request))
        return await drive_async(calls(otp).issue(body, client, key), otp)

    async def status(body: PhoneToVerify, otp: Otp, own: str = Depends(bind)) -> PhoneChallenge | None:
        """Return the live challenge that this client requested, or null."""
        return await drive_async(calls(otp).status(body, Client(bind=own)), otp)

    if STATUS in calls_of(discreet=discreet):
        router.post(STATUS.path)(status)

    @router.post(VERIFY.path)
    async def verify(
        body: CodeToVerify, request: Request, otp: Otp, own: str = Depends(bind), key: Key = None
    ) -> PhoneProof:
        """Verify a code. A correct code is used up, a wrong one is counted."""
        client = Client(bind=own, ip=address(request))
        return await drive_async(calls(otp).verify(body, client, key), otp)

    return router


def _respond(found: Problem) -> Response:
    return Response(found.json(), found.status, dict(found.headers), MEDIA_TYPE)
