"""What Alidayu's answers mean: pure functions from a response to a receipt, a page of records, or a refusal.

The document contradicts itself in places; where it does, nothing counts as sent or as refused that is not
clearly said so. `msg` and `errorMessage` are never matched on, but for throttling, nor shown: they may hold a
number or a code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from otpkit.effects import HttpResponse
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.alidayu_errors import BUSINESS_ERRORS, NAME, business_error, rejection
from otpkit.gateways.alidayu_requests import SHANGHAI
from otpkit.gateways.base import Delivery, Receipt

# A short word without a whole mobile number in it; anything longer may be a message.
_TOKEN = re.compile(r"(?!.*1[0-9]{10})[A-Za-z0-9._-]{1,64}")
_MESSAGE_ID = re.compile(r"[!-~]{1,128}")
_THROTTLED = re.compile(r"throttl|flow[ _-]?control|流控", re.IGNORECASE)
_SHORT_NUMBER = re.compile(r"[0-9]{1,5}")

SmsStatus = Literal["waiting", "failed", "delivered", "unknown"]
_STATUS: Final[dict[str, SmsStatus]] = {"1": "waiting", "2": "failed", "3": "delivered"}
_STATE: Final[dict[SmsStatus, Literal["pending", "failed", "delivered", "unknown"]]] = {
    "waiting": "pending",
    "failed": "failed",
    "delivered": "delivered",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsDetail:
    """One message as `querySmsDetail` records it. Its repr hides number and content.

    `content` holds the code. `extend` is what was given to the send, `result_code` the carrier's ("" where it
    gave no short word), `sent_at` and `received_at` are aware, at UTC+8, or None. Only `status` says what
    became of the message: the document's own sample is of a waiting one with a `received_at`.
    """

    extend: str
    rec_num: str = field(repr=False)
    result_code: str
    template_code: str
    content: str = field(repr=False)
    sent_at: datetime | None
    received_at: datetime | None
    status: SmsStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsDetailPage:
    """One page of records, with the gateway's own counts; in the document's sample `total_page` is wrong.

    A count that it did not give is 0.
    """

    current_page: int
    page_size: int
    total_count: int
    total_page: int
    details: tuple[SmsDetail, ...]


def read_receipt(response: HttpResponse) -> Receipt:
    """Read the answer to sendSms: a receipt, accepted or uncertain.

    Raises GatewayRejectedError where it clearly was not sent.
    """
    verdict = _judge_send(response)
    if isinstance(verdict, GatewayRejectedError):
        raise verdict
    return verdict


def read_page(response: HttpResponse) -> SmsDetailPage | None:
    """Read the answer to querySmsDetail; None where it is no answer to it.

    Raises GatewayRejectedError where the gateway refuses to say.
    """
    verdict = _judge_query(response)
    if isinstance(verdict, GatewayRejectedError):
        raise verdict
    return verdict


def read_delivery(detail: SmsDetail) -> Delivery:
    """Turn a record into what became of the message. Its status alone decides."""
    state = _STATE[detail.status]
    settled = state in {"delivered", "failed"}
    return Delivery(
        state=state,
        gateway=NAME,
        result_code=detail.result_code if settled else "",
        sent_at=detail.sent_at and detail.sent_at.astimezone(UTC),
        received_at=detail.received_at.astimezone(UTC) if settled and detail.received_at else None,
    )


def _judge_send(response: HttpResponse) -> Receipt | GatewayRejectedError:
    if 400 <= response.status < 500:
        return _http_refusal(response)
    body = _answer(response)
    if body.get("success") is True:
        return Receipt(NAME, _matched(_MESSAGE_ID, body.get("model")))
    code = _token(body.get("code"))
    # The document's own sample of a success says `false`, with code 0: neither a success nor a failure.
    if body.get("success") is False and code in BUSINESS_ERRORS:
        return business_error(code)
    return Receipt(NAME, outcome="uncertain")


def _judge_query(response: HttpResponse) -> SmsDetailPage | GatewayRejectedError | None:
    if 400 <= response.status < 500:
        return _http_refusal(response)
    body = _answer(response)
    rows = body.get("values")
    code = _token(body.get("code")) or _token(body.get("errorCode"))
    # Three envelopes: rows, {success, code, msg}, {errorCode, errorMessage}.
    if not rows and code not in {"", "0"} and body.get("success") is not True:
        return _query_refusal(response, code)
    if not isinstance(rows, list):
        return None
    return SmsDetailPage(
        current_page=_count(body.get("current_page")),
        page_size=_count(body.get("page_size")),
        total_count=_count(body.get("total_count")),
        total_page=_count(body.get("total_page")),
        details=tuple(_detail(row if isinstance(row, dict) else {}) for row in rows),
    )


def _http_refusal(response: HttpResponse) -> GatewayRejectedError:
    """Judge a 4xx. API gateways throttle by 403 too, so that it does not mean a bad key."""
    code = _token(_object(response).get("errorCode")) or _token(_headers(response).get("x-ca-error-code"))
    status = f"HTTP {response.status}"
    if response.status == 429 or _is_throttled(response):
        return _throttling(response, code)
    if response.status == 401:
        problem = f"the key or the secret is not accepted ({status})"
        return rejection("account", problem, "the operator must check app_key and app_secret", code)
    problem = f"the request is refused ({status})"
    return rejection("request", problem, "the operator must look its code up, and check base_url and app_key", code)


def _query_refusal(response: HttpResponse, code: str) -> GatewayRejectedError:
    if code in BUSINESS_ERRORS:
        return business_error(code)
    if _is_throttled(response):
        return _throttling(response, code)
    return rejection("request", "the query is refused", "the operator must look its code up", code)


def _throttling(response: HttpResponse, code: str) -> GatewayRejectedError:
    seconds = _matched(_SHORT_NUMBER, _headers(response).get("retry-after"))
    return rejection(
        "rate_limit",
        f"too many calls (HTTP {response.status})",
        "wait, or the operator must have the application's limit raised",
        code,
        int(seconds) if seconds else None,
    )


def _is_throttled(response: HttpResponse) -> bool:
    body = _object(response)
    said = [value for name, value in _headers(response).items() if name.startswith("x-ca-error-")]
    said += [str(body.get("errorCode")), str(body.get("errorMessage"))]
    return any(_THROTTLED.search(text) for text in said)


def _headers(response: HttpResponse) -> dict[str, str]:
    # HTTP libraries read headers as Latin-1; a Chinese text in one is UTF-8 nevertheless.
    return {
        name.lower(): value.encode("latin-1", "replace").decode("utf-8", "replace")
        for name, value in response.headers.items()
    }


def _answer(response: HttpResponse) -> dict[str, Any]:
    return _object(response) if response.status == 200 else {}


def _object(response: HttpResponse) -> dict[str, Any]:
    """Return the JSON object that the response is, or an empty one."""
    try:
        body = json.loads(response.text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _detail(row: dict[str, Any]) -> SmsDetail:
    return SmsDetail(
        extend=_text(row.get("extend")),
        rec_num=_text(row.get("rec_num")),
        result_code=_token(row.get("result_code")),
        template_code=_text(row.get("sms_code")),
        content=_text(row.get("sms_content")),
        sent_at=_moment(row.get("sms_send_time")),
        received_at=_moment(row.get("sms_receiver_time")),
        status=_STATUS.get(str(row.get("sms_status")), "unknown"),
    )


def _moment(value: object) -> datetime | None:
    try:
        return datetime.strptime(_text(value), "%Y-%m-%d %H:%M:%S").replace(tzinfo=SHANGHAI)
    except ValueError:
        return None


def _text(value: object) -> str:
    """Return a string or a whole number as text; anything else is ""."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _count(value: object) -> int:
    text = _text(value)
    return int(text) if _SHORT_NUMBER.fullmatch(text) else 0


def _token(value: object) -> str:
    return _matched(_TOKEN, _text(value))


def _matched(pattern: re.Pattern[str], value: object) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
