"""What the adapter and the forms share about a step of allauth: its part of the session, and facts of the request."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any, Final, NamedTuple

from django.http import HttpRequest

from otpkit.integrations.django.conf import forwarded_hops
from otpkit.web import DEVICES_COOKIE, State, client_ip

STATE: Final = "allauth"  # the part of the session for both; it is not the purpose of a code
VERIFY, LOGIN, REAUTHENTICATE = "verify_phone", "confirm_login_code", "confirm_reauthentication_code"
"""The names of the steps, which are those of their forms in the setting `ACCOUNT_FORMS`."""
PHONE_CODE: Final = "-"
"""The beginning of the codes that allauth keeps for phones, but not for emails. It ignores punctuation in codes."""


class Sent(NamedTuple):
    """The phone and the purpose of the code that otpkit sent for a step."""

    phone: str
    purpose: str


def keep(state: State, step: str, code: str, sent: Sent) -> None:
    """Keep in the session that otpkit sent the code of a step. Each step has a place of its own.

    Args:
        state: the session's part.
        step: the step.
        code: the code that allauth keeps for the step, and that was not sent.
        sent: the phone and the purpose.
    """
    state[step] = " ".join((_mark(code), *sent))


def find(state: State, step: str, code: str) -> Sent | None:
    """Return what `keep` has kept for a step, or None if that was for another code of allauth's."""
    kept, _, sent = state.get(step, "").partition(" ")
    if not secrets.compare_digest(kept, _mark(code)):
        return None
    phone, _, purpose = sent.partition(" ")
    return Sent(phone, purpose)


def _mark(code: str) -> str:
    """Return the text by which a form recognizes the step."""
    return sha256(f"otpkit allauth:{code}".encode()).hexdigest()


def visitor_of(request: HttpRequest) -> dict[str, Any]:
    """Return the arguments of a call of the `OTP` that identify the visitor."""
    meta = request.META
    return {
        "ip": client_ip(meta.get("REMOTE_ADDR"), meta.get("HTTP_X_FORWARDED_FOR", ""), forwarded_hops()),
        "device": request.COOKIES.get(DEVICES_COOKIE) or None,
    }
