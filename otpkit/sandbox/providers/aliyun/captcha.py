"""Alibaba Cloud's captcha 2023-03-05: VerifyIntelligentCaptcha. No I/O.

Its `CaptchaVerifyParam` is an answer of `Sandbox.solve_captcha`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from otpkit.sandbox.calls import Api, WireRequest, WireResponse, json_response
from otpkit.sandbox.captchas import State
from otpkit.sandbox.providers.aliyun.responses import mandatory, system_error
from otpkit.sandbox.providers.shared import FailureResponses, Params, apply_fault
from otpkit.sandbox.state import Sandbox

VERSION: Final = "2023-03-05"
_HOST: Final = "captcha.cn-shanghai.aliyuncs.com"
_API: Final[Api] = "VerifyIntelligentCaptcha"
_STATES: Final[Mapping[State, str]] = {"good": "T001", "unknown": "F003", "expired": "F019", "used": "F018"}
_STATUSES: Final[Mapping[str, int]] = {"MissingParameter": 400, "InvalidParameter": 401, "InternalError": 500}


def verify_intelligent_captcha(sandbox: Sandbox, params: Params, _: WireRequest) -> WireResponse:
    """Verify an answer."""
    answer, scene = mandatory(params, "CaptchaVerifyParam", "SceneId")
    fault = sandbox.take_fault(_API, ())
    captcha, state = sandbox.find_captcha("aliyun-captcha", answer)
    code = _STATES[state]
    if captcha is not None and captcha.site_key not in {None, scene}:
        code = "F012"
    if code == "T001" and (fault is None or fault.sent):
        sandbox.use_captcha(answer)
    return apply_fault(_result(code), _API, fault, FAILURES)


def _result(code: str) -> WireResponse:
    result = {"VerifyResult": code.startswith("T"), "VerifyCode": code}
    content = {"RequestId": str(uuid4()).upper(), "Success": True, "Code": "Success", "Message": "success"}
    return json_response({**content, "Result": result})


def _refused(_: Api, code: str) -> WireResponse:
    """Return a refusal: a VerifyCode such as `F001`, or an error of the API."""
    if code[:1] in {"F", "T"} and code[1:].isdigit():
        return _result(code)
    return system_error(_STATUSES.get(code, 403), code, code, _HOST)


FAILURES: Final = FailureResponses(
    refused=_refused,
    broken=lambda _: system_error(500, "InternalError", "The request processing has failed.", _HOST),
    throttled=lambda _: system_error(400, "Throttling.User", "Request was denied due to user flow control.", _HOST),
    unclear=lambda _: system_error(503, "ServiceUnavailable", "The service is not available.", _HOST),
)
