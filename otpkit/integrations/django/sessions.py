"""What the session holds of a visitor's forms, and what an application does with a proof: redeem it, log in by it."""

from __future__ import annotations

from django.contrib.auth import SESSION_KEY, authenticate, login
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from otpkit import ConfigurationError, Proof
from otpkit.integrations.django.conf import get_otp
from otpkit.web import PhoneForms, State, drive
from otpkit.web.pages import render

_SESSION = "otpkit"  # the key in the session under which all of it stands


def redeem(request: HttpRequest, purpose: str = "signup", *, idempotency_key: str | None = None) -> Proof:
    """Redeem the proof that the session keeps, once ever: call it in the form that creates the account.

    With an `idempotency_key`, such as a random hidden field of that form, the form may come twice and gets the same
    proof twice.

    Raises `TokenError` where there is no proof, or none any more: send the visitor to the phone's form again; and
    `StoreUnavailableError`.
    """
    state, otp = state_of(request, purpose), get_otp()
    forms = PhoneForms(purpose, otp.policy, render)
    try:
        return drive(forms.redeem(state, idempotency_key=idempotency_key), otp)
    finally:
        keep(request, purpose, state)


def log_in(request: HttpRequest, proof: Proof) -> AbstractBaseUser | None:
    """Log in the user with the verified number, in a session of its own, and return him; None where there is none."""
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


def state_of(request: HttpRequest, purpose: str) -> State:
    """Return what the session holds of the forms for a purpose."""
    if not hasattr(request, "session"):
        raise ConfigurationError(
            "The forms keep their state in the session: add django.contrib.sessions.middleware.SessionMiddleware."
        )
    return dict(request.session.get(_SESSION, {}).get(purpose, {}))


def keep(request: HttpRequest, purpose: str, state: State) -> None:
    """Put back into the session what it is to hold, which is saved only where it has changed."""
    held = request.session.get(_SESSION, {})
    if held.get(purpose, {}) != state:
        request.session[_SESSION] = {**held, purpose: dict(state)}
