"""Redeem a proof, log in with it, and handle the session that holds the forms' state."""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO, cast

from django.conf import settings
from django.contrib.auth import SESSION_KEY, authenticate, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException

from otpkit import ConfigurationError, Proof
from otpkit.frames import without_locals
from otpkit.integrations.django.backends import has_phone_backend
from otpkit.integrations.django.conf import get_otp
from otpkit.web import DeviceCookie, ProofCookie, State, bind_of, cookie_name, fingerprint, take_proof, visit
from otpkit.web.fingerprints import Fields, is_form
from otpkit.web.sessions import redeemed


@without_locals
def redeem(request: HttpRequest, purpose: str = "signup", *, idempotency_key: str | None = None) -> Proof:
    """Redeem the proof that the session keeps. A proof can be redeemed only once.

    Call it in the form that creates the account. The visitor may choose the idempotency key, and one proof must create
    one account. If `proof.replayed` is True, return the account that exists. If it does not exist, because the process
    or the connection ended before it was created, create it. Put a unique constraint on the phone.

    Args:
        request: the request, with a session.
        purpose: the purpose of the view that verified the phone.
        idempotency_key: a text that identifies the form, such as a random hidden field. If the form is sent twice, both
            requests get the same proof. None and "" mean no key: then the second request raises `UsedTokenError`.
            A request with the same key but another method, URL or body also raises `UsedTokenError` (the CSRF token
            may differ). A body that was consumed as a stream is not compared.

    Returns:
        The proof. `proof.phone` is verified.

    Raises:
        TokenError: there is no proof, or it is used or expired. If the view does not catch the error,
            `PhoneErrorMiddleware` answers with a page that links to the phone form.
        StoreUnavailableError: Redis is not available.
    """
    request.otpkit_purpose = purpose  # type: ignore[attr-defined]
    with visit(session_of(request), purpose) as state:
        token = kept_token(request, purpose, state)
        key = idempotency_key or None
        asked = None if key is None else fingerprint_of(request)
        return get_otp().redeem(token, purpose, bind=bind_of(state), idempotency_key=key, request=asked)


@without_locals
def log_in(request: HttpRequest, proof: Proof) -> AbstractBaseUser | None:
    """Log in the user with the verified number, in a new session.

    Nothing of the visitor's old session is kept, because a stranger may have planted it (session fixation). Copy what
    you need, such as a cart, before the call. If a user is logged in already, Django's `login` ends that session.

    Args:
        request: the request, with a session.
        proof: the proof from `redeem`, or the argument of `PhoneView.verified`.

    Returns:
        The user, or None if an SMS alone must not log anyone in: no user has the number, the user is inactive, staff or
        a superuser (`OTPKIT["LOGIN_STAFF"]`), or the proof's purpose is not in `OTPKIT["LOGIN_PURPOSES"]`. Show the
        same page in all these cases.

    Raises:
        ConfigurationError: `AUTHENTICATION_BACKENDS` has no `PhoneBackend`.
    """
    if not has_phone_backend():
        raise ConfigurationError(
            "No authentication backend accepts a proof, so no user can log in.",
            "Add 'otpkit.integrations.django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS.",
        )
    user: AbstractBaseUser | None = authenticate(request, proof=proof)
    if user is not None:
        leave_session(request, with_content=False)
        login(request, user)
    return user


def leave_session(request: HttpRequest, *, with_content: bool = True) -> None:
    """Continue in a new session, so that a planted session is worthless.

    The new session copies the old content, or, with `with_content=False`, only what answers a form that is sent twice.

    The old session stays: `cycle_key` would delete it. If a form was sent twice, the second request would then find no
    state. Its response, which is the one that the browser shows, would undo the first one's login or proof. The old
    session holds no more than before. A session with a logged-in user is not replaced here: Django's `login` ends it.
    """
    old = request.session
    if SESSION_KEY not in old and (old.session_key is not None or not with_content):
        request.session = type(old)()
        request.session.update(dict(old.items()) if with_content else redeemed(old))


def kept_token(request: HttpRequest, purpose: str, state: State) -> str:
    """Return the token that the session's state keeps, or "", and take it out of the state."""
    site, cookie = request.headers.get("Sec-Fetch-Site", ""), proof_cookie(request, purpose)
    return take_proof(state, sec_fetch_site=site, cookie=cookie)


def proof_cookie(request: HttpRequest, purpose: str) -> str:
    """Return the value of the cookie that the kept proof is tied to, or "" if there is none."""
    return request.COOKIES.get(cookie_name(purpose), "")


def set_cookie(response: HttpResponse, cookie: ProofCookie | DeviceCookie) -> None:
    """Set the cookie that a kept proof is tied to, or that of the devices, with the scope of the session's own."""
    response.set_cookie(
        cookie.name,
        cookie.value,
        max_age=cookie.max_age,
        httponly=True,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite=settings.SESSION_COOKIE_SAMESITE,
    )


def fingerprint_of(request: HttpRequest) -> str:
    """Return the request's fingerprint for `OTP.redeem`. A body that was consumed as a stream is not part of it."""
    content: bytes | Fields = b""
    if request.method == "POST" and is_form(request.content_type or ""):
        files = [(name, cast("BinaryIO", file.file)) for name, each in request.FILES.lists() for file in each]
        content = [*((name, str(value)) for name, each in request.POST.lists() for value in each), *files]
    else:
        with suppress(RawPostDataException):
            content = request.body
    return fingerprint(request.method or "", request.get_full_path(), content)


def session_of(request: HttpRequest) -> SessionBase:
    """Return the session, which holds the forms' state.

    Raises:
        ConfigurationError: the request has no session.
    """
    if not hasattr(request, "session"):
        raise ConfigurationError(
            "The forms keep their state in the session, but this request has no session.",
            "Add django.contrib.sessions.middleware.SessionMiddleware.",
        )
    return request.session
