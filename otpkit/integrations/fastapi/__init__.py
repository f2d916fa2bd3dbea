"""FastAPI: pages, a JSON router, and dependencies that give a verified phone. It needs the extra `fastapi`.

::

    otp = AsyncOTP.from_env()


    @asynccontextmanager
    async def lifespan(app):
        async with otp:  # whoever makes an OTP closes it
            yield


    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=…, https_only=True)
    phones = PhoneVerification(otp)
    phones.install(app)
    app.include_router(phones.pages(next_url="/account"), prefix="/signup")  # for browsers
    app.include_router(phones.router(), prefix="/api/signup")  # for applications


    @app.post("/accounts")
    async def create_account(proof: VerifiedPhone):
        return await create(proof.phone)

A code is tied to the visitor's session, and so of no use to somebody who talked them into reading it out. The session
is a signed cookie: the visitor can read it and can send an old one again (`otpkit.web.sessions` says what follows).

Where a library keeps the session on the server, a stranger may have planted its id in the visitor's browser. A kept
proof is of no use to the stranger, and what follows `VerifiedPhone` or happens in `on_verified`, such as a login, is in
a session of another id with starsessions. With another library give it a new id there: clearing it keeps the old one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from inspect import isawaitable
from typing import Any

from otpkit import OTP, AsyncOTP, ConfigurationError, OTPError, Proof
from otpkit.web import (
    MAX_BODY,
    Answer,
    Asked,
    PageFlow,
    PhoneForms,
    State,
    View,
    back_path,
    client_ip,
    drive_async,
    language_of,
    onward,
    own_path,
    prefers_html,
    read_form,
    refusal,
    verify_again,
    visit,
)
from otpkit.web.bodies import read_bounded

try:
    from fastapi import APIRouter, FastAPI, Request, Response
    from fastapi.concurrency import run_in_threadpool
    from fastapi.exception_handlers import request_validation_exception_handler
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import RedirectResponse
    from starlette.routing import NoMatchFound
except ImportError as missing:
    raise ConfigurationError(
        "otpkit.integrations.fastapi needs FastAPI.", "Run: pip install 'otpkit[fastapi]'."
    ) from missing

from otpkit.integrations.fastapi.api import json_router
from otpkit.integrations.fastapi.bodies import PrivateRoute
from otpkit.integrations.fastapi.dependencies import (
    PURPOSE,
    Bind,
    Otp,
    VerifiedPhone,
    get_otp,
    leave_session,
    proof_cookie,
    session_bind,
    session_of,
    verified_phone,
)

__all__ = ["Otp", "PhoneVerification", "VerifiedPhone", "get_otp", "verified_phone"]

Verified = Callable[[Request, Proof], Response | Awaitable[Response]]


class PhoneVerification:
    """Phone verification for one application.

    Args:
        otp: what verifies. Close it where you made it, such as in the application's lifespan.
        forwarded_hops: how many proxies of yours stand before the application, for the visitor's address; 0 where the
            server is told of them itself (uvicorn's `--forwarded-allow-ips`).
        cookie: arguments of `Response.set_cookie` for the cookie that a kept proof is tied to, where the session's
            cookie has others than `path="/"`, `samesite="lax"` and, by HTTPS, `secure=True`: such as its `domain`.

    Raises `ConfigurationError` for an `OTP`, which would block the event loop.
    """

    def __init__(self, otp: AsyncOTP, *, forwarded_hops: int = 0, cookie: Mapping[str, Any] | None = None) -> None:
        if isinstance(otp, OTP):
            raise ConfigurationError(
                "PhoneVerification for FastAPI got no AsyncOTP, and an OTP blocks the event loop.", "Pass an AsyncOTP."
            )
        self.otp = otp
        self._hops = forwarded_hops
        self._cookie = dict(cookie or {})

    def install(self, app: FastAPI) -> None:
        """Put the `AsyncOTP` on `app.state`, and have every `OTPError` answered.

        A client gets a problem document (RFC 9457) in the visitor's language, with `Retry-After` and `RateLimit` where
        a limit is used up; a browser gets a page that leads on: to the pages of the purpose where a proof is missing or
        used, else back. A `ConfigurationError` is not the visitor's: it goes on to the server's log.

        A browser gets a page too where another field of an endpoint that takes a proof is refused, unless the
        application has a handler of its own for `RequestValidationError`.
        """
        app.state.otpkit = self.otp
        app.add_exception_handler(OTPError, _refuse)
        if app.exception_handlers.get(RequestValidationError) is request_validation_exception_handler:
            app.add_exception_handler(RequestValidationError, _refuse_fields)

    def pages(
        self,
        purpose: str = "signup",
        *,
        next_url: str = "/",
        on_verified: Verified | None = None,
        render: Callable[[View], str] | None = None,
        discreet: bool = False,
    ) -> APIRouter:
        """Return a router with the two forms of a purpose, to be included under a prefix. Needs `SessionMiddleware`.

        Args:
            purpose: what the codes are for.
            next_url: where on this site the visitor is sent once their code was right; the session keeps the proof for
                `VerifiedPhone`. A `?next=` that the page was called with, a path of this site, comes first; with the
                purpose `signup` it is handed on to `next_url`, the form that creates the account.
            on_verified: a function, async or not, of the request and the `Proof`, that gives the response instead, such
                as one that logs them in. A form that comes twice calls it twice, with the same proof. Nothing is kept
                then. A path to go to is `request.query_params.get("next")`, which the page was called with, if
                `otpkit.web.own_path` returns it. Where it logs somebody in it clears the session first, and gives it a
                new id if it is kept on the server by another library than starsessions (OWASP ASVS 7.2.4). An SMS alone
                is too weak for administrators: refuse them (6.3.4). It redirects within this site: browsers keep the
                form's answer from leading elsewhere (CSP, `form-action`).
            render: makes the HTML of a `View`, in place of the pages that come with otpkit.
            discreet: whether strangers are shown the same, whatever was sent to a number before or guessed for it; see
                `otpkit.web.discreet`.
        """
        from otpkit.web.pages import render as own

        keeps, policy = on_verified is None, self.otp.policy
        forms = PhoneForms(purpose, policy, render or own, keep_proof=keeps, discreet=discreet)
        router = APIRouter(include_in_schema=False, route_class=PrivateRoute)

        async def answer(request: Request, otp: AsyncOTP, flow: Callable[[State], PageFlow[Answer]]) -> Response:
            with visit(session_of(request), purpose) as state:
                found = await drive_async(flow(state), otp)
            if found.proof is None:
                return Response(found.body, found.status, dict(found.headers))
            if on_verified is None:
                return self._go_on(request, onward(purpose, next_url, _next(request)), found)
            leave_session(request)
            response = await run_in_threadpool(on_verified, request, found.proof)
            return await response if isawaitable(response) else response

        @router.get("", name=_name(purpose))
        async def show(request: Request, otp: Otp) -> Response:
            return await answer(request, otp, lambda state: forms.show(state, self._asked(request, purpose)))

        @router.post("")
        async def submit(request: Request, otp: Otp) -> Response:
            form = await _form(request)
            return await answer(request, otp, lambda state: forms.submit(state, form, self._asked(request, purpose)))

        return router

    def router(self, purpose: str = "signup", *, bind: Bind | None = None, discreet: bool = False) -> APIRouter:
        """Return a router with JSON calls for a purpose, for single-page and mobile apps; include it under a prefix.

        - `POST /challenges` `{"phone"}` sends a code: 202 with its `delivery`, `expires_in`, `resend_in`, …
        - `POST /challenges/status` `{"phone"}` tells the same of the live one, or null; it sends nothing.
        - `POST /verifications` `{"phone", "code"}` gives a `token`, which `VerifiedPhone` takes as `Phone-Proof`.

        A `region` beside the phone is that of a number without a country code; what people paste is folded first.

        An `Idempotency-Key` makes the first and the last safe to repeat. The purpose is yours, never the visitor's.
        Whoever may ask makes you pay for an SMS: a CAPTCHA or a risk check belongs before it, as a dependency
        (`include_router(…, dependencies=[…])`).

        Args:
            purpose: what the codes are for.
            bind: a dependency that gives the text which the codes are tied to, such as a device's id: a secret of the
                visitor's, never empty. Left out it is the session's, which needs `SessionMiddleware`.
            discreet: whether strangers are told the same, whatever was sent to a number before or guessed for it; see
                `otpkit.web.discreet`. `POST /challenges/status` is then not there.

        Other sites can't use the visitor's cookie here: it is `SameSite=Lax`, and only `application/json` is read,
        which a browser sends to another site only where that allows it (CORS): allow credentials to no strange origin.
        """
        return json_router(purpose, bind or session_bind(purpose), self._ip, discreet=discreet)

    def _go_on(self, request: Request, url: str, found: Answer) -> Response:
        response = RedirectResponse(url, found.status, dict(found.headers))
        if found.cookie is not None:
            cookie, secure = found.cookie, request.url.scheme == "https"
            usual: dict[str, Any] = {"max_age": cookie.max_age, "httponly": True, "secure": secure, "samesite": "lax"}
            response.set_cookie(cookie.name, cookie.value, **(usual | self._cookie))
        return response

    def _asked(self, request: Request, purpose: str) -> Asked:
        return Asked(
            url=_path(request),
            ip=self._ip(request),
            accept_language=request.headers.get("accept-language", ""),
            language=request.query_params.get("lang", ""),
            cookie=proof_cookie(request, purpose),
            next=_next(request),
        )

    def _ip(self, request: Request) -> str | None:
        peer = request.client.host if request.client else None
        return client_ip(peer, ",".join(request.headers.getlist("x-forwarded-for")), self._hops)


def _path(request: Request) -> str:
    # Behind a proxy that strips a prefix the path may be without it.
    root, path = request.scope.get("root_path", ""), request.scope["path"]
    return path if f"{path}/".startswith(f"{root}/") else f"{root}{path}"


async def _form(request: Request) -> dict[str, str]:
    try:
        return read_form(await read_bounded(request.stream(), MAX_BODY) or b"")
    except RuntimeError:  # a dependency, such as a CAPTCHA's, has read it as a form
        return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def _next(request: Request) -> str:
    return own_path(request.query_params.get("next", ""))


def _name(purpose: str) -> str:
    return f"otpkit_{purpose}"  # of the route, by which the page of a purpose is found


class _FieldsError(OTPError):
    """A field of the application's form was refused."""

    code = "fields"
    status = 422
    _text = "fields"


async def _refuse_fields(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    if PURPOSE in request.scope and prefers_html(request.headers.get("accept", "")):
        return await _refuse(request, _FieldsError())
    return await request_validation_exception_handler(request, error)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, ConfigurationError) or not isinstance(error, OTPError):
        raise error
    purpose, headers = request.scope.get(PURPOSE, "signup"), request.headers
    page = ""
    with suppress(NoMatchFound):
        page = request.url_for(_name(purpose)).path
    own = f"{_path(request)}?{request.url.query}".rstrip("?")
    back = back_path(request.method, own, headers.get("referer", ""), headers.get("host", ""))
    language = language_of(request.scope.get("session", {}), purpose, headers.get("accept-language", ""))
    verify_url = verify_again(page, purpose, back)
    found = refusal(error, language, accept=headers.get("accept", ""), verify_url=verify_url, back_url=back)
    return Response(found.body, found.status, dict(found.headers))
