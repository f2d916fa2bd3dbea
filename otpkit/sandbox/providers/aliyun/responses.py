"""Response envelopes of Dysmsapi and Dyvmsapi. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Final
from uuid import uuid4

from otpkit.gateways.base import Channel
from otpkit.sandbox.calls import CALLS, Api, WireResponse, json_response
from otpkit.sandbox.providers.shared import FailureResponses

# Alidayu's codes and Alibaba Cloud's, for the rules and the phone numbers that all providers share.
_CODES: Final[Mapping[str, str]] = {
    "50001": "isv.OUT_OF_SERVICE",
    "50002": "isv.PRODUCT_UN_SUBSCRIPT",
    "50003": "isv.ACCOUNT_NOT_EXISTS",
    "50004": "isv.ACCOUNT_ABNORMAL",
    "50009": "isv.MOBILE_NUMBER_ILLEGAL",
    "50010": "isv.MOBILE_COUNT_OVER_LIMIT",
    "70003": "isv.TEMPLATE_MISSING_PARAMETERS",
    "80001": "isv.INVALID_PARAMETERS",
    "80002": "isv.INVALID_PARAMETERS",
    "99998": "isv.INVALID_PARAMETERS",
}
_CODES_OF: Final[Mapping[Channel, Mapping[str, str]]] = {
    "sms": {"70001": "isv.SMS_TEMPLATE_ILLEGAL", "70002": "isv.SMS_SIGNATURE_ILLEGAL"},
    "voice": {"70001": "isv.TTS_TEMPLATE_ILLEGAL", "70002": "isv.DISPLAY_NUMBER_ILLEGAL"},
}
_MESSAGES: Final[Mapping[str, str]] = {
    "isp.SYSTEM_ERROR": "系统错误",
    "isv.ACCOUNT_ABNORMAL": "账户异常",
    "isv.ACCOUNT_NOT_EXISTS": "账户不存在",
    "isv.AMOUNT_NOT_ENOUGH": "账户余额不足",
    "isv.BUSINESS_LIMIT_CONTROL": "触发业务流控限制",
    "isv.DISPLAY_NUMBER_ILLEGAL": "号显不合法",
    "isv.INVALID_JSON_PARAM": "JSON参数不合法，只接受字符串值",
    "isv.INVALID_PARAMETERS": "参数异常",
    "isv.MOBILE_COUNT_OVER_LIMIT": "手机号码数量超过限制",
    "isv.MOBILE_NUMBER_ILLEGAL": "手机号码格式错误",
    "isv.OUT_OF_SERVICE": "业务停机",
    "isv.PRODUCT_UN_SUBSCRIPT": "未开通云通信产品的阿里云客户",
    "isv.SMS_SIGNATURE_ILLEGAL": "短信签名不合法",
    "isv.SMS_TEMPLATE_ILLEGAL": "短信模板不合法",
    "isv.TEMPLATE_MISSING_PARAMETERS": "模板变量缺少参数",
    "isv.TTS_TEMPLATE_ILLEGAL": "TTS模板不合法",
    "isv.VOICE_FILE_ILLEGAL": "语音文件不合法",
}


def done(**fields: object) -> WireResponse:
    """Return the response of a successful call."""
    return json_response({"Code": "OK", "Message": "OK", "RequestId": _request_id(), **fields})


def refused(api: Api, code: str) -> WireResponse:
    """Return a refusal in the call's envelope, with HTTP 200."""
    code = "isv.VOICE_FILE_ILLEGAL" if (api, code) == ("SingleCallByVoice", "70001") else _code(api, code)
    return json_response({"Code": code, "Message": _MESSAGES.get(code, code), "RequestId": _request_id()})


def system_error(status: int, code: str, message: str, host: str) -> WireResponse:
    """Return an error that comes before the call is reached."""
    request_id = _request_id()
    return json_response(
        {
            "RequestId": request_id,
            "HostId": host,
            "Code": code,
            "Message": message,
            "Recommend": f"https://api.aliyun.com/troubleshoot?q={code}&requestId={request_id}",
        },
        status=status,
    )


def as_xml(answer: WireResponse, action: str) -> WireResponse:
    """Return a response in XML. If the body is not a JSON object, return it unchanged."""
    try:
        fields = json.loads(answer.body)
    except ValueError:
        return answer
    name = f"{action}Response" if answer.status == 200 else "Error"
    body = f"<?xml version='1.0' encoding='UTF-8'?>{_element(name, fields)}"
    return replace(answer, body=body.encode(), headers=((b"content-type", b"text/xml;charset=utf-8"),))


def _element(name: str, value: object) -> str:
    if isinstance(value, list):
        return "".join(_element(name, each) for each in value)
    inner = "".join(_element(*pair) for pair in value.items()) if isinstance(value, dict) else escape(str(value))
    return f"<{name}>{inner}</{name}>"


def _code(api: Api, code: str) -> str:
    return _CODES_OF[CALLS[api].channel].get(code) or _CODES.get(code, code)


def _host(api: Api) -> str:
    return f"{CALLS[api].provider}.aliyuncs.com"


def _request_id() -> str:
    return str(uuid4()).upper()


def _broken(api: Api) -> WireResponse:
    message = "The request processing has failed due to some unknown error."
    return system_error(500, "InternalError", message, _host(api))


def _throttled(api: Api) -> WireResponse:
    return system_error(400, "Throttling.User", "Request was denied due to user flow control.", _host(api))


FAILURES: Final = FailureResponses(
    refused=refused,
    broken=_broken,
    throttled=_throttled,
    unclear=lambda api: refused(api, "isp.SYSTEM_ERROR"),
)


class Denied(Exception):
    """Raised for a request that is denied, with an HTTP status and a code for the reason."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.status = status


def mandatory(params: Mapping[str, str], *names: str) -> list[str]:
    """Return the values of mandatory parameters.

    Raises:
        Denied: one is missing.
    """
    for name in names:
        if not params.get(name, "").strip():
            raise Denied(f"Missing{name}", f"{name} is mandatory for this action.")
    return [params[name] for name in names]
