"""Parsing of Tencent Cloud's answers and pushes: pure functions that return a receipt, a delivery, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from otpkit.effects import HttpResponse
from otpkit.errors import GatewayRejectedError, RejectionCategory
from otpkit.gateways.base import Delivery, Receipt
from otpkit.gateways.china_time import read_moment
from otpkit.gateways.provider import json_object, message_id, phone, seconds, text_of, token
from otpkit.gateways.tencent.errors import PROVIDER, REFUSALS, UNCERTAIN

_State = Literal["pending", "delivered", "failed", "unknown"]
_STATES: Final[dict[str, _State]] = {
    "SUCCESS": "delivered",
    "FAIL": "failed",
    "": "pending",  # The carrier has not reported yet.
}
_STATUSES: Final[dict[int, RejectionCategory]] = {401: "account", 429: "quota"}


def judge_send(response: HttpResponse) -> Receipt | GatewayRejectedError:
    """Return the receipt of a send, or an error if the message was certainly not sent."""
    if 400 <= response.status < 500:
        return _refused_by_status(response) or PROVIDER.uncertain()
    body = _answer(response)
    statuses = body.get("SendStatusSet")
    status = statuses[0] if isinstance(statuses, list) and len(statuses) == 1 else None
    status = status if isinstance(status, dict) else {}
    code = _code(body) or token(status.get("Code"))
    if code == "Ok" and "Error" not in body:
        return Receipt(PROVIDER.name, message_id(status.get("SerialNo")))
    return PROVIDER.refused(REFUSALS[code], code) if code in REFUSALS else PROVIDER.uncertain()


def judge_trace(response: HttpResponse) -> list[dict[str, Any]] | GatewayRejectedError | None:
    """Return the rows of a query's answer, an error if the query was refused, or None for any other answer."""
    if 400 <= response.status < 500:
        return _refused_by_status(response)
    body = _answer(response)
    if code := _code(body):
        if code in REFUSALS:
            return PROVIDER.refused(REFUSALS[code], code)
        if code in UNCERTAIN or code.startswith("InternalError"):
            return None
        return PROVIDER.rejection("request", "the query is refused", "the operator must look up the error code", code)
    rows = body.get("PullSmsSendStatusSet")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def _refused_by_status(response: HttpResponse) -> GatewayRejectedError | None:
    code, wait = _code(_envelope(response)), seconds(response.headers.get("retry-after"))
    if code in REFUSALS:
        return PROVIDER.refused(REFUSALS[code], code, wait)
    if code in UNCERTAIN:
        return None
    problem = f"the request is refused (HTTP {response.status})"
    category = _STATUSES.get(response.status, "request")
    return PROVIDER.rejection(category, problem, "the operator must check base_url and the keys", code, wait)


def _answer(response: HttpResponse) -> dict[str, Any]:
    return _envelope(response) if response.status == 200 else {}


def _envelope(response: HttpResponse) -> dict[str, Any]:
    inner = json_object(response).get("Response")
    return inner if isinstance(inner, dict) else {}


def _code(body: Mapping[str, Any]) -> str:
    error = body.get("Error")
    return token(error.get("Code")) if isinstance(error, dict) else ""


def read_row(row: Mapping[str, Any]) -> Delivery:
    """Return the delivery in a row of an answer."""
    return _delivery(row.get("ReportStatus"), row.get("Description"), _moment(row.get("UserReceiveTime")))


def read_push(row: Mapping[str, Any]) -> Delivery | None:
    """Return the delivery in a pushed row, or None if the row does not identify a message."""
    to, sid = phone(f"+{text_of(row.get('nationcode'))}{text_of(row.get('mobile'))}"), message_id(row.get("sid"))
    if not to or not sid:
        return None
    received_at = read_moment(text_of(row.get("user_receive_time")))
    at = received_at and received_at.astimezone(UTC)
    return _delivery(row.get("report_status"), row.get("errmsg"), at, phone=to, message_id=sid)


def _delivery(
    status: object, reason: object, received_at: datetime | None, phone: str = "", message_id: str = ""
) -> Delivery:
    state: _State = _STATES.get(text_of(status), "unknown")
    settled = state in {"delivered", "failed"}
    return Delivery(
        state=state,
        gateway=PROVIDER.name,
        result_code=token(reason) if settled else "",
        received_at=received_at if settled else None,
        phone=phone,
        message_id=message_id,
    )


def _moment(value: object) -> datetime | None:
    in_range = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**32
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and in_range else None
