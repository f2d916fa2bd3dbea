"""FastAPI: a router with the pages, and problem documents for errors. It needs the extra `fastapi`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from otpkit import AsyncOTP, ConfigurationError, OTPError, Proof
from otpkit.web import (
    MEDIA_TYPE,
    Answer,
    Asked,
    PhoneForms,
    State,
    View,
    client_ip,
    drive_async,
    preferred_language,
    problem,
    read_form,
)

try:
    from fastapi import APIRouter, FastAPI, Request, Response
    from fastapi.responses import RedirectResponse
except ImportError as missing:
    raise ConfigurationError(
        "otpkit.integrations.fastapi needs FastAPI; run: pip install 'otpkit[fastapi]'"
    ) from missing

_SESSION: Final = "otpkit"  # the key in the session under which all of it stands

Verified = Callable[[Request, Proof], Response | Awaitable[Response]]


class PhoneVerification:
    """Phone verification for one application.

    Args:
        otp: what verifies; close it where you made it.
        forwarded_hops: how many proxies of yours stand before the application, for the visitor's address.
    """

    def __init__(self, otp: AsyncOTP, *, forwarded_hops: int = 0) -> None:
        self.otp = otp
        self._hops = forwarded_hops

    def install(self, app: FastAPI) -> None:
        """Have the application answer every `OTPError` with a problem document."""
        app.add_exception_handler(OTPError, _refuse)

    def pages(
        self,
        purpose: str = "signup",
        *,
        next_url: str = "/",
        on_verified: Verified | None = None,
        render: Callable[[View], str] | None = None,
    ) -> APIRouter:
        """Return a router with the two forms of a purpose, to be included under a prefix. Needs `SessionMiddleware`.

        Once the code was right `on_verified` answers; without it the proof is kept in the session for `redeem`, and the
        visitor is sent to `next_url`.
        """
        from otpkit.web.pages import render as own

        forms = PhoneForms(purpose, self.otp.policy, render or own, keep_proof=on_verified is None)
        router = APIRouter(include_in_schema=False)

        async def answer(request: Request, turn: Any) -> Response:
            with_state = _state_of(request, purpose)
            found: Answer = await drive_async(turn(with_state), self.otp)
            _keep(request, purpose, with_state)
            if found.proof is None:
                return Response(found.body, found.status, dict(found.headers))
            if on_verified is None:
                return RedirectResponse(next_url, found.status, dict(found.headers))
            response = on_verified(request, found.proof)
            return await response if inspect.isawaitable(response) else response

        @router.get("")
        async def show(request: Request) -> Response:
            return await answer(request, lambda state: forms.show(state, self._asked(request)))

        @router.post("")
        async def submit(request: Request) -> Response:
            form = read_form(await request.body())
            return await answer(request, lambda state: forms.submit(state, form, self._asked(request)))

        return router

    def _asked(self, request: Request) -> Asked:
        return Asked(
            url=request.url.path,
            ip=self._ip(request),
            accept_language=request.headers.get("accept-language", ""),
            language=request.query_params.get("lang", ""),
        )

    def _ip(self, request: Request) -> str | None:
        peer = request.client.host if request.client else None
        return client_ip(peer, ",".join(request.headers.getlist("x-forwarded-for")), self._hops)


def _state_of(request: Request, purpose: str) -> State:
    if "session" not in request.scope:
        raise ConfigurationError(
            "The pages keep their state in the session: add starlette.middleware.sessions.SessionMiddleware."
        )
    return dict(request.session.get(_SESSION, {}).get(purpose, {}))


def _keep(request: Request, purpose: str, state: State) -> None:
    request.session[_SESSION] = {**request.session.get(_SESSION, {}), purpose: dict(state)}


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, OTPError)  # noqa: S101 - what it is registered for
    found = problem(error, preferred_language(request.headers.get("accept-language", "")))
    return Response(found.json(), found.status, dict(found.headers), MEDIA_TYPE)
