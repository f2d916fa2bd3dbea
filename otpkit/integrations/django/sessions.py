"""What the session holds of a visitor's forms, and what an application does with a proof: redeem it, log in by it."""

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
from otpkit.web import ProofCookie, bind_of, cookie_name, fingerprint, take_proof, visit
from otpkit.web.fingerprints import Fields, is_form
from otpkit.web.sessions import redeemed


@without_locals
def redeem(request: HttpRequest, purpose: str = "signup", *, idempotency_key: str | None = None) -> Proof:
    """Redeem the proof that the session keeps, once ever: call it in the form that creates the account.

    With an `idempotency_key`, such as a random hidden field of that form, the form may come twice and gets the same
    proof twice. None and the empty text stand for none: a form that is sent again is then a `UsedTokenError`, and so is
    another request with the same key: one that differs in method, URL or body, the CSRF token aside. (A body that was
    read from the request as a stream is gone, and not looked at.)

    The visitor may choose the key, and one proof makes one account: where `proof.replayed` is True, return the account
    that exists. Where there is none, for the process or the connection ended before it was made, make it; a unique
    constraint on the phone belongs there.

    Raises `TokenError` where there is no proof, or none any more, and `StoreUnavailableError`. A view that lets them
    through is answered by `PhoneErrorMiddleware`: with a page that leads to the phone's form again.
    """
    request.otpkit_purpose = purpose  # type: ignore[attr-defined]
    with visit(session_of(request), purpose) as state:
        site, cookie = request.headers.get("Sec-Fetch-Site", ""), proof_cookie(request, purpose)
        token = take_proof(state, sec_fetch_site=site, cookie=cookie)
        key = idempotency_key or None
        asked = None if key is None else _fingerprint(request)
        return get_otp().redeem(token, purpose, bind=bind_of(state), idempotency_key=key, request=asked)


@without_locals
def log_in(request: HttpRequest, proof: Proof) -> AbstractBaseUser | None:
    """Log in the user with the verified number, in a session of its own, and return them, or None.

    Nothing of the visitor's session is kept, for a stranger may have planted it with all that is in it: copy what
    you need, such as a cart, before the call. The session of somebody who is logged in is Django's `login` to end.

    None where nobody with the number may log in by an SMS alone: no user, an inactive one, staff or a superuser
    (`OTPKIT["LOGIN_STAFF"]`), or a proof of another purpose than `OTPKIT["LOGIN_PURPOSES"]`. Show the same page for all
    of them. Call it with a proof of `redeem`, or the one that `verified` is given.

    Raises `ConfigurationError` where no `PhoneBackend` could say who that is.
    """
    if not has_phone_backend():
        raise ConfigurationError(
            "No backend logs in by a proof, so nobody could log in.",
            "Add 'otpkit.integrations.django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS.",
        )
    user: AbstractBaseUser | None = authenticate(request, proof=proof)
    if user is not None:
        leave_session(request, with_content=False)
        login(request, user)
    return user


def leave_session(request: HttpRequest, *, with_content: bool = True) -> None:
    """Go on in a new session, so that one which was planted is worth nothing.

    It has all that this one holds, or nothing but what answers a form that is sent twice.

    `cycle_key` would delete the old one; then a form that was sent twice would find nothing to be answered by, and the
    second answer, which is the one that a browser shows, would undo the first. What stays there is no more than what
    was there before. A session that somebody is logged in with isn't left behind: `login` ends it.
    """
    old = request.session
    if SESSION_KEY not in old and (old.session_key is not None or not with_content):
        request.session = type(old)()
        request.session.update(dict(old.items()) if with_content else redeemed(old))


def proof_cookie(request: HttpRequest, purpose: str) -> str:
    """Return the value of the cookie that the kept proof is tied to, "" where there is none."""
    return request.COOKIES.get(cookie_name(purpose), "")


def set_proof_cookie(response: HttpResponse, cookie: ProofCookie) -> None:
    """Set the cookie that the kept proof is tied to, where the session's own is sent."""
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


def _fingerprint(request: HttpRequest) -> str:
    content: bytes | Fields = b""
    if request.method == "POST" and is_form(request.content_type or ""):
        files = [(name, cast("BinaryIO", file.file)) for name, each in request.FILES.lists() for file in each]
        content = [*((name, str(value)) for name, each in request.POST.lists() for value in each), *files]
    else:
        with suppress(RawPostDataException):
            content = request.body
    return fingerprint(request.method or "", request.get_full_path(), content)


def session_of(request: HttpRequest) -> SessionBase:
    """Return the session, in which the forms keep their state."""
    if not hasattr(request, "session"):
        raise ConfigurationError(
            "The forms keep their state in the session, and there is none.",
            "Add django.contrib.sessions.middleware.SessionMiddleware.",
        )
    return request.session
