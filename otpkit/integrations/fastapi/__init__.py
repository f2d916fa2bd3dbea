"""FastAPI: pages, a JSON router, and dependencies that return a verified phone. It needs the extra `fastapi`.

::

    otp = AsyncOTP.from_env()


    @asynccontextmanager
    async def lifespan(app):
        async with otp:  # close the OTP where you create it
            yield


    app = FastAPI(lifespan=lifespan)
    app.add_middleware(SessionMiddleware, secret_key=…, https_only=True)
    phones = PhoneVerification(otp)
    phones.install(app)
    app.include_router(phones.pages(next_url="/account"), prefix="/signup")  # for browsers
    app.include_router(phones.router(), prefix="/api/signup")  # for single-page and mobile apps


    @app.post("/accounts")
    async def create_account(proof: VerifiedPhone):
        return await create(proof.phone)

A code is tied to the visitor's session. If an attacker talks the visitor into reading the code aloud, it is worthless
in the attacker's own session. Starlette's session is a signed cookie: the visitor can read it, and can send an old one
again. `otpkit.web.sessions` explains the consequences.

If a library stores sessions on the server, an attacker may have planted a session id in the visitor's browser (session
fixation). A kept proof is still worthless to the attacker. With starsessions, code after `VerifiedPhone` and in
`on_verified`, such as a login, runs in a session with a new id. With another library, change the session's id there
yourself: clearing the session does not change its id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import Any

from otpkit import OTP, AsyncOTP, ConfigurationError, OTPError, Proof
from otpkit.web import (
    DEVICES_COOKIE,
    MAX_BODY,
    Answer,
    Asked,
    Brand,
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
Known = Callable[[Request, str], bool | Awaitable[bool]]


class PhoneVerification:
    """Phone verification for one FastAPI application.

    Args:
        otp: the `AsyncOTP`. Close it where you create it, such as in the application's lifespan.
        forwarded_hops: the number of your own proxies in front of the application, to find the visitor's address in
            `X-Forwarded-For`. Use 0 if the server itself handles the header (uvicorn's `--forwarded-allow-ips`).
        cookie: arguments of `Response.set_cookie` for the cookie that a kept proof is tied to, and for that of the
            device tokens. Set them if the session's cookie differs from `path="/"`, `samesite="lax"` and (with HTTPS)
            `secure=True`, such as in its `domain`.
        brand: the look of your site on the pages: its name, logo, colour and legal links. None keeps otpkit's own.
        known: a function (async or not) that gets the request and a number as E.164. It returns True if this very
            number is verified for the account that is logged in (`user is not None and user.verified_phone == phone`).
            The guard then asks for a captcha where it would refuse. It must not answer from the form. None knows no
            number.

    Raises:
        ConfigurationError: `otp` is an `OTP`, which would block the event loop.
    """

    def __init__(
        self,
        otp: AsyncOTP,
        *,
        forwarded_hops: int = 0,
        cookie: Mapping[str, Any] | None = None,
        brand: Brand | None = None,
        known: Known | None = None,
    ) -> None:
        if isinstance(otp, OTP):
            raise ConfigurationError(
                "PhoneVerification for FastAPI got an OTP, which blocks the event loop.", "Pass an AsyncOTP."
            )
        self.otp = otp
        self._hops = forwarded_hops
        self._cookie = dict(cookie or {})
        self._brand = brand or Brand()
        self._known = known

    def install(self, app: FastAPI) -> None:
        """Store the `AsyncOTP` in `app.state.otpkit`, and handle every `OTPError`.

        An API client gets a problem document (RFC 9457) in the visitor's language. When a limit is reached, it has the
        headers `Retry-After` and `RateLimit`. A browser gets a page with a link: to the page of the purpose if a proof
        is missing or used, else back. A `ConfigurationError` is not the visitor's fault, so it is raised to the server.

        If an endpoint takes a proof and FastAPI rejects another of its fields, a browser gets a page too, unless the
        application has its own handler for `RequestValidationError`.

        Args:
            app: the application.
        """
        app.state.otpkit = self.otp
        app.add_exception_handler(OTPError, partial(_refuse, self._brand))
        if app.exception_handlers.get(RequestValidationError) is request_validation_exception_handler:
            app.add_exception_handler(RequestValidationError, partial(_refuse_fields, self._brand))

    def pages(
        self,
        purpose: str = "signup",
        *,
        next_url: str = "/",
        on_verified: Verified | None = None,
        render: Callable[[View], str] | None = None,
        discreet: bool = False,
    ) -> APIRouter:
        """Return a router with the two forms of a purpose. Include it under a prefix. It needs `SessionMiddleware`.

        Args:
            purpose: the purpose of the codes.
            next_url: the path on this site to redirect to after a correct code. The session keeps the proof for
                `VerifiedPhone`. If the page was called with `?next=` and a path of this site, that path comes first.
                With the purpose `signup`, it is passed on to `next_url`, the form that creates the account.
            on_verified: a function (async or not) that takes the request and the `Proof` and returns the response,
                for example to log the visitor in. The session then keeps no proof. If the form is sent twice, the
                function is called twice with the same proof. Rules for this function:

                - Redirect only within this site. Browsers block other redirects after a form (CSP, `form-action`).
                - `request.query_params.get("next")` is the path to go to; pass it through `otpkit.web.own_path`.
                - To log in, clear the session first. If another library than starsessions stores sessions on the
                  server, change the session's id too (OWASP ASVS 7.2.4).
                - Refuse administrators: an SMS alone is too weak for them (OWASP ASVS 6.3.4).
            render: returns the HTML of a `View`, instead of otpkit's own pages.
            discreet: True to show strangers the same pages, whatever was sent to a number or guessed for it; see
                `otpkit.web.discreet`.

        Returns:
            The router. Its routes are not in the OpenAPI schema.
        """
        from otpkit.web.pages import render as own

        keeps, policy = on_verified is None, self.otp.policy
        forms = PhoneForms(purpose, policy, render or own, keep_proof=keeps, discreet=discreet, brand=self._brand)
        router = APIRouter(include_in_schema=False, route_class=PrivateRoute)

        async def answer(request: Request, otp: AsyncOTP, flow: Callable[[State], PageFlow[Answer]]) -> Response:
            with visit(session_of(request), purpose) as state:
                found = await drive_async(flow(state), otp)
            if found.proof is None:
                return Response(found.body, found.status, dict(found.headers))
            if on_verified is None:
                return self._go_on(request, onward(purpose, next_url, _next(request)), found)
            leave_session(request)
            made = await run_in_threadpool(on_verified, request, found.proof)
            response = await made if isawaitable(made) else made
            return self._with_cookies(request, response, found)

        @router.get("", name=_name(purpose))
        async def show(request: Request, otp: Otp) -> Response:
            return await answer(request, otp, lambda state: forms.show(state, self._asked(request, purpose)))

        @router.post("")
        async def submit(request: Request, otp: Otp) -> Response:
            form = await _form(request)
            return await answer(request, otp, lambda state: forms.submit(state, form, self._asked(request, purpose)))

        return router

    def router(self, purpose: str = "signup", *, bind: Bind | None = None, discreet: bool = False) -> APIRouter:
        """Return a router with JSON calls for a purpose, for single-page and mobile apps. Include it under a prefix.

        - `POST /challenges` `{"phone"}` sends a code: 202 with its `delivery`, `expires_in`, `resend_in`, …
        - `POST /challenges/status` `{"phone"}` returns the same for the live challenge, or null. It sends nothing.
        - `POST /verifications` `{"phone", "code"}` returns a `token`. `VerifiedPhone` reads it from `Phone-Proof`.

        The last call also returns a `device` token. Keep it on the visitor's device, and send it as `device` with each
        of these calls: the device may then use the parts of the limits that are kept from strangers.

        `region` is the region of a phone without a country code. Pasted characters such as full-width digits are
        normalized first. An `Idempotency-Key` makes the first and the last call safe to repeat.

        Each call to `/challenges` can cost you an SMS. With `OTP(guard=…)`, a call may get 403 `captcha_required` with
        the `provider` and `parameters` of a captcha: show it, and repeat the call with its answer as `captcha`. Without
        a guard, put a risk check before it, as a dependency (`include_router(…, dependencies=[…])`).

        Other sites can't use the visitor's cookie here. It is `SameSite=Lax`, and the router reads only
        `application/json`, which browsers send to another site only if that site allows it (CORS). Do not allow
        credentials for foreign origins.

        Args:
            purpose: the purpose of the codes. Never let the visitor choose it.
            bind: a dependency that returns the text to tie the codes to, such as a device's id. It must be a secret of
                the visitor, and never empty. None uses the session, which needs `SessionMiddleware`.
            discreet: True to return the same answers to strangers, whatever was sent to a number or guessed for it; see
                `otpkit.web.discreet`. Then there is no `POST /challenges/status`.

        Returns:
            The router.
        """
        return json_router(purpose, bind or session_bind(purpose), self._ip, self._is_known, discreet=discreet)

    def _go_on(self, request: Request, url: str, found: Answer) -> Response:
        return self._with_cookies(request, RedirectResponse(url, found.status, dict(found.headers)), found)

    def _with_cookies(self, request: Request, response: Response, found: Answer) -> Response:
        for cookie in found.cookies:
            secure = request.url.scheme == "https"
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
            devices=request.cookies.get(DEVICES_COOKIE, ""),
            next=_next(request),
            known=partial(self._is_known, request),
        )

    async def _is_known(self, request: Request, phone: str) -> bool:
        if self._known is None:
            return False
        found = await run_in_threadpool(self._known, request, phone)
        return bool(await found if isawaitable(found) else found)

    def _ip(self, request: Request) -> str | None:
        peer = request.client.host if request.client else None
        return client_ip(peer, ",".join(request.headers.getlist("x-forwarded-for")), self._hops)


def _path(request: Request) -> str:
    # Behind a proxy that strips a prefix, the path may lack the prefix.
    root, path = request.scope.get("root_path", ""), request.scope["path"]
    return path if f"{path}/".startswith(f"{root}/") else f"{root}{path}"


async def _form(request: Request) -> dict[str, str] | None:
    """Return the form, or None if it is too long."""
    try:
        body = await read_bounded(request.stream(), MAX_BODY)
        return None if body is None else read_form(body)
    except RuntimeError:  # A dependency, such as a CAPTCHA's, has already read the body as a form.
        return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def _next(request: Request) -> str:
    return own_path(request.query_params.get("next", ""))


def _name(purpose: str) -> str:
    return f"otpkit_{purpose}"  # the route's name, to find the page of a purpose


class _FieldsError(OTPError):
    """Raised when a field of the application's own form was rejected."""

    code = "fields"
    status = 422
    _text = "fields"


async def _refuse_fields(brand: Brand, request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    if PURPOSE in request.scope and prefers_html(request.headers.get("accept", "")):
        return await _refuse(brand, request, _FieldsError())
    return await request_validation_exception_handler(request, error)


async def _refuse(brand: Brand, request: Request, error: Exception) -> Response:
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
    accept = headers.get("accept", "")
    found = refusal(error, language, accept=accept, verify_url=verify_url, back_url=back, brand=brand)
    return Response(found.body, found.status, dict(found.headers))
