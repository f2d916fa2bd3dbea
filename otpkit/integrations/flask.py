"""Flask: an extension with pages, answers for errors, and the redeeming of proofs. It needs the extra `flask`.

::

    app = Flask(__name__)
    app.config.update(SECRET_KEY=…, SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax")
    phones = PhoneVerification(app)  # configured by OTPKIT_… variables, unless an OTP is given
    app.register_blueprint(phones.blueprint(next_url="/account"), url_prefix="/signup")


    @app.post("/account")
    def create_account():
        proof = phones.redeem(idempotency_key=request.form["key"])
        return find(proof.phone) if proof.replayed else create(proof.phone)

A code is tied to the visitor's session, and so of no use to somebody who talked them into reading it out. The session
is a signed cookie: the visitor can read it and can send an old one again (`otpkit.web.sessions` says what follows).

Where a library keeps the session on the server, a stranger may have planted its id in the visitor's browser. A kept
proof is of no use to the stranger, and what follows `redeem` or happens in `on_verified`, such as a login, is in a
session of another id with Flask-Session. With another library give it a new id there: clearing it keeps the old one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

from otpkit import OTP, AsyncOTP, ConfigurationError, OTPError, Proof
from otpkit.frames import without_locals
from otpkit.web import (
    MAX_BODY,
    Answer,
    Asked,
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

try:
    from flask import Blueprint, Flask, Response, current_app, g, redirect, request, session, url_for
    from flask.sessions import NullSession
    from flask.typing import ResponseReturnValue
    from werkzeug.local import LocalProxy
    from werkzeug.routing import BuildError
    from werkzeug.wrappers import Response as BaseResponse
except ImportError as missing:
    raise ConfigurationError("otpkit.integrations.flask needs Flask.", "Run: pip install 'otpkit[flask]'.") from missing

_EXTENSION: Final = "otpkit"

Verified = Callable[[Proof], ResponseReturnValue]


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
        app: the application, or None where `init_app` is called later.
        otp: what verifies; None is `OTP.from_env()`, made by `init_app`. Threads and forked workers share it; close it
            where you made it.
        forwarded_hops: how many proxies of yours stand before the application, for the visitor's address; 0 where
            werkzeug's `ProxyFix` is told of them.

    Raises `ConfigurationError` for an `AsyncOTP`, and what `OTP.from_env` raises.
    """

    def __init__(self, app: Flask | None = None, otp: OTP | None = None, *, forwarded_hops: int = 0) -> None:
        if isinstance(otp, AsyncOTP):
            raise ConfigurationError(
                "PhoneVerification for Flask got no OTP.", "Pass an OTP; an AsyncOTP needs an event loop."
            )
        self._otp = otp
        self._hops = forwarded_hops
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put the `OTP` at `app.extensions["otpkit"]`, and have every `OTPError` answered.

        A client gets a problem document (RFC 9457) in the visitor's language, with `Retry-After` and `RateLimit` where
        a limit is used up; one that prefers HTML, such as a browser, gets a page that leads on: to the pages of the
        purpose where a proof is missing or used, else back. A `ConfigurationError` is not the visitor's: it goes on to
        the application's log.
        """
        app.extensions[_EXTENSION] = self._otp or OTP.from_env()
        app.register_error_handler(OTPError, _refuse)

    def blueprint(
        self,
        purpose: str = "signup",
        *,
        next_url: str = "/",
        on_verified: Verified | None = None,
        render: Callable[[View], str] | None = None,
        discreet: bool = False,
    ) -> Blueprint:
        """Return a blueprint with the two forms of a purpose, at `/{purpose}` unless it is registered elsewhere.

        Its forms have a token of their own: have Flask-WTF's `CSRFProtect`, where there is one, exempt the blueprint.

        Args:
            purpose: what the codes are for.
            next_url: where on this site the visitor is sent once their code was right; the session keeps the proof for
                `redeem`. A `?next=` that the page was called with, a path of this site, comes first; with the purpose
                `signup` it is handed on to `next_url`, the form that creates the account.
            on_verified: a function of the `Proof` that gives the response instead, such as one that logs them in. A
                form that comes twice calls it twice, with the same proof. Nothing is kept then. A path to go to is
                `request.args.get("next")`, which the page was called with, if `otpkit.web.own_path` returns it. Where
                it logs somebody in it clears the session first, and gives it a new id if it is kept on the server by
                another library than Flask-Session (OWASP ASVS 7.2.4). An SMS alone is too weak for administrators:
                refuse them (6.3.4). It redirects within this site: browsers keep the form's answer from leading
                elsewhere (CSP, `form-action`).
            render: makes the HTML of a `View`, in place of the pages that come with otpkit.
            discreet: whether strangers are shown the same, whatever was sent to a number before or guessed for it; see
                `otpkit.web.discreet`.
        """
        from otpkit.web.pages import render as own

        blueprint = Blueprint(_name(purpose), __name__, url_prefix=f"/{purpose}")

        def answer(flow: Callable[[PhoneForms, State], PageFlow[Answer]]) -> ResponseReturnValue:
            keeps, policy = on_verified is None, current_otp.policy
            forms = PhoneForms(purpose, policy, render or own, keep_proof=keeps, discreet=discreet)
            with visit(_session(), purpose) as state:
                found = drive(flow(forms, state), current_otp)
            if found.proof is None:
                return Response(found.body, found.status, dict(found.headers))
            if on_verified is not None:
                _leave_session()
                return on_verified(found.proof)
            response = redirect(onward(purpose, next_url, _next()), found.status)
            response.headers.update(found.headers)
            if found.cookie is not None:
                _set_cookie(response, found.cookie)
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

    def redeem(self, purpose: str = "signup", *, idempotency_key: str | None = None) -> Proof:
        """Redeem the proof that the pages kept in the session, once ever: `proof.phone` is verified.

        Args:
            purpose: as given to `blueprint`.
            idempotency_key: a text that names the form, such as a hidden field of it: sent twice, it gets the same
                proof twice. None and the empty text stand for none: a form that is sent again is then a
                `UsedTokenError`, and so is another request with the same key: one that differs in method, URL or body,
                a form's token against forgery aside.

        The visitor may choose the key, and one proof makes one account: where `proof.replayed` is True, return the
        account that exists. Where there is none, for the process or the connection ended before it was made, make it; a
        unique constraint on the phone belongs there.

        A request of another site's page finds no proof, in browsers that tell (`Sec-Fetch-Site`); give your form a
        token of its own too (Flask-WTF).

        Raises `InvalidTokenError` where there is no proof, what `OTP.redeem` raises, and `ConfigurationError` for an
        application without a `SECRET_KEY`.
        """
        g.otpkit_purpose = purpose  # for the page, where this is refused
        with visit(_session(), purpose) as state:
            site, cookie = request.headers.get("Sec-Fetch-Site", ""), _proof_cookie(purpose)
            token = take_proof(state, sec_fetch_site=site, cookie=cookie)
            key = idempotency_key or None
            asked = None if key is None else _fingerprint()
            proof = current_otp.redeem(token, purpose, bind=bind_of(state), idempotency_key=key, request=asked)
        _leave_session()
        return proof

    def _asked(self, purpose: str) -> Asked:
        forwarded_for = ",".join(request.headers.getlist("X-Forwarded-For"))
        return Asked(
            url=request.script_root + request.path,
            ip=client_ip(request.remote_addr, forwarded_for, self._hops),
            accept_language=request.headers.get("Accept-Language", ""),
            language=request.args.get("lang", ""),
            cookie=_proof_cookie(purpose),
            next=_next(),
        )


def _session() -> MutableMapping[str, Any]:
    if isinstance(session, NullSession):
        raise ConfigurationError("Codes are tied to the session, and it has no key.", 'Set app.config["SECRET_KEY"].')
    return session


def _leave_session() -> None:
    """Go on in a session of another id, with Flask-Session: a stranger who planted this one is not logged in too.

    Its own `regenerate` would delete the old one, by which a form that was sent twice is answered again.
    """
    if hasattr(session, "sid"):
        session.sid, session.modified = secrets.token_urlsafe(32), True


def _proof_cookie(purpose: str) -> str:
    return request.cookies.get(cookie_name(purpose), "")


def _set_cookie(response: BaseResponse, cookie: ProofCookie) -> None:
    """Set the cookie that the kept proof is tied to, where the session's own is sent."""
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


