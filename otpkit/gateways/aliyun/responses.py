"""Parsing of the records of Aliyun's SMS API, and of the receipts that it pushes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from otpkit.gateways.aliyun.errors import SMS
from otpkit.gateways.aliyun.phones import pushed_phone
from otpkit.gateways.base import Delivery, Push, Receipts
from otpkit.gateways.china_time import read_moment
from otpkit.gateways.provider import NO_ROWS, count, mail_date, message_id, read_json, text_of, token

# `Status` in the receipts of other regions: 1 is delivered, 2 is failed, 6 is expired.
_ELSEWHERE: Final[dict[str, Literal["delivered", "failed"]]] = {"1": "delivered", "2": "failed", "6": "failed"}
# The answer to every push. After any other answer Aliyun repeats the push, which does not help if it can't be parsed.
TAKEN: Final = b'{"code":0,"msg":"ok"}'

SendStatus = Literal["waiting", "failed", "delivered", "unknown"]
_STATUS: Final[dict[str, SendStatus]] = {"1": "waiting", "2": "failed", "3": "delivered"}
_STATE: Final[dict[SendStatus, Literal["pending", "failed", "delivered", "unknown"]]] = {
    "waiting": "pending",
    "failed": "failed",
    "delivered": "delivered",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDetail:
    """One message in the records of `QuerySendDetails`. Its repr hides the number and the content.

    Args:
        out_id: the `OutId` of the send.
        phone_num: the recipient's number, as the gateway writes it.
        err_code: the carrier's result code; "" if it is not a short word.
        template_code: the template's code.
        content: the text of the message, which contains the code.
        sent_at: the time of the send, an aware datetime in UTC+8, or None.
        received_at: the time of the receipt, an aware datetime in UTC+8, or None.
        status: `waiting`, `failed`, `delivered` or `unknown`.
    """

    out_id: str
    phone_num: str = field(repr=False)
    err_code: str
    template_code: str
    content: str = field(repr=False)
    sent_at: datetime | None
    received_at: datetime | None
    status: SendStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDetailPage:
    """One page of records.

    Args:
        total_count: the number of the day's records; 0 if the answer has no count.
        details: the rows of this page.
    """

    total_count: int
    details: tuple[SendDetail, ...]


def read_page(body: Mapping[str, Any]) -> SendDetailPage | None:
    """Return the page in an answer to QuerySendDetails whose code is OK, or None if it has no list of rows."""
    holder = body.get("SmsSendDetailDTOs")
    rows = holder.get("SmsSendDetailDTO") if isinstance(holder, dict) else None
    if not isinstance(rows, list):
        return None
    details = tuple(_detail(row if isinstance(row, dict) else {}) for row in rows)
    return SendDetailPage(total_count=count(body.get("TotalCount")), details=details)


def read_delivery(detail: SendDetail) -> Delivery:
    """Return the delivery of a record. Only its status decides the state."""
    state = _STATE[detail.status]
    settled = state in {"delivered", "failed"}
    return Delivery(
        state=state,
        gateway=SMS.name,
        result_code=detail.err_code if settled else "",
        sent_at=in_utc(detail.sent_at),
        received_at=in_utc(detail.received_at) if settled else None,
    )


def read_receipts(push: Push) -> Receipts:
    """Return the receipts in an SmsReport, the JSON array that Aliyun pushes."""
    return receipts_of(push, lambda row: _pushed_elsewhere(row) if "To" in row else _pushed(row))


def receipts_of(push: Push, read: Callable[[dict[str, Any]], Delivery | None]) -> Receipts:
    """Return the receipts that `read` finds in the objects of a pushed JSON array."""
    rows = read_json(push.body)
    if not isinstance(rows, list):
        return Receipts((), body=TAKEN, problem=NO_ROWS)
    return Receipts(tuple(each for row in rows if isinstance(row, dict) and (each := read(row))), body=TAKEN)


def in_utc(moment: datetime | None) -> datetime | None:
    """Return the same moment in UTC, or None for None."""
    return moment and moment.astimezone(UTC)


def _pushed(row: dict[str, Any]) -> Delivery | None:
    success, phone = row.get("success"), pushed_phone(text_of(row.get("phone_number")))
    send_id, biz_id = message_id(row.get("out_id")), message_id(row.get("biz_id"))
    # Skip a row without a result, and a row that does not identify a message.
    if not isinstance(success, bool) or not phone or not (send_id or biz_id):
        return None
    return Delivery(
        state="delivered" if success else "failed",
        gateway=SMS.name,
        result_code=token(row.get("err_code")),
        sent_at=in_utc(read_moment(text_of(row.get("send_time")))),
        received_at=in_utc(read_moment(text_of(row.get("report_time")))),
        phone=phone,
        send_id=send_id,
        message_id=biz_id,
    )


def _pushed_elsewhere(row: dict[str, Any]) -> Delivery | None:
    state, phone = _ELSEWHERE.get(text_of(row.get("Status"))), pushed_phone(text_of(row.get("To")))
    task_id, its_id = message_id(row.get("TaskId")), message_id(row.get("MessageId"))
    if state is None or not phone or not (task_id or its_id):
        return None
    return Delivery(
        state=state,
        gateway=SMS.name,
        result_code=token(row.get("ErrorCode")),
        sent_at=mail_date(row.get("SendDate")),
        received_at=mail_date(row.get("ReceiveDate")),
        phone=phone,
        send_id=task_id,
        message_id=its_id,
    )


def _detail(row: dict[str, Any]) -> SendDetail:
    return SendDetail(
        out_id=text_of(row.get("OutId")),
        phone_num=text_of(row.get("PhoneNum")),
        err_code=token(row.get("ErrCode")),
        template_code=text_of(row.get("TemplateCode")),
        content=text_of(row.get("Content")),
        sent_at=read_moment(text_of(row.get("SendDate"))),
        received_at=read_moment(text_of(row.get("ReceiveDate"))),
        status=_STATUS.get(str(row.get("SendStatus")), "unknown"),
    )
