"""Twilio's resources and errors. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from otpkit.sandbox.answers import Answer, Failures, json_answer
from otpkit.sandbox.calls import Api
from otpkit.sandbox.messages import Message, Status, e164

# What Alidayu's codes are called here, for the phone numbers that all providers share; Twilio's own go as they are.
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
# How a call ends, by the states that all providers' calls share.
_CALLS: Final[Mapping[str, str]] = {
    "200000": "completed",
    "200001": "completed",
    "200002": "busy",
    "200003": "no-answer",
}


def failed(code: str) -> Answer:
    """Fail with one of Twilio's codes."""
    status = _STATUSES.get(code, 400)
    content = {
        "code": int(code) if code.isdigit() else _UNKNOWN_CODE,
        "message": _PROBLEMS.get(code, "The request was refused"),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return json_answer(content, status=status)


def resource(message: Message, now: float, account_sid: str) -> dict[str, object]:
    """Return a message or a call as `GET` shows it."""
    return _call(message, now, account_sid) if message.channel == "voice" else _sms(message, now, account_sid)


def created(fields: Mapping[str, object]) -> Answer:
    """Return a resource that was made by this request: nothing has become of it yet."""
    return json_answer({**fields, "status": "queued"}, status=201)


def shown(fields: Mapping[str, object]) -> Answer:
    """Return a resource that was asked for."""
    return json_answer(dict(fields))


def status_callback(message: Message, account_sid: str) -> list[tuple[str, str]]:
    """Return the parameters of the request that tells what became of a message or a call."""
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


def _refused(_: Api, code: str) -> Answer:
    return failed(_CODES.get(code, code))


FAILURES: Final = Failures(
    refused=_refused,
    broken=lambda _: failed("20500"),
    throttled=lambda _: failed("20429"),
    unclear=lambda _: failed("20503"),
)