def _form() -> dict[str, str]:
    # A browser says how long a form is. The application may have read it before, for a CAPTCHA.
    return request.form.to_dict() if 0 < (request.content_length or 0) <= MAX_BODY else {}


def _fingerprint() -> str:
    content: bytes | Fields
    if is_form(request.mimetype):
        files = [(name, cast("BinaryIO", file.stream)) for name, file in request.files.items(multi=True)]
        content = [*request.form.items(multi=True), *files]
    else:
        content = request.get_data()
    csrf_field = current_app.config.get("WTF_CSRF_FIELD_NAME", "")  # of Flask-WTF
    return fingerprint(request.method, request.full_path, content, csrf_field=csrf_field)


def _name(purpose: str) -> str:
    return f"otpkit_{purpose}".replace(".", "_")


def _next() -> str:
    return own_path(request.args.get("next", ""))


def _page_of(purpose: str) -> str:
    """Return the URL of the pages of a purpose, "" where the application has none."""
    for name in current_app.blueprints:
        if name.rpartition(".")[2] == _name(purpose):
            with suppress(BuildError):  # its prefix takes an argument
                return url_for(f"{name}.show")
    return ""


def _refuse(error: OTPError) -> ResponseReturnValue:
    if isinstance(error, ConfigurationError):
        raise error
    purpose, headers = g.get("otpkit_purpose", "signup"), request.headers
    own = (request.script_root + request.full_path).rstrip("?")
    back = back_path(request.method, own, headers.get("Referer", ""), request.host)
    language = language_of(session or {}, purpose, headers.get("Accept-Language", ""))
    verify_url = verify_again(_page_of(purpose), purpose, back)
    found = refusal(error, language, accept=headers.get("Accept", ""), verify_url=verify_url, back_url=back)
    return Response(found.body, found.status, dict(found.headers))
