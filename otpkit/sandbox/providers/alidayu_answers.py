"""Alidayu's envelopes. No I/O."""

from __future__ import annotations

from typing import Final

from otpkit.sandbox.answers import JSON, Answer, Failures, json_answer
from otpkit.sandbox.calls import Api

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


def accepted(biz_id: str) -> Answer:
    """Say that a message was taken; `model` is its id."""
    return json_answer({"code": "0", "model": biz_id, "success": True, "msg": "成功"})


def refused(api: Api, code: str) -> Answer:
    """Say no in the call's own envelope, under HTTP 200 as the document has it."""
    if api == "sendSms":
        msg = _SEND_MESSAGES.get(code, _UNDOCUMENTED)
        return json_answer({"code": code, "model": "", "success": False, "msg": msg})
    return json_answer({"success": False, "code": code, "msg": _QUERY_MESSAGES.get(code, _UNDOCUMENTED)})


def page(rows: list[dict[str, object]], *, current_page: int, page_size: int, total_count: int) -> Answer:
    """Show one page of records."""
    return json_answer(
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
    return json_answer({"errorCode": code, "errorMessage": message}, status=status, headers=JSON + reason)


FAILURES: Final = Failures(
    refused=refused,
    broken=lambda _: system_error(500, "InternalError", "Internal server error"),
    throttled=lambda _: system_error(403, "Throttled", "Throttled by USER Flow Control"),
    unclear=lambda api: refused(api, "0"),
)
