"""Tencent Cloud SMS: SendSms, PullSmsSendStatus and PullSmsSendStatusByPhoneNumber. No I/O.

The versions 2021-01-11 and 2019-07-11 differ in the names of fields. The official SDKs have both.

It also dispatches the calls of Tencent Cloud's captcha, which come to the same path.

The variables of a template are numbers: `{1}为您的验证码` or `${1}…`. The sandbox checks the signature and the
template. It accepts any SdkAppId.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from otpkit.sandbox.calls import Api, Unacceptable, WireRequest, WireResponse
from otpkit.sandbox.messages import Message, Sms
from otpkit.sandbox.phones import country_and_number, e164, recipient
from otpkit.sandbox.providers.shared import apply_fault, decode, form_of, time_text
from otpkit.sandbox.providers.tencent import captcha
from otpkit.sandbox.providers.tencent.responses import TencentError, done, failed, failures, send_status
from otpkit.sandbox.providers.tencent.signatures import check_v1, check_v3
from otpkit.sandbox.state import Sandbox

VERSION: Final = "2021-01-11"
OLD_VERSION: Final = "2019-07-11"
MAX_NUMBERS: Final = 200  # numbers in one call
MAX_ROWS: Final = 100  # rows in one call
Fields = Mapping[str, Any]
Row = Callable[[Message], dict[str, object]]

_CAPTCHA: Final[Api] = "tencent.DescribeCaptchaResult"
_APIS: Final[tuple[Api, ...]] = (
    "tencent.SendSms",
    "tencent.PullSmsSendStatus",
    "tencent.PullSmsSendStatusByPhoneNumber",
    _CAPTCHA,
)
# The names of fields in the older version, and those of today.
_OLD_NAMES: Final[Mapping[str, str]] = {
    "SmsSdkAppid": "SmsSdkAppId",
    "Sign": "SignName",
    "TemplateID": "TemplateId",
    "SendDateTime": "BeginTime",
    "EndDateTime": "EndTime",
}
_ITEM: Final = re.compile(r"([A-Za-z]+)\.([0-9]{1,3})")
_INTERNATIONAL: Final = re.compile(r"\+(?!86)([1-9][0-9]{6,14})")


def speaks(request: WireRequest) -> bool:
    """Return True if a request comes from a client of Tencent Cloud, by its header or its parameters."""
    return b"x-tc-action" in request.headers or b"SecretId=" in b"&".join((request.query, form_of(request)))


def answer(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer one request."""
    try:
        return _answer(sandbox, request)
    except TencentError as no:
        return failed(no.code, no.message)


