"""Alibaba Cloud's wire format: a signed request in, an answer of Dysmsapi or Dyvmsapi out. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from otpkit.sandbox import dysmsapi, dyvmsapi
from otpkit.sandbox.alibaba_answers import refused, system_error
from otpkit.sandbox.answers import Answer
from otpkit.sandbox.calls import Api, WireRequest
from otpkit.sandbox.denials import Denied
from otpkit.sandbox.reading import Params, decode, numbers_in
from otpkit.sandbox.signatures import check_signature
from otpkit.sandbox.state import Sandbox, Unacceptable

ACTION: Final = b"x-acs-action"  # the header that tells a call from a visit to the inbox
VERSION: Final = "2017-05-25"  # of both products

_CALLS: Final[Mapping[Api, Callable[[Sandbox, Params, WireRequest], Answer]]] = {
    "SendSms": dysmsapi.send_sms,
    "QuerySendDetails": dysmsapi.query_send_details,
    "SingleCallByTts": dyvmsapi.single_call_by_tts,
    "SingleCallByVoice": dyvmsapi.single_call_by_voice,
    "ClickToDial": dyvmsapi.click_to_dial,
    "QueryCallDetailByCallId": dyvmsapi.query_call_detail_by_call_id,
}
_PHONES: Final = ("PhoneNumbers", "PhoneNumber", "CalledNumber")


def answer(sandbox: Sandbox, request: WireRequest) -> Answer:
    """Answer one request."""
    try:
        return _answer(sandbox, request)
    except Denied as no:
        return system_error(no.status, no.code, no.message, request.header("host"))


def _answer(sandbox: Sandbox, request: WireRequest) -> Answer:
    api = _api_of(request)
    params = decode(request.query, _form(request))
    sandbox.count(api, numbers_in(params, *_PHONES))
    if params is None:
        raise Denied("InvalidParameter", "The parameters can't be read, or one of them comes twice.")
    check_signature(sandbox, request)
    try:
        return _CALLS[api](sandbox, params, request)
    except Unacceptable as no:
        return refused(api, no.code)


def _api_of(request: WireRequest) -> Api:
    if request.header("x-acs-version") != VERSION:
        raise Denied("InvalidVersion", "Specified parameter Version is not valid.", status=404)
    action = request.header("x-acs-action")
    found = next((api for api in _CALLS if api == action), None)
    if found is None or request.method not in {"GET", "POST"}:
        message = "Specified api is not found, please check your url and method."
        raise Denied("InvalidAction.NotFound", message, status=404)
    return found


def _form(request: WireRequest) -> bytes:
    kind = request.header("content-type").partition(";")[0].strip().lower()
    return request.body if kind == "application/x-www-form-urlencoded" else b""
