"""Problem documents (RFC 9457) for web clients, with their headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otpkit.errors import (
    CaptchaRequiredError,
    GatewayRejectedError,
    Language,
    OTPError,
    RateLimitError,
    RefusedError,
    WrongCodeError,
)
from otpkit.languages import DEFAULT, tag

MEDIA_TYPE: Final = "application/problem+json"
# A registered type that clients may know (draft-ietf-httpapi-ratelimit-headers §7.1). Other types are otpkit's own.
QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"

_OF_THE_GUARD: Final = frozenset({"range", "guard_ip"})
_TITLES: Final = {
    "configuration": "The service is not configured correctly",
    "phone": "Not a mobile number",
    "region": "Numbers of this region are not accepted",
    "rate_limit": "Rate limit reached",
    "blocked": "The number is blocked",
    "refused": "The request was refused",
    "captcha_required": "A captcha is required",
    "captcha_rejected": "The captcha was not passed",
    "captcha_unavailable": "The captcha did not respond",
    "malformed_code": "Not a code",
    "wrong_code": "The code is wrong",
    "expired_code": "There is no live code",
    "invalid_token": "The token is not valid",
    "expired_token": "The token has expired",
    "used_token": "The token was already redeemed",
    "gateway_rejected": "The message was not sent",
    "store_unavailable": "The store did not respond",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document: its HTTP status, the headers to send with it, and its members."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]

    def json(self) -> bytes:
        """Return the document as JSON."""
        # A client may have sent half of a surrogate pair, which has no UTF-8. "backslashreplace" writes a JSON escape.
        return json.dumps(self.body, ensure_ascii=False).encode(errors="backslashreplace")


def problem(error: OTPError, language: Language = DEFAULT, *, for_server: bool = False) -> Problem:
    """Return the problem document for an error.

    `detail` is for the person at the form; `code` is the error's stable word. When a limit is reached, the headers are
    `Retry-After`, `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers). The response must not be
    cached (RFC 6585 §4). It contains no code, no secret and no phone. It does reveal what others did with the number;
    `otpkit.web.discreet` has one answer for strangers. It does not reveal what the guard found: its reasons are left
    out, and its scopes are all called `guard`. Otherwise an attacker would know which of them to change.

    Args:
        error: the error.
        language: the language of `detail`.
        for_server: True if it goes to a server of your own and not to a visitor. It then has `reasons`, and the guard's
            scopes by their names.
    """
    headers = {"Content-Language": tag(language)}
    evidence: dict[str, object] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
        evidence["retry_after"] = error.retry_after
    if isinstance(error, RateLimitError):
        scope = error.scope if for_server or error.scope not in _OF_THE_GUARD else "guard"
        headers |= _rate_limit_headers(error, scope)
        evidence |= {
            "type": QUOTA_EXCEEDED,
            "violated-policies": [scope],
            "scope": scope,
            "code_is_live": error.challenge is not None,
        }
    elif isinstance(error, WrongCodeError):
        evidence["attempts_left"] = error.attempts_left
    elif isinstance(error, GatewayRejectedError):
        evidence["category"] = error.category
    elif isinstance(error, CaptchaRequiredError):
        evidence |= {"provider": error.provider, "parameters": error.parameters}
    if for_server and isinstance(error, (CaptchaRequiredError, RefusedError)):
        evidence["reasons"] = list(error.reasons)
    title = _TITLES.get(error.code, "The request failed")
    return plain_problem(error.status, error.code, title, error.message(language), headers, evidence)


def plain_problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    evidence: Mapping[str, object] | None = None,
) -> Problem:
    """Return a problem document that does not come from an `OTPError`, such as for a request that can't be read.

    Args:
        status: the HTTP status.
        code: the stable word for the problem.
        title: the title.
        detail: the explanation.
        headers: more headers.
        evidence: more members of the document.
    """
    body = {"type": f"urn:otpkit:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}
    return Problem(status, {"Cache-Control": "no-store", **(headers or {})}, body | dict(evidence or {}))


def _rate_limit_headers(error: RateLimitError, scope: str) -> dict[str, str]:
    name, wait = f'"{scope}"', error.retry_after
    headers = {}
    if wait is not None:
        headers["RateLimit"] = f"{name};r=0;t={wait}"
    if error.rate is not None:
        headers["RateLimit-Policy"] = f"{name};q={error.rate.limit};w={error.rate.seconds}"
    return headers
