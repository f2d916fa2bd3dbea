"""Parsing of Alidayu's answers: pure functions from a response to a receipt, a page of records, or a refusal.

The document contradicts itself in places. There an answer counts as sent or as refused only if it is unambiguous. `msg`
is never matched. Errors show only the documented reasons of the API gateway: any other text may contain a number or a
code.
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
    """One message in the records of `querySmsDetail`. Its repr hides the number and the content.

    Only `status` decides the delivery: the document's own sample is a waiting message that has a `received_at`.

    Args:
        extend: the `extend` of the send.
        rec_num: the recipient's number, as the gateway writes it.
        result_code: the carrier's result code; "" if it is not a short word.
        template_code: the template's code.
        content: the text of the message, which contains the code.
        sent_at: the time of the send, an aware datetime in UTC+8, or None.
        received_at: the time of the receipt, an aware datetime in UTC+8, or None.
        status: `waiting`, `failed`, `delivered` or `unknown`.
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
    """One page of records, with the gateway's own counts.

    A missing count is 0. In the document's sample `total_page` is wrong.

    Args:
        current_page: the number of this page, from 1.
        page_size: rows on a page.
        total_count: rows in total.
        total_page: pages in total.
        details: the rows of this page.
    """

    current_page: int
    page_size: int
    total_count: int
    total_page: int
    details: tuple[SmsDetail, ...]


def read_receipt(response: HttpResponse) -> Receipt | GatewayRejectedError:
    """Return the receipt of a sendSms, accepted or uncertain, or an error if the message was certainly not sent."""
    if 400 <= response.status < 500:
        return _http_refusal(response) or ALIDAYU.uncertain()
    body = _answer(response)
    if body.get("success") is True:
        return Receipt(ALIDAYU.name, message_id(body.get("model")))
    code = token(body.get("code"))
    # The document's own sample of a success has `success` false and code 0. Treat it as neither success nor failure.
    if body.get("success") is False and code in BUSINESS_ERRORS:
        return business_error(code)
    return ALIDAYU.uncertain()


def read_page(response: HttpResponse) -> SmsDetailPage | None:
    """Return the page in an answer to querySmsDetail, or None if it is not such an answer.

    Raises:
        GatewayRejectedError: the gateway refused the query.
    """
    verdict = _judge_query(response)
    if isinstance(verdict, GatewayRejectedError):
        raise verdict
    return verdict


def read_delivery(detail: SmsDetail) -> Delivery:
    """Return the delivery of a record. Only its status decides the state."""
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
    # An answer has one of three forms: rows, {success, code, msg}, or {errorCode, errorMessage}.
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
    """Return the error for a 4xx, or None if the outcome is uncertain. A 403 may be throttling, not a bad key."""
    if any(reason in UNCERTAIN for reason in _reasons(response)):
        return None
    if (refusal := _gateway_refusal(response)) is not None:
        return refusal
    code = token(json_object(response).get("errorCode")) or token(_headers(response).get("x-ca-error-code"))
    status = f"HTTP {response.status}"
    if response.status == 401:
        problem = f"the AppKey or the AppSecret is not accepted ({status})"
        return ALIDAYU.rejection("account", problem, "the operator must check app_key and app_secret", code)
    problem = f"the request is refused ({status})"
    return ALIDAYU.rejection(
        "request", problem, "the operator must look up the error code, and check base_url and app_key", code
    )


def _query_refusal(response: HttpResponse, code: str) -> GatewayRejectedError:
    if code in BUSINESS_ERRORS:
        return business_error(code)
    return _gateway_refusal(response) or ALIDAYU.rejection(
        "request", "the query is refused", "the operator must look up the error code", code
    )


def _gateway_refusal(response: HttpResponse) -> GatewayRejectedError | None:
    """Return the error for the first reason that is in the API gateway's table, or None if none is."""
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
    """Return the documented name of a reason, or None. The text begins with the name; any text may follow."""
    phrases = [name for name in GATEWAY_ERRORS if " " in name and reason.startswith(name.rstrip("*"))]
    return max(phrases, key=len, default=None) or family_of(reason, GATEWAY_ERRORS)


def _reasons(response: HttpResponse) -> list[str]:
    """Return the values that may name the reason: the codes of body and headers, then their texts."""
    body, headers = json_object(response), _headers(response)
    return [
        text_of(body.get("errorCode")),
        headers.get("x-ca-error-code", ""),
        headers.get("x-ca-error-message", ""),
        text_of(body.get("errorMessage")),
    ]


def _headers(response: HttpResponse) -> dict[str, str]:
    # HTTP libraries decode headers as Latin-1, but Chinese text in a header is UTF-8.
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
