"""The receipts that are pushed, as the providers word them. No I/O.

SmsReport of Dysmsapi, VoiceReport of Dyvmsapi and Tencent Cloud's statuses are arrays of JSON; a status callback of
Twilio is a signed form, of one message or call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

from otpkit.gateways.twilio.signing import sign
from otpkit.sandbox.calls import Provider
from otpkit.sandbox.magic import HEARD
from otpkit.sandbox.messages import Message, country_and_number
from otpkit.sandbox.providers.reading import time_text
from otpkit.sandbox.providers.twilio_answers import status_callback
from otpkit.sandbox.receipts import Push
from otpkit.sandbox.state import Sandbox

JSON: Final = "application/json;charset=utf-8"
FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"

# The states of a call in which it was answered.
ANSWERED: Final = frozenset({HEARD, "200001"})
STATES: Final = {
    HEARD: "用户听完",
    "200001": "用户提前挂机",
    "200002": "用户占线",
    "200003": "无人接听",
    "200004": "空号",
    "200005": "无法接通",
    "200010": "关机",
    "200011": "停机",
}
_LONGEST_SINGLE: Final = 70  # characters of one SMS
_LONGEST_PART: Final = 67  # of each part of a longer one


def push_request(url: str, push: Push, sandbox: Sandbox) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body that a push to `url` has."""
    if push.provider == "twilio":
        params = status_callback(push.messages[0], sandbox.account_sid)
        signature = sign(url, params, sandbox.auth_token).decode()
        return {"Content-Type": FORM, "X-Twilio-Signature": signature}, urlencode(params).encode()
    rows = [_REPORTS[push.provider](message) for message in push.messages]
    return {"Content-Type": JSON}, json.dumps(rows, ensure_ascii=False).encode()


def is_taken(push: Push, status: int) -> bool:
    """Say whether an answer's HTTP status ends a push; Twilio is content with any success."""
    return status // 100 == 2 if push.provider == "twilio" else status == 200


def seconds_heard(message: Message) -> int:
    """Return for how many seconds a call was listened to."""
    if message.result_code not in ANSWERED or message.receipt_at is None:
        return 0
    return round(message.receipt_at - message.sent_at)


def _sms_report(message: Message) -> dict[str, object]:
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


def _voice_report(message: Message) -> dict[str, object]:
    answered = message.result_code in ANSWERED
    return {
        "call_id": message.biz_id,
        "originate_time": time_text(message.sent_at),
        "ring_time": time_text(message.sent_at) if answered else "",
        "start_time": time_text(message.sent_at) if answered else "",
        "end_time": time_text(message.receipt_at or message.sent_at),
        "caller": message.sign_name,
        "callee": message.phone,
        "duration": str(seconds_heard(message)),
        "status_code": message.result_code,
        "status_msg": STATES.get(message.result_code, ""),
        "out_id": message.extend,
        "dtmf": "",
        "voice_type": "voice",
    }


def _tencent_report(message: Message) -> dict[str, object]:
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


_REPORTS: Final[Mapping[Provider, Callable[[Message], dict[str, object]]]] = {
    "dysmsapi": _sms_report,
    "dyvmsapi": _voice_report,
    "tencent": _tencent_report,
}
