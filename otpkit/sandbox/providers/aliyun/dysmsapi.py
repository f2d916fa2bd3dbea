"""Dysmsapi 2017-05-25: SendSms, SendBatchSms and QuerySendDetails. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otpkit.sandbox.calls import Unacceptable, WireRequest, WireResponse
from otpkit.sandbox.messages import Message, Sms, Status
from otpkit.sandbox.phones import recipient
from otpkit.sandbox.providers.aliyun.responses import FAILURES, done, mandatory
from otpkit.sandbox.providers.shared import (
    MAX_PAGE_SIZE,
    Params,
    apply_fault,
    checked_values,
    read_json,
    recent_day,
    template_values,
    time_text,
    whole_number,
)
from otpkit.sandbox.state import Sandbox

MAX_NUMBERS: Final = 1_000  # numbers in one call of SendSms
MAX_BATCH: Final = 100  # numbers in one call of SendBatchSms

_STATUSES: Final[Mapping[Status, int]] = {"waiting": 1, "failed": 2, "delivered": 3}


def send_sms(sandbox: Sandbox, params: Params, request: WireRequest) -> WireResponse:
    """Answer SendSms."""
    biz_id, fault = sandbox.submit(_read_sms(sandbox, params), request)
    return apply_fault(done(BizId=biz_id), "SendSms", fault, FAILURES)


def _read_sms(sandbox: Sandbox, params: Params) -> Sms:
    listed, sign_name, template = mandatory(params, "PhoneNumbers", "SignName", "TemplateCode")
    phones = listed.split(",")
    if len(phones) > MAX_NUMBERS:
        raise Unacceptable("isv.MOBILE_COUNT_OVER_LIMIT")
    values = template_values(params.get("TemplateParam", ""), otherwise="isv.INVALID_JSON_PARAM")
    recipients = tuple(map(_recipient, phones))
    text = sandbox.compose(template, sign_name, values)
    return Sms(recipients, template, sign_name, values, text, params.get("OutId", ""), "SendSms")


def _recipient(number: str) -> str:
    phone = recipient(number)
    if phone is None:
        raise Unacceptable("isv.MOBILE_NUMBER_ILLEGAL")
    return phone


def send_batch_sms(sandbox: Sandbox, params: Params, request: WireRequest) -> WireResponse:
    """Answer SendBatchSms: one template, with a signature and variables for each number. All share one BizId."""
    biz_id, fault = sandbox.submit(_read_batch(sandbox, params), request)
    return apply_fault(done(BizId=biz_id), "SendBatchSms", fault, FAILURES)


def _read_batch(sandbox: Sandbox, params: Params) -> list[Sms]:
    listed, signs, template = mandatory(params, "PhoneNumberJson", "SignNameJson", "TemplateCode")
    phones, sign_names = _texts(listed), _texts(signs)
    if len(phones) > MAX_BATCH:
        raise Unacceptable("isv.MOBILE_COUNT_OVER_LIMIT")
    values = _all_values(params.get("TemplateParamJson", ""), len(phones))
    if not phones or not len(phones) == len(sign_names) == len(values):
        raise Unacceptable("isv.INVALID_PARAMETERS")
    out_id = params.get("OutId", "")
    return [
        Sms((_recipient(phone),), template, sign, each, sandbox.compose(template, sign, each), out_id, "SendBatchSms")
        for phone, sign, each in zip(phones, sign_names, values, strict=True)
    ]


def _texts(text: str) -> list[str]:
    listed = read_json(text, "isv.INVALID_JSON_PARAM")
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise Unacceptable("isv.INVALID_JSON_PARAM")
    return listed


def _all_values(text: str, number: int) -> list[dict[str, str]]:
    """Parse TemplateParamJson. It may be absent if the template has no variables."""
    listed = read_json(text, "isv.INVALID_JSON_PARAM") if text else [{}] * number
    if not isinstance(listed, list):
        raise Unacceptable("isv.INVALID_JSON_PARAM")
    return [checked_values(each, "isv.INVALID_JSON_PARAM") for each in listed]


def query_send_details(sandbox: Sandbox, params: Params, _: WireRequest) -> WireResponse:
    """Answer QuerySendDetails: one page of the messages to one number on one day in China, newest first."""
    phone, send_date, size, page = mandatory(params, "PhoneNumber", "SendDate", "PageSize", "CurrentPage")
    phone = _recipient(phone)
    day = recent_day(send_date, sandbox.now(), otherwise="isv.INVALID_PARAMETERS")
    page_size = whole_number(size, otherwise="isv.INVALID_PARAMETERS", most=MAX_PAGE_SIZE)
    start = (whole_number(page, otherwise="isv.INVALID_PARAMETERS") - 1) * page_size
    fault = sandbox.take_fault("QuerySendDetails", (phone,))
    found = sandbox.sent_on(phone, day, params.get("BizId") or None, "dysmsapi")
    now = sandbox.now()
    rows = [_row(message, now) for message in found[start : start + page_size]]
    # TotalCount is a string, as in the official SDK. Older editions of the document have a number.
    shown = done(TotalCount=str(len(found)), SmsSendDetailDTOs={"SmsSendDetailDTO": rows})
    return apply_fault(shown, "QuerySendDetails", fault, FAILURES)


def _row(message: Message, now: float) -> dict[str, object]:
    status = message.status(now)
    row: dict[str, object] = {
        "PhoneNum": message.phone.removeprefix("+"),
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


_LONGEST_SINGLE: Final = 70  # characters of one SMS
_LONGEST_PART: Final = 67  # characters of each part of a longer text


def sms_report(message: Message) -> dict[str, object]:
    """Return a row of a pushed SmsReport."""
    length = len(message.text)
    return {
        "phone_number": message.phone.removeprefix("+"),
        "send_time": time_text(message.sent_at),
        "report_time": time_text(message.receipt_at or message.sent_at),
        "success": not message.fails,
        "err_code": message.result_code,
        "err_msg": "用户接收失败" if message.fails else "用户接收成功",
        "sms_size": str(1 if length <= _LONGEST_SINGLE else -(-length // _LONGEST_PART)),
        "biz_id": message.biz_id,
        "out_id": message.extend,
    }
