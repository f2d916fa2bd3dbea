"""The receipts that Alibaba Cloud pushes: SmsReport of Dysmsapi, VoiceReport of Dyvmsapi. No I/O."""

from __future__ import annotations

import json
from typing import Final

from otpkit.sandbox.magic import HEARD
from otpkit.sandbox.messages import Message
from otpkit.sandbox.reading import time_text
from otpkit.sandbox.receipts import Push

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


def push_body(push: Push) -> bytes:
    """Return the JSON array that a push carries."""
    report = _sms_report if push.provider == "dysmsapi" else _voice_report
    return json.dumps([report(message) for message in push.messages], ensure_ascii=False).encode()


def seconds_heard(message: Message) -> int:
    """Return for how many seconds a call was listened to."""
    if message.result_code not in ANSWERED or message.receipt_at is None:
        return 0
    return round(message.receipt_at - message.sent_at)


def _sms_report(message: Message) -> dict[str, object]:
    length = len(message.text)
    return {
        "phone_number": message.phone,
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
