"""Geetest's captcha 4: validate. No I/O."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final

from otpkit.sandbox.calls import Api, WireRequest, WireResponse, json_response
from otpkit.sandbox.captchas import State
from otpkit.sandbox.providers.shared import FailureResponses, apply_fault, decode, form_of
from otpkit.sandbox.state import Sandbox

_API: Final[Api] = "geetest.validate"
_TIME: Final = re.compile(r"[0-9]{1,16}")
_STATES: Final[Mapping[State, str]] = {"unknown": "-50303", "used": "-50003"}
_MESSAGES: Final[Mapping[str, str]] = {
    "-50000": "runtime error",
    "-50003": "illegal verify",
    "-50005": "illegal gen_time",
    "-50101": "not captcha_id",
    "-50103": "not captcha",
    "-50302": "not lot_number",
    "-50303": "illegal lot_number",
    "-50304": "lot_number not match",
}


def answer(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer one request."""
    sandbox.count(_API, ())
    params = decode(request.query, form_of(request))
    if params is None:
        return _refused(_API, "-50000")
    lot, captcha_id = params.get("lot_number", ""), params.get("captcha_id", "")
    for is_wrong, code in (
        (not captcha_id, "-50101"),
        (captcha_id != sandbox.captcha_site_key, "-50103"),
        (not lot, "-50302"),
        (not _TIME.fullmatch(params.get("gen_time", "")), "-50005"),
    ):
        if is_wrong:
            return _refused(_API, code)
    fault = sandbox.take_fault(_API, ())
    captcha, state = sandbox.find_captcha("geetest", lot)
    if captcha is not None and captcha.site_key not in {None, captcha_id}:
        state = "unknown"
    if state in _STATES:
        return apply_fault(_refused(_API, _STATES[state]), _API, fault, FAILURES)
    signed = hmac.digest(sandbox.captcha_secret.encode(), lot.encode(), "sha256").hex()
    reason = "pass_token expire" if state == "expired" else ""
    if not hmac.compare_digest(signed, params.get("sign_token", "").encode("ascii", "replace").decode()):
        reason = "sign_token error"
    elif (params.get("pass_token"), params.get("captcha_output")) != (f"pass{lot}", f"out{lot}"):
        reason = "pass_token error"
    if not reason and (fault is None or fault.sent):
        sandbox.use_captcha(lot)
    return apply_fault(_result(lot, reason), _API, fault, FAILURES)


def _result(lot: str, reason: str) -> WireResponse:
    captcha = {"used_type": "slide", "user_ip": "127.0.0.1", "lot_number": lot, "scene": "", "referer": ""}
    result = "fail" if reason else "success"
    return json_response({"status": "success", "result": result, "reason": reason, "captcha_args": captcha})


def _refused(_: Api, code: str) -> WireResponse:
    desc = {"type": "defined error"}
    return json_response({"status": "error", "code": code, "msg": _MESSAGES.get(code, "error"), "desc": desc})


FAILURES: Final = FailureResponses(
    refused=_refused,
    broken=lambda _: WireResponse(500, b"<html><body>Internal Server Error</body></html>"),
    throttled=lambda _: WireResponse(429, b""),
    unclear=lambda _: json_response({"status": "success"}),
)
