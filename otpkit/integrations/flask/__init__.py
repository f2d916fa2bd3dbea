"""Flask: an extension with pages, JSON calls, error handlers, and a call that redeems proofs.

It needs the extra `flask`; the JSON calls also need the extra `json`.

::

    app = Flask(__name__)
    app.config.update(SECRET_KEY=…, SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")
    phones = PhoneVerification(app)  # reads the OTPKIT_… variables unless you pass an OTP
    app.register_blueprint(phones.blueprint(next_url="/account"), url_prefix="/signup")  # for browsers
    app.register_blueprint(phones.json_blueprint(), url_prefix="/api/signup")  # for single-page and mobile apps


    @app.post("/account")
    def create_account():
        proof = phones.redeem(idempotency_key=request.form["key"])
        return find(proof.phone) if proof.replayed else create(proof.phone)

A code is tied to the visitor's session. If an attacker talks the visitor into reading the code aloud, it is worthless
in the attacker's own session. Flask's session is a signed cookie: the visitor can read it, and can send an old one
again. `otpkit.web.sessions` explains the consequences.

If a library stores sessions on the server, an attacker may have planted a session id in the visitor's browser (session
fixation). A kept proof is still worthless to the attacker. With Flask-Session, code after `redeem` and in
`on_verified`, such as a login, runs in a session with a new id. With another library, change the session's id there
yourself: clearing the session does not change its id.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, Final, cast

from otpkit import OTP, AsyncOTP, ConfigurationError, OTPError, Proof
from otpkit.frames import without_locals
from otpkit.web import (
    DEVICES_COOKIE,
    MAX_BODY,
    Answer,
    Asked,
    Brand,
    DeviceCookie,
    PageFlow,
    PhoneForms,
    ProofCookie,
    State,
    View,
    back_path,
    bind_of,
    client_ip,
    cookie_name,
    drive,
    fingerprint,
    language_of,
    onward,
    own_path,
    refusal,
    take_proof,
    verify_again,
    visit,
)
from otpkit.web.fingerprints import Fields, is_form
from otpkit.web.sessions import require_bind

try:
    from flask import Blueprint, Flask, Request, Response, current_app, g, redirect, request, session, url_for
    from flask.sessions import NullSession
    from flask.typing import ResponseReturnValue
    from werkzeug.local import LocalProxy
    from werkzeug.routing import BuildError
    from werkzeug.wrappers import Response as BaseResponse
except ImportError as missing:
    raise ConfigurationError("otpkit.integrations.flask needs Flask.", "Run: pip install 'otpkit[flask]'.") from missing

_EXTENSION: Final = "otpkit"

Verified = Callable[[Proof], ResponseReturnValue]
Known = Callable[[Request, str], bool]
Bind = Callable[[], str]


def _installed() -> OTP:
    if _EXTENSION not in current_app.extensions:
        raise ConfigurationError("The application has no OTP.", "Call PhoneVerification(…).init_app(app).")
    return cast("OTP", current_app.extensions[_EXTENSION])


current_otp: OTP = LocalProxy(_installed)  # type: ignore[assignment]
"""The `OTP` of the application that serves the request."""


@without_locals
class PhoneVerification:
    """Phone verification for Flask applications.

    Args:
        app: the application, or None to call `init_app` later.
        otp: the `OTP`. With None, `init_app` calls `OTP.from_env()`. Threads and forked workers share it. Close it
            where you create it.
        forwarded_hops: the number of your own proxies in front of the application, to find the visitor's address in
            `X-Forwarded-For`. Use 0 if werkzeug's `ProxyFix` handles the header.
        brand: the look of your site on the pages: its name, logo, colour and legal links. None keeps otpkit's own.
        known: a function that gets the request and a number as E.164. It returns True if this very number is
            verified for the account that is logged in (`user is not None and user.verified_phone == phone`). The guard
            then asks for a captcha where it would refuse. It must not answer from the form. None knows no number.

    Raises:
        ConfigurationError: `otp` is an `AsyncOTP`, or `OTP.from_env` fails.
    """

    def __init__(
        self,
        app: Flask | None = None,
        otp: OTP | None = None,
        *,
        forwarded_hops: int = 0,
        brand: Brand | None = None,
        known: Known | None = None,
    ) -> None:
        if isinstance(otp, AsyncOTP):
            raise ConfigurationError(
                "PhoneVerification for Flask got an AsyncOTP, which needs an event loop.", "Pass an OTP."
            )
        self._otp = otp
        self._hops = forwarded_hops
        self._brand = brand or Brand()
        self._known = known
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Store the `OTP` in `app.extensions["otpkit"]`, and handle every `OTPError`.

        An API client gets a problem document (RFC 9457) in the visitor's language. When a limit is reached, it has the
        headers `Retry-After` and `RateLimit`. A client that prefers HTML, such as a browser, gets a page with a link:
        to the page of the purpose if a proof is missing or used, else back. A `ConfigurationError` is not the visitor's
        fault, so it is raised to the application.

        Args:
            app: the application.

        Raises:
            ConfigurationError: `OTP.from_env` fails.
        """
        app.extensions[_EXTENSION] = self._otp or OTP.from_env()
        app.register_error_handler(OTPError, partial(_refuse, self._brand))

    def blueprint(
        self,
        purpose: str = "signup",
        *,
        next_url: str = "/",
        on_verified: Verified | None = None,
        render: Callable[[View], str] | None = None,
        discreet: bool = False,
    ) -> Blueprint:
        """Return a blueprint with the two forms of a purpose. Its default path is `/{purpose}`.

        Its forms have their own CSRF token. If you use Flask-WTF's `CSRFProtect`, exempt the blueprint.

        Args:
            purpose: the purpose of the codes.
            next_url: the path on this site to redirect to after a correct code. The session keeps the proof for
                `redeem`. If the page was called with `?next=` and a path of this site, that path comes first. With the
                purpose `signup`, it is passed on to `next_url`, the form that creates the account.
            on_verified: a function that takes the `Proof` and returns the response, for example to log the visitor in.
                The session then keeps no proof. If the form is sent twice, the function is called twice with the same
                proof. Rules for this function:

                - Redirect only within this site. Browsers block other redirects after a form (CSP, `form-action`).
                - `request.args.get("next")` is the path to go to; pass it through `otpkit.web.own_path`.
                - To log in, clear the session first. If another library than Flask-Session stores sessions on the
                  server, change the session's id too (OWASP ASVS 7.2.4).
                - Refuse administrators: an SMS alone is too weak for them (OWASP ASVS 6.3.4).
            render: returns the HTML of a `View`, instead of otpkit's own pages.
            discreet: True to show strangers the same pages, whatever was sent to a number or guessed for it; see
                `otpkit.web.discreet`.

        Returns:
            The blueprint.
        """
        from otpkit.web.pages import render as own

        blueprint = Blueprint(_name(purpose), __name__, url_prefix=f"/{purpose}")

        def answer(flow: Callable[[PhoneForms, State], PageFlow[Answer]]) -> ResponseReturnValue:
            keeps, policy = on_verified is None, current_otp.policy
            forms = PhoneForms(purpose, policy, render or own, keep_proof=keeps, discreet=discreet, brand=self._brand)
            with visit(_session(), purpose) as state:
                found = drive(flow(forms, state), current_otp)
            if found.proof is None:
                return Response(found.body, found.status, dict(found.headers))
            response: BaseResponse
            if on_verified is not None:
                _leave_session()
                response = current_app.make_response(on_verified(found.proof))
            else:
                response = redirect(onward(purpose, next_url, _next()), found.status)
                response.headers.update(found.headers)
            for cookie in found.cookies:
                _set_cookie(response, cookie)
            return response

        @blueprint.get("")
        @without_locals
        def show() -> ResponseReturnValue:
            return answer(lambda forms, state: forms.show(state, self._asked(purpose)))

        @blueprint.post("")
        @without_locals
        def submit() -> ResponseReturnValue:
            form = _form()
            return answer(lambda forms, state: forms.submit(state, form, self._asked(purpose)))

        return blueprint

    def json_blueprint(self, purpose: str = "signup", *, bind: Bind | None = None, discreet: bool = False) -> Blueprint:
        """Return a blueprint with JSON calls for a purpose, for single-page and mobile apps. It needs the extra `json`.

        Its default path is `/api/{purpose}`. The calls are those of the FastAPI integration:

        - `POST /challenges` `{"phone"}` sends a code: 202 with its `delivery`, `expires_in`, `resend_in`, …
        - `POST /challenges/status` `{"phone"}` returns the same for the live challenge, or null. It sends nothing.
        - `POST /verifications` `{"phone", "code"}` returns a `token`. `redeem` reads it from `Phone-Proof`.

        The last call also returns a `device` token. Keep it on the visitor's device, and send it as `device` with each
        of these calls. `region` is the region of a phone without a country code. An `Idempotency-Key` makes the first
        and the last call safe to repeat. With `OTP(guard=…)`, a call may get 403 `captcha_required` with the `provider`
        and `parameters` of a captcha: show it, and repeat the call with its answer as `captcha`.

        Other sites can't use the visitor's cookie here if it is `SameSite=Lax`: the calls read only `application/json`,
        which browsers send to another site only if that site allows it (CORS). Do not allow credentials for foreign
        origins. If you use Flask-WTF's `CSRFProtect`, exempt the blueprint.

        Args:
            purpose: the purpose of the codes. Never let the visitor choose it.
            bind: a function that returns the text to tie the codes to, such as a device's id from
                `flask.request.headers`. It must be a secret of the visitor, and never empty. None uses the session.
            discreet: True to return the same answers to strangers, whatever was sent to a number or guessed for it; see
                `otpkit.web.discreet`. Then there is no `POST /challenges/status`.

        Returns:
            The blueprint.

        Raises:
            ConfigurationError: pydantic is not installed.
        """
        from otpkit.integrations.flask.api import json_blueprint
        from otpkit.web.json_calls import Client

        def client() -> Client:
            known = None if self._known is None else partial(self._known, request)
            return Client(bind=_bind(purpose) if bind is None else bind(), ip=self._ip(), known=known)

        blueprint = Blueprint(f"{_name(purpose)}_json", __name__, url_prefix=f"/api/{purpose}")
        return json_blueprint(blueprint, purpose, current_otp, client, discreet=discreet)

    def redeem(self, purpose: str = "signup", *, idempotency_key: str | None = None, bind: Bind | None = None) -> Proof:
        """Redeem a proof. A proof can be redeemed only once. `proof.phone` is verified.

        The token is read from the header `Phone-Proof`, else from the session, where the pages keep it.

        If a browser reports that another site's page caused the request (`Sec-Fetch-Site`), no proof is found. Protect
        your own form with a CSRF token too (Flask-WTF).

        The visitor may choose the idempotency key, and one proof must create one account. If `proof.replayed` is True,
        return the account that exists. If it does not exist, because the process or the connection ended before it was
        created, create it. Put a unique constraint on the phone.

        Args:
            purpose: the purpose passed to `blueprint` or `json_blueprint`.
            idempotency_key: a text that identifies the form, such as a hidden field. If the form is sent twice, both
                requests get the same proof. None and "" mean no key: then the second request raises `UsedTokenError`. A
                request with the same key but another method, URL or body also raises `UsedTokenError` (the CSRF token
                may differ).
            bind: the function passed to `json_blueprint`. The token is then read from the header only.

        Returns:
            The proof.

        Raises:
            InvalidTokenError: there is no proof.
            ConfigurationError: the application has no `SECRET_KEY`.
            OTPError: what `OTP.redeem` raises.
        """
        g.otpkit_purpose = purpose  # for the error page, if the redeem fails
        given, key = request.headers.get("Phone-Proof", ""), idempotency_key or None
        asked = None if key is None else _fingerprint()
        if bind is not None:
            bound = require_bind(bind())
            return current_otp.redeem(given, purpose, bind=bound, idempotency_key=key, request=asked)
        with visit(_session(), purpose) as state:
            site, cookie = request.headers.get("Sec-Fetch-Site", ""), _proof_cookie(purpose)
            token = given or take_proof(state, sec_fetch_site=site, cookie=cookie)
            proof = current_otp.redeem(token, purpose, bind=bind_of(state), idempotency_key=key, request=asked)
        _leave_session()
        return proof

    def _asked(self, purpose: str) -> Asked:
        return Asked(
            url=request.script_root + request.path,
            ip=self._ip(),
            accept_language=request.headers.get("Accept-Language", ""),
            language=request.args.get("lang", ""),
            cookie=_proof_cookie(purpose),
            devices=request.cookies.get(DEVICES_COOKIE, ""),
            next=_next(),
            known=None if self._known is None else partial(self._known, request),
        )

    def _ip(self) -> str | None:
        forwarded_for = ",".join(request.headers.getlist("X-Forwarded-For"))
        return client_ip(request.remote_addr, forwarded_for, self._hops)


