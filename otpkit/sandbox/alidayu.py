"""The Alidayu wire format: a request's parameters in, an answer out. No I/O.

Where the document contradicts itself, the stricter reading holds: pages of at most 50, numbers of 11 digits,
`sms_param` a real JSON object whose values are strings. As in its sample, a row that still waits for its
receipt has a receive time all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from otpkit.sandbox.answers import Answer, accepted, page, refused, spoilt, system_error
from otpkit.sandbox.faults import Api
from otpkit.sandbox.messages import SHANGHAI, Message, Sms, Status, shanghai
from otpkit.sandbox.state import Sandbox, Unacceptable

Params = Mapping[str, str]

MAX_NUMBERS: Final = 200  # a call
MAX_PAGE_SIZE: Final = 50  # rows
HISTORY: Final = timedelta(days=30)

_NUMBER: Final = re.compile(r"1[0-9]{10}")
_DAY: Final = re.compile(r"[0-9]{8}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_STATUSES: Final[Mapping[Status, int]] = {"waiting": 1, "failed": 2, "delivered": 3}
_RESULTS: Final[Mapping[Status, str]] = {"waiting": "000", "failed": "UNDELIV", "delivered": "000"}


def call(sandbox: Sandbox, api: Api, query: bytes, app_key: bytes, app_secret: bytes) -> Answer:
    """Answer one request: `query` as it stood in the URL, the credentials as they stood in the headers."""
    params = _decode(query)
    sandbox.count(api, _numbers_in(params))
    if not sandbox.knows(app_key, app_secret):
        return system_error(403, "InvalidAppKey", "Invalid AppKey or AppSecret")
    try:
        if params is None:
            raise Unacceptable("99998")
        return _send_sms(sandbox, params) if api == "sendSms" else _query_sms_detail(sandbox, params)
    except Unacceptable as no:
        return refused(api, no.code)


def _send_sms(sandbox: Sandbox, params: Params) -> Answer:
    sms = _read_sms(sandbox, params)
    fault = sandbox.take_fault("sendSms", sms.phones)
    biz_id = sandbox.new_biz_id()
    if fault is None or fault.sent:
        sandbox.record(sms, biz_id, fault)
    answer = accepted(biz_id)
    return answer if fault is None else spoilt(answer, "sendSms", fault)


def _read_sms(sandbox: Sandbox, params: Params) -> Sms:
    if _required(params, "sms_type") != "normal":
        raise Unacceptable("99998")
    sign_name, template = _required(params, "sms_free_sign_name"), _required(params, "sms_template_code")
    values = _template_values(params.get("sms_param", ""))
    phones = tuple(_required(params, "rec_num").split(","))
    if len(phones) > MAX_NUMBERS:
        raise Unacceptable("50010")
    if not all(map(_NUMBER.fullmatch, phones)):
        raise Unacceptable("50009")
    text = sandbox.compose(template, sign_name, values)
    return Sms(phones, template, sign_name, values, text, params.get("extend", ""))


def _template_values(text: str) -> dict[str, str]:
    """Read `sms_param`, which may be left out."""
    if not text:
        return {}
    try:
        values = json.loads(text)
        json.dumps(values, ensure_ascii=False).encode()  # half of a surrogate pair can't be shown again
    except (ValueError, RecursionError):
        raise Unacceptable("99998") from None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise Unacceptable("99998")
    return values


def _query_sms_detail(sandbox: Sandbox, params: Params) -> Answer:
    phone = _required(params, "rec_num")
    if not _NUMBER.fullmatch(phone):
        raise Unacceptable("50009")
    day = _read_day(_required(params, "query_date"), shanghai(sandbox.now()).date())
    current_page = _read_count(_required(params, "current_page"))
    page_size = _read_count(_required(params, "page_size"), most=MAX_PAGE_SIZE)
    fault = sandbox.take_fault("querySmsDetail", (phone,))
    found = sandbox.sent_on(phone, day, params.get("biz_id") or None)
    start = (current_page - 1) * page_size
    now = sandbox.now()
    rows = [_row(message, now) for message in found[start : start + page_size]]
    answer = page(rows, current_page=current_page, page_size=page_size, total_count=len(found))
    return answer if fault is None else spoilt(answer, "querySmsDetail", fault)


def _read_day(text: str, today: date) -> date:
    """Read a day in China, `20151215`, of the last 30."""
    try:
        day = datetime.strptime(text if _DAY.fullmatch(text) else "", "%Y%m%d").replace(tzinfo=SHANGHAI).date()
    except ValueError:
        raise Unacceptable("80001") from None
    if not today - HISTORY <= day <= today:
        raise Unacceptable("80001")
    return day


def _read_count(text: str, *, most: int | None = None) -> int:
    number = int(text) if _COUNT.fullmatch(text) else 0
    if number < 1 or (most is not None and number > most):
        raise Unacceptable("80002")
    return number


def _row(message: Message, now: float) -> dict[str, object]:
    status = message.status(now)
    received_at = message.sent_at if status == "waiting" else message.receipt_at or message.sent_at
    return {
        "extend": message.extend,
        "rec_num": message.phone,
        "result_code": _RESULTS[status],
        "sms_code": message.template,
        "sms_content": message.text,
        "sms_receiver_time": _time(received_at),
        "sms_send_time": _time(message.sent_at),
        "sms_status": _STATUSES[status],
    }


def _time(timestamp: float) -> str:
    return f"{shanghai(timestamp):%Y-%m-%d %H:%M:%S}"


def _decode(query: bytes) -> dict[str, str] | None:
    """Return the parameters; None where they are no UTF-8, too many, or one comes twice."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        return None
    params = dict(pairs)
    return params if len(params) == len(pairs) else None


def _numbers_in(params: Params | None) -> set[str]:
    """Return the phone numbers of a request, however wrong the rest of it may be."""
    listed = (params or {}).get("rec_num", "").split(",", MAX_NUMBERS)
    return {number for number in listed if _NUMBER.fullmatch(number)}


def _required(params: Params, name: str) -> str:
    value = params.get(name, "")
    if not value.strip():
        raise Unacceptable("99998")
    return value
