"""reCAPTCHA Enterprise's projects.assessments.create. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any, Final

from otpkit.sandbox.calls import Api, WireRequest, WireResponse, json_response
from otpkit.sandbox.captchas import SolvedCaptcha, State
from otpkit.sandbox.providers.shared import FailureResponses, apply_fault
from otpkit.sandbox.state import Sandbox

_API: Final[Api] = "recaptcha.CreateAssessment"
_STATES: Final[Mapping[State, str]] = {"unknown": "MALFORMED", "expired": "EXPIRED", "used": "DUPE"}
_STATUSES: Final[Mapping[str, int]] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
}


def answer(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer one request."""
    sandbox.count(_API, ())
    if request.method != "POST":
        return _error("NOT_FOUND")
    key = request.header("x-goog-api-key")
    if not key:
        return _error("PERMISSION_DENIED")
    if not compare_digest(key.encode(), sandbox.captcha_secret.encode()):
        return _error("INVALID_ARGUMENT", "API_KEY_INVALID")
    event = _event(request)
    token, site_key = event.get("token"), event.get("siteKey")
    if not isinstance(token, str) or not isinstance(site_key, str) or not token or not site_key:
        return _error("INVALID_ARGUMENT")
    fault = sandbox.take_fault(_API, ())
    captcha, state = sandbox.find_captcha("recaptcha", token)
    if captcha is not None and captcha.site_key not in {None, site_key}:
        state = "unknown"
    if captcha is None or state != "good":
        return apply_fault(_assessment(event, reason=_STATES.get(state, "MALFORMED")), _API, fault, FAILURES)
    if fault is None or fault.sent:
        sandbox.use_captcha(token)
    return apply_fault(_assessment(event, captcha), _API, fault, FAILURES)


def _assessment(event: Mapping[str, Any], captcha: SolvedCaptcha | None = None, reason: str = "") -> WireResponse:
    token: dict[str, object] = {"valid": captcha is not None}
    content: dict[str, object] = {"name": "projects/1/assessments/1", "event": dict(event), "tokenProperties": token}
    if captcha is None:
        return json_response({**content, "tokenProperties": {**token, "invalidReason": reason}})
    token |= {"hostname": captcha.hostname, "action": captcha.action or ""}
    # Like all default values in this format, a score of 0 is left out.
    content["riskAnalysis"] = {"score": captcha.score, "reasons": []} if captcha.score else {"reasons": []}
    return json_response(content)


def _error(status: str, reason: str = "") -> WireResponse:
    code = _STATUSES.get(status, 400)
    error: dict[str, object] = {"code": code, "message": "The request was refused.", "status": status}
    if reason:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"}]
    return json_response({"error": error}, status=code)


def _event(request: WireRequest) -> dict[str, Any]:
    try:
        found = json.loads(request.body)
    except (ValueError, RecursionError):
        return {}
    event = found.get("event") if isinstance(found, dict) else None
    return event if isinstance(event, dict) else {}


def _refused(_: Api, code: str) -> WireResponse:
    """Return a refusal: a status of the API such as `PERMISSION_DENIED`, or an invalidReason such as `DUPE`."""
    return _error(code) if code in _STATUSES else _assessment({}, reason=code)


FAILURES: Final = FailureResponses(
    refused=_refused,
    broken=lambda _: _error("INTERNAL"),
    throttled=lambda _: _error("RESOURCE_EXHAUSTED"),
    unclear=lambda _: _error("UNAVAILABLE"),
)
