"""Alibaba Cloud's wire format: check a signed request, and dispatch it to Dysmsapi, Dyvmsapi or the captcha. No I/O.

Current clients name the call in headers and sign with ACS3-HMAC-SHA256. Older clients name it in parameters and sign
with version 1.0. Some older clients send the headers too, so the parameter `Action` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from otpkit.sandbox.calls import Api, Unacceptable, WireRequest, WireResponse
from otpkit.sandbox.providers.aliyun import captcha, dysmsapi, dyvmsapi
from otpkit.sandbox.providers.aliyun.responses import Denied, as_xml, mandatory, refused, system_error
from otpkit.sandbox.providers.aliyun.signatures import check_signature, check_signature_v1
from otpkit.sandbox.providers.shared import Params, decode, form_of, numbers_in
from otpkit.sandbox.state import Sandbox

VERSION: Final = "2017-05-25"  # Both products of messages have this version.

_CALLS: Final[Mapping[Api, Callable[[Sandbox, Params, WireRequest], WireResponse]]] = {
    "SendSms": dysmsapi.send_sms,
    "SendBatchSms": dysmsapi.send_batch_sms,
    "QuerySendDetails": dysmsapi.query_send_details,
    "SingleCallByTts": dyvmsapi.single_call_by_tts,
    "SingleCallByVoice": dyvmsapi.single_call_by_voice,
    "ClickToDial": dyvmsapi.click_to_dial,
    "QueryCallDetailByCallId": dyvmsapi.query_call_detail_by_call_id,
    "VerifyIntelligentCaptcha": captcha.verify_intelligent_captcha,
}
_PHONES: Final = ("PhoneNumbers", "PhoneNumber", "PhoneNumberJson", "CalledNumber")


def answer(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer one request, in JSON, or in XML if the parameter `Format` asks for it."""
    params = decode(request.query, form_of(request))
    try:
        reply = _answer(sandbox, request, params)
    except Denied as no:
        reply = system_error(no.status, no.code, no.message, request.header("host"))
    wants_xml = params is not None and params.get("Format", "").upper() == "XML"
    return as_xml(reply, params["Action"]) if params is not None and wants_xml and "Action" in params else reply


def _answer(sandbox: Sandbox, request: WireRequest, params: Params | None) -> WireResponse:
    is_old = not request.header("authorization") and "Action" in (params or {})
    if is_old and params is not None:
        action, version = mandatory(params, "Action", "Version")
    else:
        action, version = request.header("x-acs-action"), request.header("x-acs-version")
    if params is None and not action:
        raise _unreadable()
    api = _api_of(request.method, action, version)
    sandbox.count(api, numbers_in(params, *_PHONES))
    if params is None:
        raise _unreadable()
    if is_old:
        check_signature_v1(sandbox, request.method, params)
    else:
        check_signature(sandbox, request)
    try:
        return _CALLS[api](sandbox, params, request)
    except Unacceptable as no:
        return refused(api, no.code)


def _unreadable() -> Denied:
    return Denied("InvalidParameter", "The parameters can't be read, or one of them comes twice.")


def _api_of(method: str, action: str, version: str) -> Api:
    if not action:
        raise Denied("MissingAction", "Action is mandatory for this action.")
    found = next((api for api in _CALLS if api == action), None)
    if version != (captcha.VERSION if found == "VerifyIntelligentCaptcha" else VERSION):
        raise Denied("InvalidVersion", "Specified parameter Version is not valid.", status=404)
    if found is None or method not in {"GET", "POST"}:
        message = "Specified api is not found, please check your url and method."
        raise Denied("InvalidAction.NotFound", message, status=404)
    return found
