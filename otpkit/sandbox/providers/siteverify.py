"""The protocol `siteverify` of Turnstile, hCaptcha and reCAPTCHA v2 and v3. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hmac import compare_digest
from typing import Final, Literal

from otpkit.sandbox.calls import Api, WireRequest, WireResponse, json_response
from otpkit.sandbox.captchas import SolvedCaptcha, State
from otpkit.sandbox.providers.shared import FailureResponses, Params, apply_fault, decode, form_of
from otpkit.sandbox.state import Sandbox

SiteVerifyName = Literal["turnstile", "hcaptcha", "recaptcha"]
_APIS: Final[Mapping[SiteVerifyName, Api]] = {
    "turnstile": "turnstile.siteverify",
    "hcaptcha": "hcaptcha.siteverify",
    "recaptcha": "recaptcha.siteverify",
}
_LATE: Final = {"unknown": "invalid-input-response", "expired": "timeout-or-duplicate", "used": "timeout-or-duplicate"}
_CODES: Final[Mapping[SiteVerifyName, Mapping[State, str]]] = {
    "turnstile": _LATE,  # type: ignore[dict-item]
    "hcaptcha": {
        "unknown": "invalid-input-response",
        "expired": "expired-input-response",
        "used": "already-seen-response",
    },
    "recaptcha": _LATE,  # type: ignore[dict-item]
}


def turnstile(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer a request to Turnstile."""
    return _answer(sandbox, request, "turnstile")


def hcaptcha(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer a request to hCaptcha."""
    return _answer(sandbox, request, "hcaptcha")


def recaptcha(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer a request to reCAPTCHA."""
    return _answer(sandbox, request, "recaptcha")


def _answer(sandbox: Sandbox, request: WireRequest, name: SiteVerifyName) -> WireResponse:
    api = _APIS[name]
    sandbox.count(api, ())
    params = _params(request) if request.method == "POST" else None
    if params is None:
        return _refused(api, "bad-request")
    secret, token, site_key = params.get("secret", ""), params.get("response", ""), params.get("sitekey", "")
    if not secret:
        return _refused(api, "missing-input-secret")
    if not compare_digest(secret.encode(), sandbox.captcha_secret.encode()):
        return _refused(api, "invalid-input-secret")
    if not token:
        return _refused(api, "missing-input-response")
    if site_key and site_key != sandbox.captcha_site_key:
        return _refused(api, "sitekey-secret-mismatch")
    fault = sandbox.take_fault(api, ())
    captcha, state = sandbox.find_captcha(name, token)
    if captcha is None or state != "good" or (site_key and captcha.site_key not in {None, site_key}):
        code = _CODES[name].get(state, "invalid-input-response")
        return apply_fault(_refused(api, code), api, fault, FAILURES)
    if fault is None or fault.sent:
        sandbox.use_captcha(token)
    return apply_fault(_passed(captcha, sandbox.now() - captcha.age), api, fault, FAILURES)


def _passed(captcha: SolvedCaptcha, at: float) -> WireResponse:
    content: dict[str, object] = {
        "success": True,
        "error-codes": [],
        "challenge_ts": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "hostname": captcha.hostname,
    }
    if captcha.action is not None:
        content["action"] = captcha.action
    if captcha.score is not None:
        content["score"] = captcha.score
    return json_response(content)


def _params(request: WireRequest) -> Params | None:
    if not request.header("content-type").startswith("application/json"):
        return decode(form_of(request))
    try:
        found = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else None


def _refused(_: Api, code: str) -> WireResponse:
    return json_response({"success": False, "error-codes": [code]})


FAILURES: Final = FailureResponses(
    refused=_refused,
    broken=lambda _: WireResponse(500, b"<html><body>Internal Server Error</body></html>"),
    throttled=lambda _: json_response({"success": False, "error-codes": []}, status=429),
    unclear=lambda api: _refused(api, "internal-error"),
)