def _answer(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    params = decode(request.query, form_of(request))
    if params is None:
        raise TencentError("InvalidParameter", "The parameters can't be read, or one of them comes twice.")
    is_v1 = b"x-tc-action" not in request.headers
    named = params if is_v1 else {name: request.header(f"x-tc-{name.lower()}") for name in ("Action", "Version")}
    api = next((api for api in _APIS if api == f"tencent.{named.get('Action')}"), None)
    if api is None:
        raise TencentError("InvalidAction", "The request with the action is not supported or valid.")
    version = named.get("Version")
    if version not in ((captcha.VERSION,) if api == _CAPTCHA else _ROWS):
        raise TencentError("NoSuchVersion", "The API version does not exist.")
    fields = _fields(request, params)
    if version == OLD_VERSION:
        fields = {_OLD_NAMES.get(name, name): value for name, value in fields.items()}
    sandbox.count(api, _numbers_in(fields))
    if is_v1:
        check_v1(sandbox, request, params)
    else:
        check_v3(sandbox, request)
    if api == _CAPTCHA:
        return captcha.describe_captcha_result(sandbox, fields, request)
    if api == "tencent.SendSms":
        return _send_sms(sandbox, fields, request)
    pull = _pull if api == "tencent.PullSmsSendStatus" else _pull_by_number
    return pull(sandbox, fields, _ROWS[version])


def _numbers_in(fields: Fields) -> set[str]:
    numbers = [*_texts(fields.get("PhoneNumberSet")), _text(fields, "PhoneNumber", needed=False)]
    return {phone for phone in map(_recipient, numbers) if phone is not None}


def _fields(request: WireRequest, params: Mapping[str, str]) -> Fields:
    """Return a call's fields: a JSON object, or parameters in which `Name.0` is the first element of a list."""
    if request.header("content-type").startswith("application/json") and request.method == "POST":
        try:
            fields = json.loads(request.body)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise TencentError("InvalidParameter", "The body is not a JSON object.")
        return fields
    fields = {name: value for name, value in params.items() if not _ITEM.fullmatch(name)}
    items = [(found[1], int(found[2]), value) for name, value in params.items() if (found := _ITEM.fullmatch(name))]
    for name, _, value in sorted(items):
        fields.setdefault(name, []).append(value)
    return fields


def _send_sms(sandbox: Sandbox, fields: Fields, request: WireRequest) -> WireResponse:
    numbers, context = _texts(fields.get("PhoneNumberSet")), _text(fields, "SessionContext", needed=False)
    if not numbers:
        raise TencentError("MissingParameter.EmptyPhoneNumberSet", "PhoneNumberSet is empty.")
    if len(numbers) > MAX_NUMBERS:
        raise TencentError("LimitExceeded.PhoneNumberCountLimit", "There are more than 200 numbers.")
    _text(fields, "SmsSdkAppId")
    phones = [phone for phone in map(_recipient, numbers) if phone is not None]
    fails = failures(numbers, context)
    if not phones:
        return fails.refused("tencent.SendSms", "50009")
    if len({phone.startswith("+") for phone in phones}) > 1:
        return fails.refused("tencent.SendSms", "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber")
    try:
        batch = [_read_sms(sandbox, fields, phone, context) for phone in phones]
    except Unacceptable as no:
        return fails.refused("tencent.SendSms", no.code)
    serials, fault = sandbox.submit_each(batch, request)
    return apply_fault(_accepted(numbers, serials, context), "tencent.SendSms", fault, fails)


def _accepted(numbers: list[str], serials: list[str], context: str) -> WireResponse:
    """Return the response that accepts each number, except those that are not phone numbers."""
    left, bad = iter(serials), "InvalidParameterValue.IncorrectPhoneNumber"
    statuses = [
        send_status(number, context, code=bad)
        if (phone := _recipient(number)) is None
        else send_status(phone, context, next(left))
        for number in numbers
    ]
    return done(SendStatusSet=statuses)


def _read_sms(sandbox: Sandbox, fields: Fields, phone: str, context: str) -> Sms:
    template = _text(fields, "TemplateId")
    sign_name = _text(fields, "SignName", needed=not phone.startswith("+"))
    values = {str(place): value for place, value in enumerate(_texts(fields.get("TemplateParamSet")), start=1)}
    text = sandbox.compose(template, sign_name, values)
    return Sms((phone,), template, sign_name, values, text, context, "tencent.SendSms")


def _pull(sandbox: Sandbox, fields: Fields, row_of: Row) -> WireResponse:
    limit = _whole(fields, "Limit", 1, MAX_ROWS)
    _text(fields, "SmsSdkAppId")
    fault = sandbox.take_fault("tencent.PullSmsSendStatus", ())
    rows = [row_of(message) for message in sandbox.pull("tencent", limit)]
    return apply_fault(done(PullSmsSendStatusSet=rows), "tencent.PullSmsSendStatus", fault, failures())


def _pull_by_number(sandbox: Sandbox, fields: Fields, row_of: Row) -> WireResponse:
    begin, offset = _whole(fields, "BeginTime", 0), _whole(fields, "Offset", 0)
    limit = _whole(fields, "Limit", 1, MAX_ROWS)
    end = _whole(fields, "EndTime", 0) if "EndTime" in fields else None
    _text(fields, "SmsSdkAppId")
    phone = _recipient(_text(fields, "PhoneNumber"))
    if phone is None:
        raise TencentError("InvalidParameterValue.IncorrectPhoneNumber", "The phone number is not valid.")
    api: Api = "tencent.PullSmsSendStatusByPhoneNumber"
    fault = sandbox.take_fault(api, (phone,))
    found = [
        message
        for message in sandbox.messages(phone)
        if message.provider == "tencent"
        and message.status(sandbox.now()) != "waiting"
        and message.sent_at >= begin
        and (end is None or message.sent_at <= end)
    ]
    rows = [row_of(message) for message in found[offset : offset + limit]]
    return apply_fault(done(PullSmsSendStatusSet=rows), api, fault, failures())


def _row(message: Message) -> dict[str, object]:
    country, number = country_and_number(message.phone)
    return {
        "UserReceiveTime": int(message.receipt_at or message.sent_at),
        "CountryCode": country,
        "SubscriberNumber": number,
        "PhoneNumber": e164(message.phone),
        "SerialNo": message.biz_id,
        "ReportStatus": "FAIL" if message.fails else "SUCCESS",
        "Description": message.result_code,
        "SessionContext": message.extend,
    }


def _old_row(message: Message) -> dict[str, object]:
    country, number = country_and_number(message.phone)
    received_at = message.receipt_at or message.sent_at
    return {
        "UserReceiveTime": time_text(received_at),
        "UserReceiveUnixTime": int(received_at),
        "NationCode": country,
        "PurePhoneNumber": number,
        "PhoneNumber": e164(message.phone),
        "SerialNo": message.biz_id,
        "ReportStatus": "FAIL" if message.fails else "SUCCESS",
        "Description": message.result_code,
    }


_ROWS: Final[Mapping[str | None, Row]] = {VERSION: _row, OLD_VERSION: _old_row}


def _recipient(number: str) -> str | None:
    found = _INTERNATIONAL.fullmatch(number)
    return recipient(number) if found is None else f"+{found[1]}"


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TencentError("InvalidParameter", "A list holds something that is not a string.")
    return value


def _text(fields: Fields, name: str, *, needed: bool = True) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise TencentError("InvalidParameter", f"{name} is not a string.")
    if needed and not value.strip():
        raise TencentError("MissingParameter", f"The request is missing the parameter {name}.")
    return value


def _whole(fields: Fields, name: str, least: int, most: int = 2**33) -> int:
    value = fields.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise TencentError("InvalidParameterValue", f"{name} is not a number from {least} to {most}.")
    return value


def status_report(message: Message) -> dict[str, object]:
    """Return a receipt in the pushed format."""
    country, number = country_and_number(message.phone)
    return {
        "user_receive_time": time_text(message.receipt_at or message.sent_at),
        "nationcode": country,
        "mobile": number,
        "report_status": "FAIL" if message.fails else "SUCCESS",
        "errmsg": message.result_code,
        "description": "用户短信送达失败" if message.fails else "用户短信送达成功",
        "sid": message.biz_id,
    }