def _session() -> MutableMapping[str, Any]:
    if isinstance(session, NullSession):
        raise ConfigurationError(
            "Codes are tied to the session, but the session has no key.", 'Set app.config["SECRET_KEY"].'
        )
    return session


def _bind(purpose: str) -> str:
    """Return the text in the session that codes are tied to."""
    with visit(_session(), purpose) as state:
        return bind_of(state)


def _leave_session() -> None:
    """Change the session's id, with Flask-Session. A stranger who planted the old id is then not logged in too.

    Flask-Session's `regenerate` would delete the old session. It must stay, to answer a form that was sent twice.
    """
    if hasattr(session, "sid"):
        session.sid, session.modified = secrets.token_urlsafe(32), True


def _proof_cookie(purpose: str) -> str:
    return request.cookies.get(cookie_name(purpose), "")


def _set_cookie(response: BaseResponse, cookie: ProofCookie | DeviceCookie) -> None:
    """Set a cookie with the scope of the session's own cookie."""
    interface = current_app.session_interface
    response.set_cookie(
        cookie.name,
        cookie.value,
        max_age=cookie.max_age,
        httponly=True,
        domain=interface.get_cookie_domain(current_app),
        path=interface.get_cookie_path(current_app),
        secure=interface.get_cookie_secure(current_app) or request.is_secure,
        samesite=interface.get_cookie_samesite(current_app) or "Lax",
    )


