"""What goes back over the wire: the gateway's envelopes, whole or spoilt by a fault. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final, Literal

from otpkit.sandbox.faults import Api, Fault

Headers = tuple[tuple[bytes, bytes], ...]
Ending = Literal["whole", "half", "drop"]

_JSON: Final[Headers] = ((b"content-type", b"application/json; charset=utf-8"),)

# The document words some codes differently for the two calls.
_SEND_MESSAGES: Final = {
    "0": "成功",
    "50001": "业务停机",
    "50002": "产品服务未开通",
    "50003": "账户信息不存在",
    "50004": "账户信息异常",
    "50009": "手机号码格式错误",
    "50010": "手机号码数量超过限制",
    "70001": "模板不合法",
    "70002": "签名不合法",
    "70003": "短信模板变量缺少参数",
    "99998": "参数异常",
}
_QUERY_MESSAGES: Final = {
    "0": "成功",
    "50001": "业务停机",
    "50003": "账户信息不存在",
    "50009": "手机号码格式非法",
    "80001": "查询时间非法",
    "80002": "分页参数不合法",
    "99998": "参数异常",
}
_UNDOCUMENTED: Final = "未知错误"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, and how it is handed over: after `delay` seconds; whole, cut in half, or not at all."""

    status: int
    body: bytes
    headers: Headers = _JSON
    delay: float = 0.0
    ending: Ending = "whole"


def accepted(biz_id: str) -> Answer:
    """Say that a message was taken; `model` is its id."""
    return _json({"code": "0", "model": biz_id, "success": True, "msg": "成功"})


def refused(api: Api, code: str) -> Answer:
    """Say no in the call's own envelope, under HTTP 200 as the document has it."""
    if api == "sendSms":
        msg = _SEND_MESSAGES.get(code, _UNDOCUMENTED)
        return _json({"code": code, "model": "", "success": False, "msg": msg})
    return _json({"success": False, "code": code, "msg": _QUERY_MESSAGES.get(code, _UNDOCUMENTED)})


def page(rows: list[dict[str, object]], *, current_page: int, page_size: int, total_count: int) -> Answer:
    """Show one page of records."""
    return _json(
        {
            "current_page": current_page,
            "page_size": page_size,
            "total_count": total_count,
            "total_page": -(-total_count // page_size),
            "values": rows,
        }
    )


def system_error(status: int, code: str, message: str) -> Answer:
    """Fail before the call is reached, as an API gateway does: the reason is in body and headers."""
    reason = ((b"x-ca-error-code", code.encode()), (b"x-ca-error-message", message.encode()))
    return _json({"errorCode": code, "errorMessage": message}, status=status, headers=_JSON + reason)


def spoilt(answer: Answer, api: Api, fault: Fault) -> Answer:
    """Return what a fault makes of the answer that the call would have had."""
    return replace(_replaced(answer, api, fault), delay=fault.delay or 0.0)


def _replaced(answer: Answer, api: Api, fault: Fault) -> Answer:
    match fault.fault:
        case "reject":
            return refused(api, fault.code or "")
        case "http_500":
            return system_error(500, "InternalError", "Internal server error")
        case "throttled":
            return system_error(403, "Throttled", "Throttled by USER Flow Control")
        case "success_false":
            return refused(api, "0")
        case "not_json":
            return replace(answer, body=b"<html><body>It works!</body></html>")
        case "drop":
            return replace(answer, ending="drop")
        case "half":
            return replace(answer, ending="half")
        case "late" | "receipt_failed" | "receipt_never" | "lost":
            return answer


def _json(content: dict[str, object], *, status: int = 200, headers: Headers = _JSON) -> Answer:
    return Answer(status, json.dumps(content, ensure_ascii=False).encode(), headers)
