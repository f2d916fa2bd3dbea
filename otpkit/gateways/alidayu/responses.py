"""What Alidayu's answers mean: pure functions from a response to a receipt, a page of records, or a refusal.

The document contradicts itself in places; where it does, nothing counts as sent or as refused that is not
clearly said so. `msg` is never matched on. Of the API gateway's reasons only the documented ones are shown: any other
text may hold a number or a code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from otpkit.effects import HttpResponse
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.alidayu.errors import ALIDAYU, BUSINESS_ERRORS, GATEWAY_ERRORS, UNCERTAIN, business_error
from otpkit.gateways.base import Delivery, Receipt
from otpkit.gateways.china_time import read_moment
from otpkit.gateways.provider import count, family_of, json_object, message_id, seconds, text_of, token

_THROTTLED = re.compile(r"throttl|flow[ _-]?control|流控", re.IGNORECASE)

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


def read_receipt(response: HttpResponse) -> Receipt | GatewayRejectedError:
    """Judge the answer to sendSms: a receipt, accepted or uncertain, or an error where it clearly was not sent."""
    if 400 <= response.status < 500:
        return _http_refusal(response) or ALIDAYU.uncertain()
    body = _answer(response)
    if body.get("success") is True:
        return Receipt(ALIDAYU.name, message_id(body.get("model")))
    code = token(body.get("code"))
    # The document's own sample of a success says `false`, with code 0: neither a success nor a failure.
    if body.get("success") is False and code in BUSINESS_ERRORS:
        return business_error(code)
    return ALIDAYU.uncertain()


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
        gateway=ALIDAYU.name,
        result_code=detail.result_code if settled else "",
        sent_at=detail.sent_at and detail.sent_at.astimezone(UTC),
        received_at=detail.received_at.astimezone(UTC) if settled and detail.received_at else None,
    )


def _judge_query(response: HttpResponse) -> SmsDetailPage | GatewayRejectedError | None:
    if 400 <= response.status < 500:
        return _http_refusal(response)
    body = _answer(response)
    rows = body.get("values")
    code = token(body.get("code")) or token(body.get("errorCode"))
    # Three envelopes: rows, {success, code, msg}, {errorCode, errorMessage}.
    if not rows and code not in {"", "0"} and body.get("success") is not True:
        return _query_refusal(response, code)
    if not isinstance(rows, list):
        return None
    return SmsDetailPage(
        current_page=count(body.get("current_page")),
        page_size=count(body.get("page_size")),
        total_count=count(body.get("total_count")),
        total_page=count(body.get("total_page")),
        details=tuple(_detail(row if isinstance(row, dict) else {}) for row in rows),
    )


def _http_refusal(response: HttpResponse) -> GatewayRejectedError | None:
    """Judge a 4xx. API gateways throttle by 403 too, so that it does not mean a bad key. None leaves it open."""
    if any(reason in UNCERTAIN for reason in _reasons(response)):
        return None
    if (refusal := _gateway_refusal(response)) is not None:
        return refusal
    code = token(json_object(response).get("errorCode")) or token(_headers(response).get("x-ca-error-code"))
    status = f"HTTP {response.status}"
    if response.status == 401:
        problem = f"the key or the secret is not accepted ({status})"
        return ALIDAYU.rejection("account", problem, "the operator must check app_key and app_secret", code)
    problem = f"the request is refused ({status})"
    return ALIDAYU.rejection(
        "request", problem, "the operator must look its code up, and check base_url and app_key", code
    )


def _query_refusal(response: HttpResponse, code: str) -> GatewayRejectedError:
    if code in BUSINESS_ERRORS:
        return business_error(code)
    return _gateway_refusal(response) or ALIDAYU.rejection(
        "request", "the query is refused", "the operator must look its code up", code
    )


def _gateway_refusal(response: HttpResponse) -> GatewayRejectedError | None:
    """Return the error for the first reason that the API gateway's table has; None where it has none of them."""
    wait = seconds(_headers(response).get("retry-after"))
    reasons = _reasons(response)
    for reason in reasons:
        if (name := _name_of(reason)) is not None:
            row = GATEWAY_ERRORS[name]
            code = next(filter(None, map(token, [*reasons[:2], reason])), name.rstrip("*"))
            return ALIDAYU.refused(row, code, wait if row.category == "quota" else None)
    if response.status == 429 or any(map(_THROTTLED.search, reasons)):
        return ALIDAYU.refused(GATEWAY_ERRORS["Throttled*"], next(filter(None, map(token, reasons[:2])), ""), wait)
    return None


def _name_of(reason: str) -> str | None:
    """Return the documented name of a reason. A text begins with it; what follows may be anything."""
    phrases = [name for name in GATEWAY_ERRORS if " " in name and reason.startswith(name.rstrip("*"))]
    return max(phrases, key=len, default=None) or family_of(reason, GATEWAY_ERRORS)


def _reasons(response: HttpResponse) -> list[str]:
    """Return what may name the reason: the codes of body and headers, then their texts."""
    body, headers = json_object(response), _headers(response)
    return [
        text_of(body.get("errorCode")),
        headers.get("x-ca-error-code", ""),
        headers.get("x-ca-error-message", ""),
        text_of(body.get("errorMessage")),
    ]


def _headers(response: HttpResponse) -> dict[str, str]:
    # HTTP libraries read headers as Latin-1; a Chinese text in one is UTF-8 nevertheless.
    return {
        name.lower(): value.encode("latin-1", "replace").decode("utf-8", "replace")
        for name, value in response.headers.items()
    }


def _answer(response: HttpResponse) -> dict[str, Any]:
    return json_object(response) if response.status == 200 else {}


def _detail(row: dict[str, Any]) -> SmsDetail:
    return SmsDetail(
        extend=text_of(row.get("extend")),
        rec_num=text_of(row.get("rec_num")),
        result_code=token(row.get("result_code")),
        template_code=text_of(row.get("sms_code")),
        content=text_of(row.get("sms_content")),
        sent_at=read_moment(text_of(row.get("sms_send_time"))),
        received_at=read_moment(text_of(row.get("sms_receiver_time"))),
        status=_STATUS.get(str(row.get("sms_status")), "unknown"),
    )
