"""What the session holds of a visitor's forms, and what an application does with a proof: redeem it, log in by it."""

from __future__ import annotations

from django.contrib.auth import SESSION_KEY, authenticate, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest

from otpkit import ConfigurationError, Proof
from otpkit.frames import without_locals
from otpkit.integrations.django.backends import has_phone_backend
from otpkit.integrations.django.conf import get_otp
from otpkit.web import bind_of, take_proof, visit


@without_locals
def redeem(request: HttpRequest, purpose: str = "signup", *, idempotency_key: str | None = None) -> Proof:
    """Redeem the proof that the session keeps, once ever: call it in the form that creates the account.

    With an `idempotency_key`, such as a random hidden field of that form, the form may come twice and gets the same
    proof twice.

    Raises `TokenError` where there is no proof, or none any more: send the visitor to the phone's form again; and
    `StoreUnavailableError`.
    """
    with visit(session_of(request), purpose) as state:
        token = take_proof(state, sec_fetch_site=request.headers.get("Sec-Fetch-Site", ""))
        return get_otp().redeem(token, purpose, bind=bind_of(state), idempotency_key=idempotency_key or None)


@without_locals
def log_in(request: HttpRequest, proof: Proof) -> AbstractBaseUser | None:
    """Log in the user with the verified number, in a session of its own, and return him; None where there is none.

    Raises `ConfigurationError` where no `PhoneBackend` could say who that is.
    """
    if not has_phone_backend():
        raise ConfigurationError(
            "Add 'otpkit.integrations.django.backends.PhoneBackend' to AUTHENTICATION_BACKENDS: nobody could log in."
        )
    user: AbstractBaseUser | None = authenticate(request, proof=proof)
    if user is not None:
        leave_session(request)
        login(request, user)
    return user


def leave_session(request: HttpRequest) -> None:
    """Go on in a new session with all that this one holds, so that one which was planted is worth nothing.

    `cycle_key` would delete the old one; then a form that was sent twice would find nothing to be answered by, and the
    second answer, which is the one that a browser shows, would undo the first. What stays there is no more than what
    was there before. A session that somebody is logged in with isn't left behind: `login` ends it.
    """
    old = request.session
    if old.session_key is not None and SESSION_KEY not in old:
        request.session = type(old)()
        request.session.update(dict(old.items()))


def session_of(request: HttpRequest) -> SessionBase:
    """Return the session, in which the forms keep their state."""
    if not hasattr(request, "session"):
        raise ConfigurationError(
            "The forms keep their state in the session: add django.contrib.sessions.middleware.SessionMiddleware."
        )
    return request.session