def _form() -> dict[str, str] | None:
    """Return the form, or None if it is too long."""
    # Browsers send the length of a form. The application may have read the form before, for a CAPTCHA.
    length = request.content_length or 0
    if length > MAX_BODY:
        return None
    return request.form.to_dict() if length else {}


def _fingerprint() -> str:
    content: bytes | Fields
    if is_form(request.mimetype):
        files = [(name, cast("BinaryIO", file.stream)) for name, file in request.files.items(multi=True)]
        content = [*request.form.items(multi=True), *files]
    else:
        content = request.get_data()
    csrf_field = current_app.config.get("WTF_CSRF_FIELD_NAME", "")  # set by Flask-WTF
    return fingerprint(request.method, request.full_path, content, csrf_field=csrf_field)


def _name(purpose: str) -> str:
    return f"otpkit_{purpose}".replace(".", "_")


def _next() -> str:
    return own_path(request.args.get("next", ""))


def _page_of(purpose: str) -> str:
    """Return the URL of a purpose's page, or "" if the application has none."""
    for name in current_app.blueprints:
        if name.rpartition(".")[2] == _name(purpose):
            with suppress(BuildError):  # the blueprint's prefix takes an argument
                return url_for(f"{name}.show")
    return ""


def _refuse(brand: Brand, error: OTPError) -> ResponseReturnValue:
    if isinstance(error, ConfigurationError):
        raise error
    purpose, headers = g.get("otpkit_purpose", "signup"), request.headers
    own = (request.script_root + request.full_path).rstrip("?")
    back = back_path(request.method, own, headers.get("Referer", ""), request.host)
    language = language_of(session or {}, purpose, headers.get("Accept-Language", ""))
    verify_url = verify_again(_page_of(purpose), purpose, back)
    accept = headers.get("Accept", "")
    found = refusal(error, language, accept=accept, verify_url=verify_url, back_url=back, brand=brand)
    return Response(found.body, found.status, dict(found.headers))
