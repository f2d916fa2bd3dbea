"""Dyvmsapi 2017-05-25: SingleCallByTts, SingleCallByVoice, ClickToDial and QueryCallDetailByCallId. No I/O.

Only mobile numbers can be called, and by ClickToDial only those of the mainland. ClickToDial follows the older official
SDK, but with the current signature. Editions of the document differ on which calls QueryDate finds: those of its day,
or of the 24 hours after it. Both work here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from otpkit.sandbox.calls import HEARD, Api, Unacceptable, WireRequest, WireResponse
from otpkit.sandbox.messages import Message, Sms, shanghai
from otpkit.sandbox.phones import NUMBER, callee
from otpkit.sandbox.providers.aliyun.responses import FAILURES, done, mandatory
from otpkit.sandbox.providers.shared import Params, apply_fault, template_values, time_text
from otpkit.sandbox.state import Sandbox

PRODUCTS: Final[Mapping[Api, str]] = {
    "SingleCallByTts": "11010000138001",
    "SingleCallByVoice": "11000000300006",
    "ClickToDial": "11000000300004",
}
MAX_OUT_ID: Final = 15  # bytes
_DAY: Final = 86_400  # s
_BOUNDS: Final = {"PlayTimes": (1, 3), "Volume": (0, 100), "Speed": (-500, 500)}
_WHOLE: Final = re.compile(r"-?[0-9]{1,15}")


def single_call_by_tts(sandbox: Sandbox, params: Params, request: WireRequest) -> WireResponse:
    """Answer SingleCallByTts: read a template aloud."""
    phone, template = mandatory(params, "CalledNumber", "TtsCode")
    values = template_values(params.get("TtsParam", ""), otherwise="isv.INVALID_JSON_PARAM")
    return _submit(sandbox, _read_call(sandbox, "SingleCallByTts", params, phone, template, values), request)


def single_call_by_voice(sandbox: Sandbox, params: Params, request: WireRequest) -> WireResponse:
    """Answer SingleCallByVoice: play a file. The text of the file is among the templates."""
    phone, file = mandatory(params, "CalledNumber", "VoiceCode")
    return _submit(sandbox, _read_call(sandbox, "SingleCallByVoice", params, phone, file, {}), request)


def _read_call(sandbox: Sandbox, api: Api, params: Params, phone: str, template: str, values: Mapping[str, str]) -> Sms:
    called = callee(phone)
    if called is None:
        raise Unacceptable("isv.MOBILE_NUMBER_ILLEGAL")
    out_id = _checked(params)
    text = sandbox.compose(template, None, values)
    shown = params.get("CalledShowNumber", "")
    return Sms((called,), template, shown, values, text, out_id, api)


def click_to_dial(sandbox: Sandbox, params: Params, request: WireRequest) -> WireResponse:
    """Answer ClickToDial: connect two people."""
    names = ("CallerNumber", "CalledNumber", "CallerShowNumber", "CalledShowNumber")
    caller, called, _, shown = mandatory(params, *names)
    if not all(map(NUMBER.fullmatch, (caller, called))):
        raise Unacceptable("isv.MOBILE_NUMBER_ILLEGAL")
    out_id = _checked(params)
    sms = Sms((called,), "", shown, {"CallerNumber": caller}, f"{caller} ↔ {called}", out_id, "ClickToDial")
    return _submit(sandbox, sms, request)


def _submit(sandbox: Sandbox, sms: Sms, request: WireRequest) -> WireResponse:
    call_id, fault = sandbox.submit(sms, request)
    return apply_fault(done(CallId=call_id), sms.api, fault, FAILURES)


def _checked(params: Params) -> str:
    """Check the parameters that all calls share. Return OutId."""
    for name, (least, most) in _BOUNDS.items():
        if name in params and not least <= _whole(params[name]) <= most:
            raise Unacceptable("isv.INVALID_PARAMETERS")
    out_id = params.get("OutId")
    if out_id is not None and not 1 <= len(out_id.encode()) <= MAX_OUT_ID:
        raise Unacceptable("isv.INVALID_PARAMETERS")
    return out_id or ""


def query_call_detail_by_call_id(sandbox: Sandbox, params: Params, _: WireRequest) -> WireResponse:
    """Answer QueryCallDetailByCallId: the details of a call that has ended. For any other call, Data is empty."""
    call_id, product, query_date = mandatory(params, "CallId", "ProdId", "QueryDate")
    _whole(product)
    asked = _whole(query_date) / 1000
    message = _find(sandbox, call_id)
    fault = sandbox.take_fault("QueryCallDetailByCallId", () if message is None else (message.phone,))
    data = ""
    if message is not None and PRODUCTS[message.api] == product and _covers(asked, message.sent_at):
        data = _detail(message, sandbox.now())
    return apply_fault(done(Data=data), "QueryCallDetailByCallId", fault, FAILURES)


def _find(sandbox: Sandbox, call_id: str) -> Message | None:
    found = (message for message in sandbox.messages() if message.channel == "voice" and message.biz_id == call_id)
    return next(found, None)


def _covers(asked: float, sent_at: float) -> bool:
    try:
        same_day = shanghai(asked).date() == shanghai(sent_at).date()
    except (ValueError, OverflowError, OSError):
        raise Unacceptable("isv.INVALID_PARAMETERS") from None
    return same_day or 0 <= sent_at - asked <= _DAY


def _detail(message: Message, now: float) -> str:
    if message.status(now) == "waiting" or message.receipt_at is None:
        return ""
    answered = message.result_code in ANSWERED
    detail = {
        "caller": message.params.get("CallerNumber", message.sign_name),
        "callee": message.phone.removeprefix("+"),
        "callerShowNumber": message.sign_name,
        "calleeShowNumber": message.sign_name,
        "gmtCreate": time_text(message.sent_at),
        "startDate": time_text(message.sent_at) if answered else "",
        "endDate": time_text(message.receipt_at) if answered else "",
        "duration": seconds_heard(message),
        "state": message.result_code,
        "stateDesc": STATES.get(message.result_code, message.result_code),
    }
    return json.dumps(detail, ensure_ascii=False)


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise Unacceptable("isv.INVALID_PARAMETERS")
    return int(text)


# The states of an answered call.
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


def seconds_heard(message: Message) -> int:
    """Return the length of an answered call in seconds, else 0."""
    if message.result_code not in ANSWERED or message.receipt_at is None:
        return 0
    return round(message.receipt_at - message.sent_at)


def voice_report(message: Message) -> dict[str, object]:
    """Return a row of a pushed VoiceReport."""
    answered = message.result_code in ANSWERED
    return {
        "call_id": message.biz_id,
        "originate_time": time_text(message.sent_at),
        "ring_time": time_text(message.sent_at) if answered else "",
        "start_time": time_text(message.sent_at) if answered else "",
        "end_time": time_text(message.receipt_at or message.sent_at),
        "caller": message.sign_name,
        "callee": message.phone.removeprefix("+"),
        "duration": str(seconds_heard(message)),
        "status_code": message.result_code,
        "status_msg": STATES.get(message.result_code, ""),
        "out_id": message.extend,
        "dtmf": "",
        "voice_type": "voice",
    }
