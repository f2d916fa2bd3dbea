"""Dysmsapi 2017-05-25: SendSms and QuerySendDetails. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otpkit.sandbox.alibaba_answers import FAILURES, done
from otpkit.sandbox.answers import Answer, spoilt
from otpkit.sandbox.calls import WireRequest
from otpkit.sandbox.denials import mandatory
from otpkit.sandbox.messages import Message, Sms, Status
from otpkit.sandbox.reading import (
    MAX_PAGE_SIZE,
    NUMBER,
    RECIPIENT,
    Params,
    recent_day,
    template_values,
    time_text,
    whole_number,
)
from otpkit.sandbox.state import Sandbox, Unacceptable

MAX_NUMBERS: Final = 1_000  # a call

_STATUSES: Final[Mapping[Status, int]] = {"waiting": 1, "failed": 2, "delivered": 3}


def send_sms(sandbox: Sandbox, params: Params, request: WireRequest) -> Answer:
    """Answer SendSms."""
    biz_id, fault = sandbox.submit(_read_sms(sandbox, params), request)
    return spoilt(done(BizId=biz_id), "SendSms", fault, FAILURES)


def _read_sms(sandbox: Sandbox, params: Params) -> Sms:
    listed, sign_name, template = mandatory(params, "PhoneNumbers", "SignName", "TemplateCode")
    phones = listed.split(",")
    if len(phones) > MAX_NUMBERS:
        raise Unacceptable("isv.MOBILE_COUNT_OVER_LIMIT")
    values = template_values(params.get("TemplateParam", ""), otherwise="isv.INVALID_JSON_PARAM")
    recipients = tuple(map(_recipient, phones))
    text = sandbox.compose(template, sign_name, values)
    return Sms(recipients, template, sign_name, values, text, params.get("OutId", ""), "SendSms")


def _recipient(phone: str) -> str:
    found = RECIPIENT.fullmatch(phone)
    if found is None:
        raise Unacceptable("isv.MOBILE_NUMBER_ILLEGAL")
    return found[1]


def query_send_details(sandbox: Sandbox, params: Params, _: WireRequest) -> Answer:
    """Answer QuerySendDetails: a page of what was sent to one number on one day in China, newest first."""
    phone, send_date, size, page = mandatory(params, "PhoneNumber", "SendDate", "PageSize", "CurrentPage")
    if not NUMBER.fullmatch(phone):
        raise Unacceptable("isv.MOBILE_NUMBER_ILLEGAL")
    day = recent_day(send_date, sandbox.now(), otherwise="isv.INVALID_PARAMETERS")
    page_size = whole_number(size, otherwise="isv.INVALID_PARAMETERS", most=MAX_PAGE_SIZE)
    start = (whole_number(page, otherwise="isv.INVALID_PARAMETERS") - 1) * page_size
    fault = sandbox.take_fault("QuerySendDetails", (phone,))
    found = sandbox.sent_on(phone, day, params.get("BizId") or None, "dysmsapi")
    now = sandbox.now()
    rows = [_row(message, now) for message in found[start : start + page_size]]
    # A string, as the official SDK has it; the document's older editions have a number.
    shown = done(TotalCount=str(len(found)), SmsSendDetailDTOs={"SmsSendDetailDTO": rows})
    return spoilt(shown, "QuerySendDetails", fault, FAILURES)


def _row(message: Message, now: float) -> dict[str, object]:
    status = message.status(now)
    row: dict[str, object] = {
        "PhoneNum": message.phone,
        "SendStatus": _STATUSES[status],
        "TemplateCode": message.template,
        "Content": message.text,
        "SendDate": time_text(message.sent_at),
    }
    if message.extend:
        row["OutId"] = message.extend
    if status != "waiting" and message.receipt_at is not None:
        row |= {"ErrCode": message.result_code, "ReceiveDate": time_text(message.receipt_at)}
    return row
