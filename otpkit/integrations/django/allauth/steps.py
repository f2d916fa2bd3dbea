"""What the adapter and the forms share about a step of allauth: its part of the session, and facts of the request."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from django.http import HttpRequest

from otpkit.integrations.django.conf import forwarded_hops
from otpkit.web import DEVICES_COOKIE, client_ip

STATE: Final = "allauth"  # the part of the session for both; it is not the purpose of a code


def mark(code: str) -> str:
    """Return the text in the session by which a form recognizes the step whose code otpkit sent.

    Args:
        code: the code that allauth keeps for the step, and that was not sent.
    """
    return sha256(f"otpkit allauth:{code}".encode()).hexdigest()


def visitor_of(request: HttpRequest) -> dict[str, Any]:
    """Return the arguments of a call of the `OTP` that identify the visitor."""
    meta = request.META
    return {
        "ip": client_ip(meta.get("REMOTE_ADDR"), meta.get("HTTP_X_FORWARDED_FOR", ""), forwarded_hops()),
        "device": request.COOKIES.get(DEVICES_COOKIE) or None,
    }
