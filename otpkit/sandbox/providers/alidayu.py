"""Alidayu's wire format. No I/O.

Where the provider's document contradicts itself, the sandbox follows the stricter reading: pages of at most 50 rows,
numbers of 11 digits, `sms_param` as a JSON object of strings. A row that still waits for its receipt has a receive
time, as in the document's sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otpkit.sandbox.calls import JSON, Api, Unacceptable, WireRequest, WireResponse, json_response
from otpkit.sandbox.messages import Message, Sms, Status
from otpkit.sandbox.phones import NUMBER
from otpkit.sandbox.providers.shared import (
    MAX_PAGE_SIZE,
    FailureResponses,
    Params,
    apply_fault,
    decode,
    numbers_in,
    recent_day,
    template_values,
    time_text,
    whole_number,
)
from otpkit.sandbox.state import Sandbox

# The document has different texts for some codes in the two calls.
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


def accepted(biz_id: str) -> WireResponse:
    """Return the response to an accepted message. `model` is its id."""
    return json_response({"code": "0", "model": biz_id, "success": True, "msg": "成功"})


def refused(api: Api, code: str) -> WireResponse:
    """Return a refusal in the call's envelope, with HTTP 200 as documented."""
    if api == "sendSms":
        msg = _SEND_MESSAGES.get(code, _UNDOCUMENTED)
        return json_response({"code": code, "model": "", "success": False, "msg": msg})
    return json_response({"success": False, "code": code, "msg": _QUERY_MESSAGES.get(code, _UNDOCUMENTED)})


def page(rows: list[dict[str, object]], *, current_page: int, page_size: int, total_count: int) -> WireResponse:
    """Return one page of records."""
    return json_response(
        {
            "current_page": current_page,
            "page_size": page_size,
            "total_count": total_count,
            "total_page": -(-total_count // page_size),
            "values": rows,
        }
    )


def system_error(status: int, code: str, message: str) -> WireResponse:
    """Return an error of the API gateway, before the call is reached. The reason is in the body and the headers."""
    reason = ((b"x-ca-error-code", code.encode()), (b"x-ca-error-message", message.encode()))
    return json_response({"errorCode": code, "errorMessage": message}, status=status, headers=JSON + reason)


FAILURES: Final = FailureResponses(
    refused=refused,
    broken=lambda _: system_error(500, "InternalError", "Internal server error"),
    throttled=lambda _: system_error(403, "Throttled", "Throttled by USER Flow Control"),
    unclear=lambda api: refused(api, "0"),
)


MAX_NUMBERS: Final = 200  # a call

_STATUSES: Final[Mapping[Status, int]] = {"waiting": 1, "failed": 2, "delivered": 3}


def answer(sandbox: Sandbox, api: Api, request: WireRequest) -> WireResponse:
    """Answer one request."""
    if request.method != "GET":
        return system_error(405, "MethodNotAllowed", "Use GET")
    params = decode(request.query)
    sandbox.count(api, numbers_in(params, "rec_num"))
    if not sandbox.knows(request.headers.get(b"x-ca-key", b""), request.headers.get(b"x-ca-secret", b"")):
        return system_error(403, "InvalidAppKey", "Invalid AppKey or AppSecret")
    try:
        if params is None:
            raise Unacceptable("99998")
        return _send_sms(sandbox, params, request) if api == "sendSms" else _query_sms_detail(sandbox, params)
    except Unacceptable as no:
        return refused(api, no.code)


def _send_sms(sandbox: Sandbox, params: Params, request: WireRequest) -> WireResponse:
    biz_id, fault = sandbox.submit(_read_sms(sandbox, params), request)
    return apply_fault(accepted(biz_id), "sendSms", fault, FAILURES)


def _read_sms(sandbox: Sandbox, params: Params) -> Sms:
    if _required(params, "sms_type") != "normal":
        raise Unacceptable("99998")
    sign_name, template = _required(params, "sms_free_sign_name"), _required(params, "sms_template_code")
    values = template_values(params.get("sms_param", ""), otherwise="99998")
    phones = tuple(_required(params, "rec_num").split(","))
    if len(phones) > MAX_NUMBERS:
        raise Unacceptable("50010")
    if not all(map(NUMBER.fullmatch, phones)):
        raise Unacceptable("50009")
    text = sandbox.compose(template, sign_name, values)
    return Sms(phones, template, sign_name, values, text, params.get("extend", ""))


def _query_sms_detail(sandbox: Sandbox, params: Params) -> WireResponse:
    phone = _required(params, "rec_num")
    if not NUMBER.fullmatch(phone):
        raise Unacceptable("50009")
    day = recent_day(_required(params, "query_date"), sandbox.now(), otherwise="80001")
    current_page = whole_number(_required(params, "current_page"), otherwise="80002")
    page_size = whole_number(_required(params, "page_size"), otherwise="80002", most=MAX_PAGE_SIZE)
    fault = sandbox.take_fault("querySmsDetail", (phone,))
    found = sandbox.sent_on(phone, day, params.get("biz_id") or None)
    start = (current_page - 1) * page_size
    now = sandbox.now()
    rows = [_row(message, now) for message in found[start : start + page_size]]
    shown = page(rows, current_page=current_page, page_size=page_size, total_count=len(found))
    return apply_fault(shown, "querySmsDetail", fault, FAILURES)


def _row(message: Message, now: float) -> dict[str, object]:
    status = message.status(now)
    received_at = message.sent_at if status == "waiting" else message.receipt_at or message.sent_at
    return {
        "extend": message.extend,
        "rec_num": message.phone,
        "result_code": "000" if status == "waiting" else message.result_code,
        "sms_code": message.template,
        "sms_content": message.text,
        "sms_receiver_time": time_text(received_at),
        "sms_send_time": time_text(message.sent_at),
        "sms_status": _STATUSES[status],
    }


def _required(params: Params, name: str) -> str:
    value = params.get(name, "")
    if not value.strip():
        raise Unacceptable("99998")
    return value
