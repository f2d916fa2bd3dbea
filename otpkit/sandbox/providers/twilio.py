"""Twilio's Messages and Calls resources (create and fetch), its errors and its status callbacks. No I/O.

Twilio sends plain texts, so the sandbox's templates and signatures do not apply. The text of a call is the text in its
TwiML. The TwiML at a `Url` is not fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from otpkit.errors import ConfigurationError
from otpkit.sandbox.calls import Api, WireRequest, WireResponse, json_response
from otpkit.sandbox.messages import Message, Sms, Status
from otpkit.sandbox.phones import e164, subscriber
from otpkit.sandbox.providers.shared import FailureResponses, apply_fault, form_of
from otpkit.sandbox.receipts import checked_url
from otpkit.sandbox.state import Sandbox

# Alidayu's codes and Twilio's, for the phone numbers that all providers share. Twilio's own codes are not mapped.
_CODES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("50001", "50002", "50003", "50004", "isv.OUT_OF_SERVICE"), "20005"),
    "50009": "21211",
    **dict.fromkeys(("70001", "70002", "70003"), "21618"),
    "99998": "20001",
}
_PROBLEMS: Final[Mapping[str, str]] = {
    "20001": "Unknown parameters",
    "20003": "Authenticate",
    "20005": "Account not active",
    "20404": "The requested resource was not found",
    "20429": "Too Many Requests",
    "20500": "Internal Server Error",
    "20503": "Service Unavailable",
    "21201": "No 'To' number is specified",
    "21205": "Url parameter is required.",
    "21211": "The 'To' number is not a valid phone number.",
    "21213": "No 'From' number is specified",
    "21602": "Message body is required.",
    "21603": "A 'From' phone number is required.",
    "21604": "A 'To' phone number is required.",
    "21609": "The 'StatusCallback' URL is not a valid URL.",
    "21617": "The concatenated message body exceeds the 1600 character limit.",
    "21626": "The 'StatusCallback' URL is not a valid URL.",
}
_STATUSES: Final[Mapping[str, int]] = {
    "20003": 401,
    "20005": 401,
    "20404": 404,
    "20429": 429,
    "20500": 500,
    "20503": 503,
}
_UNKNOWN_CODE: Final = 20001
_MESSAGES: Final[Mapping[Status, str]] = {"waiting": "sent", "delivered": "delivered", "failed": "undelivered"}
# How a call ends, by the states that all providers share.
_CALLS: Final[Mapping[str, str]] = {
    "200000": "completed",
    "200001": "completed",
    "200002": "busy",
    "200003": "no-answer",
}


def failed(code: str) -> WireResponse:
    """Return an error response with one of Twilio's codes."""
    status = _STATUSES.get(code, 400)
    content = {
        "code": int(code) if code.isdigit() else _UNKNOWN_CODE,
        "message": _PROBLEMS.get(code, "The request was refused"),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return json_response(content, status=status)


def resource(message: Message, now: float, account_sid: str) -> dict[str, object]:
    """Return a message or a call as `GET` shows it."""
    return _call(message, now, account_sid) if message.channel == "voice" else _sms(message, now, account_sid)


def created(fields: Mapping[str, object]) -> WireResponse:
    """Return the response that creates a resource. Its status is "queued"."""
    return json_response({**fields, "status": "queued"}, status=201)


def shown(fields: Mapping[str, object]) -> WireResponse:
    """Return the response that shows a resource."""
    return json_response(dict(fields))


def status_callback(message: Message, account_sid: str) -> list[tuple[str, str]]:
    """Return the parameters of the status callback of a message or a call."""
    kind, status = ("Call", _ended(message)) if message.channel == "voice" else ("Message", _MESSAGES[_end(message)])
    params = {
        f"{kind}Sid": message.biz_id,
        f"{kind}Status": status,
        "To": e164(message.phone),
        "From": message.sign_name,
        "AccountSid": account_sid,
        "ApiVersion": "2010-04-01",
    }
    if kind == "Call":
        params |= {"Direction": "outbound-api", "Timestamp": _date(message.receipt_at) or ""}
    else:
        params |= {"SmsSid": message.biz_id, "SmsStatus": status}
    if status == "undelivered":
        params["ErrorCode"] = message.result_code
    return list(params.items())


def _sms(message: Message, now: float, account_sid: str) -> dict[str, object]:
    status = message.status(now)
    service = message.sign_name.startswith("MG")
    return _common(message, account_sid, "Messages") | {
        "body": message.text,
        "messaging_service_sid": message.sign_name if service else None,
        "from": None if service else message.sign_name,
        "status": _MESSAGES[status],
        "error_code": int(message.result_code) if status == "failed" and message.result_code.isdigit() else None,
        "error_message": None,
        "date_sent": _date(message.sent_at),
        "num_media": "0",
        "num_segments": "1",
    }


def _call(message: Message, now: float, account_sid: str) -> dict[str, object]:
    ended = message.status(now) != "waiting"
    return _common(message, account_sid, "Calls") | {
        "from": message.sign_name,
        "status": _ended(message) if ended else "ringing",
        "start_time": _date(message.sent_at),
        "end_time": _date(message.receipt_at) if ended else None,
        "duration": str(round((message.receipt_at or message.sent_at) - message.sent_at)) if ended else None,
    }


def _common(message: Message, account_sid: str, resources: str) -> dict[str, object]:
    return {
        "sid": message.biz_id,
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "to": e164(message.phone),
        "direction": "outbound-api",
        "date_created": _date(message.sent_at),
        "date_updated": _date(message.sent_at),
        "price": None,
        "price_unit": "USD",
        "uri": f"/2010-04-01/Accounts/{account_sid}/{resources}/{message.biz_id}.json",
        "subresource_uris": {},
    }


def _end(message: Message) -> Status:
    return "failed" if message.fails else "delivered"


def _ended(message: Message) -> str:
    return _CALLS.get(message.result_code, "failed")


def _date(timestamp: float | None) -> str | None:
    return None if timestamp is None else format_datetime(datetime.fromtimestamp(timestamp, UTC))


def _refused(_: Api, code: str) -> WireResponse:
    return failed(_CODES.get(code, code))


FAILURES: Final = FailureResponses(
    refused=_refused,
    broken=lambda _: failed("20500"),
    throttled=lambda _: failed("20429"),
    unclear=lambda _: failed("20503"),
)


MAX_BODY: Final = 1_600  # characters
_PATH: Final = re.compile(rb"/2010-04-01/Accounts/(?P<account>\w+)/(?P<kind>Messages|Calls)(?:/(?P<sid>\w+))?\.json")
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_TAGS: Final = re.compile(r"<[^>]*>")
_SPELLED: Final = re.compile(r"(?<=[0-9])[, ]+(?=[0-9])")


class _Codes(NamedTuple):
    """The error codes of one resource."""

    no_to: str
    no_from: str
    no_text: str
    bad_callback: str


_KINDS: Final[Mapping[str, tuple[Api, Api, _Codes]]] = {
    "Messages": ("twilio.CreateMessage", "twilio.FetchMessage", _Codes("21604", "21603", "21602", "21609")),
    "Calls": ("twilio.CreateCall", "twilio.FetchCall", _Codes("21201", "21213", "21205", "21626")),
}


class _Refused(Exception):
    """Raised for a request that Twilio refuses. `code` is its code for the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def answer(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer one request."""
    try:
        return _answer(sandbox, request)
    except _Refused as no:
        return failed(no.code)


def _answer(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    found = _PATH.fullmatch(request.path)
    is_made = found is not None and not found["sid"]
    if found is None or request.method != ("POST" if is_made else "GET"):
        raise _Refused("20404")
    create, fetch, codes = _KINDS[found["kind"].decode()]
    fields = dict(parse_qsl(form_of(request).decode("latin-1"), keep_blank_values=True))
    phone = _phone(fields.get("To", ""))
    sandbox.count(create if is_made else fetch, [] if phone is None else [phone])
    if not sandbox.knows_account(*_credentials(request)):
        raise _Refused("20003")
    if found["account"].decode() != sandbox.account_sid:
        raise _Refused("20404")
    if not is_made:
        return _fetch(sandbox, fetch, found["sid"].decode())
    sms = _read(create, fields, phone, codes)
    sid, fault = sandbox.submit(sms, request)
    made = _as_made(sandbox, sms, sid)
    return apply_fault(created(resource(made, sandbox.now(), sandbox.account_sid)), create, fault, FAILURES)


def _fetch(sandbox: Sandbox, api: Api, sid: str) -> WireResponse:
    message = next((each for each in sandbox.messages() if each.provider == "twilio" and each.biz_id == sid), None)
    fault = sandbox.take_fault(api, () if message is None else (message.phone,))
    if message is None:
        return apply_fault(failed("20404"), api, fault, FAILURES)
    return apply_fault(shown(resource(message, sandbox.now(), sandbox.account_sid)), api, fault, FAILURES)


def _read(api: Api, fields: Mapping[str, str], phone: str | None, codes: _Codes) -> Sms:
    is_call = api == "twilio.CreateCall"
    sender = fields.get("From") or ("" if is_call else fields.get("MessagingServiceSid", ""))
    text = _spoken(fields) if is_call else fields.get("Body", "")
    for value, code in ((fields.get("To"), codes.no_to), (sender, codes.no_from), (text, codes.no_text)):
        if not value:
            raise _Refused(code)
    if phone is None:
        raise _Refused("21211")
    if len(text) > MAX_BODY and not is_call:
        raise _Refused("21617")
    callback = fields.get("StatusCallback", "")
    try:
        checked_url(callback or None)
    except ConfigurationError:
        raise _Refused(codes.bad_callback) from None
    return Sms((phone,), "", sender, {}, text, "", api, callback=callback)


def _as_made(sandbox: Sandbox, sms: Sms, sid: str) -> Message:
    """Return the resource of a new send, whether or not the message is kept."""
    return sms.message_to(
        sms.phones[0], id=0, biz_id=sid, sent_at=sandbox.now(), receipt_at=None, fails=False, result_code=""
    )


def _spoken(fields: Mapping[str, str]) -> str:
    """Return the text of a call once, with its digits joined. If its TwiML is at a URL, return the URL."""
    if "Twiml" not in fields:
        return fields.get("Url", "")
    texts = dict.fromkeys(each.strip() for each in _TAGS.split(fields["Twiml"]) if each.strip())
    return _SPELLED.sub("", " ".join(texts))


def _phone(number: str) -> str | None:
    try:
        return subscriber(number) if _NUMBER.fullmatch(number) else None
    except ConfigurationError:
        return None


def _credentials(request: WireRequest) -> tuple[str, str]:
    kind, _, encoded = request.header("authorization").partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode() if kind.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        text = ""
    user, _, password = text.partition(":")
    return user, password
