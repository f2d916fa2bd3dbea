"""The Alidayu wire format: a request's parameters in, an answer out. No I/O.

Where the document contradicts itself, the stricter reading holds: pages of at most 50, numbers of 11 digits,
`sms_param` a real JSON object whose values are strings. As in its sample, a row that still waits for its
receipt has a receive time all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otpkit.sandbox.answers import Answer, spoilt
from otpkit.sandbox.calls import Api, WireRequest
from otpkit.sandbox.messages import Message, Sms, Status
from otpkit.sandbox.providers.alidayu_answers import FAILURES, accepted, page, refused, system_error
from otpkit.sandbox.providers.reading import (
    MAX_PAGE_SIZE,
    NUMBER,
    Params,
    decode,
    numbers_in,
    recent_day,
    template_values,
    time_text,
    whole_number,
)
from otpkit.sandbox.state import Sandbox, Unacceptable

MAX_NUMBERS: Final = 200  # a call

_STATUSES: Final[Mapping[Status, int]] = {"waiting": 1, "failed": 2, "delivered": 3}


def answer(sandbox: Sandbox, api: Api, request: WireRequest) -> Answer:
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


def _send_sms(sandbox: Sandbox, params: Params, request: WireRequest) -> Answer:
    biz_id, fault = sandbox.submit(_read_sms(sandbox, params), request)
    return spoilt(accepted(biz_id), "sendSms", fault, FAILURES)


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


def _query_sms_detail(sandbox: Sandbox, params: Params) -> Answer:
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
    return spoilt(shown, "querySmsDetail", fault, FAILURES)


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
