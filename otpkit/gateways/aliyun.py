"""Aliyun's SMS service of today (阿里云短信服务, Dysmsapi 2017-05-25): SendSms, QuerySendDetails, SmsReport.

Sources: help.aliyun.com/document_detail/55284.html (SendSms), 419277.html (QuerySendDetails), 101867.html (SmsReport).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import ClassVar, Final

from otpkit.effects import Flow
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.aliyun_answers import SendDetail, SendDetailPage, read_delivery, read_page, read_receipts
from otpkit.gateways.aliyun_api import Api, CredentialsSource, local_number, read_phone
from otpkit.gateways.aliyun_errors import BAD_NUMBER, BAD_PARAMETERS, SMS, SMS_REFUSALS
from otpkit.gateways.base import Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.shanghai import days_around, recent_day
from otpkit.transport import drive

__all__ = ["Aliyun", "SendDetail", "SendDetailPage"]

SEND: Final = "SendSms"
QUERY: Final = "QuerySendDetails"
MAX_PAGE_SIZE: Final = 50  # rows
TRACE_PAGES: Final = 4  # for each day
MAX_PAGES: Final = 100  # of one iteration; no number gets 5000 messages a day
LOOK_TIMEOUT: Final = (2.0, 3.0)  # seconds; a send with its look ends well before it counts as abandoned


class Aliyun(Gateway):
    """The gateway of Aliyun's SMS service, which whoever signs up today gets.

    Numbers of other regions go as country code and number, as its documents say. Most of North America (+1 and ten
    digits, the first from 3 to 9) then reads like a mainland number, and they do not say how it tells the two apart:
    try that before you allow the region.

    Args:
        access_key_id: the AccessKey of a RAM user who may make these two calls.
        access_key_secret: its secret; it never travels.
        security_token: the STS token of a temporary AccessKey.
        credentials: in place of these three, a function that returns `Credentials`, called for each request; an async
            one with AsyncOTP alone.
        base_url: where the API is; `http://` is for loopback alone.
        timeout: seconds to connect and seconds to answer; one number means both.

    Raises ConfigurationError for anything that can't work, naming the field and the remedy.
    """

    name: ClassVar[str] = SMS.name
    can_trace: ClassVar[bool] = True

    def __init__(
        self,
        access_key_id: str | None = None,
        access_key_secret: str | None = None,
        *,
        security_token: str | None = None,
        credentials: CredentialsSource | None = None,
        base_url: str = "https://dysmsapi.aliyuncs.com",
        timeout: tuple[float, float] | float = (3, 10),
    ) -> None:
        static = (access_key_id, access_key_secret, security_token)
        self._api = Api(SMS, SMS_REFUSALS, static, credentials, base_url, timeout)
        self.base_url, self.timeout = self._api.base_url, self._api.timeout

    def __repr__(self) -> str:
        return f"Aliyun(base_url={self.base_url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message by one `SendSms`; after an uncertain outcome look once into the records.

        `OutId` carries the send id: a record that has it turns an uncertain receipt into an accepted one. To find
        none proves nothing. The message is never sent again.

        Raises GatewayRejectedError where it was certainly not sent: a documented code, another 4xx, no connection, no
        credentials, or what is no number.
        """
        credentials = yield from self._api.credentials()
        request = self._api.request(credentials, SEND, _message_params(message), at=message.sent_at)
        receipt = yield from SMS.hand_over(request, lambda answer: self._api.read_receipt(answer, "BizId"))
        if receipt.outcome == "uncertain" and (yield from self._look(message)):
            return Receipt(self.name)
        return receipt

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Ask `QuerySendDetails` what became of the send `send_id`, made to `phone` (E.164) at about `sent_at`.

        The day is that of Shanghai; within ten minutes of midnight both are asked. No answer, or no such record, is
        state `unknown`.

        Raises GatewayRejectedError where the gateway refuses to say.
        """
        detail = yield from self._find(phone, send_id, sent_at, TRACE_PAGES, self.timeout)
        return Delivery(state="unknown", gateway=self.name) if detail is None else read_delivery(detail)

    def receipts(self, push: Push) -> Receipts:
        """Read an SmsReport, and answer that it was taken, even where it can't be read: so it is not repeated.

        Aliyun signs no push: the URL that it calls must hold a secret.
        """
        return read_receipts(push)

    def query_send_details(
        self,
        phone: str,
        send_date: date | str,
        *,
        biz_id: str | None = None,
        page: int = 1,
        page_size: int = MAX_PAGE_SIZE,
    ) -> SendDetailPage:
        """Ask for one page of the messages sent to a number on a day.

        Args:
            phone: a mainland number in any usual spelling, or an E.164 one of another region.
            send_date: the day in Shanghai, one of the last 30: a date, an aware datetime, `20170525` or `2017-05-25`.
            biz_id: the message id of the send's receipt, to see its records alone.
            page: from 1.
            page_size: rows, 1 to 50.

        Raises GatewayRejectedError where the gateway refuses; a date or paging out of bounds does not reach it.
        Category `connection` says that no answer came: the query may be repeated. PhoneError for what is no number.
        """
        _require_paging(page, page_size)
        return self._ask_page(_read_number(phone), _read_day(send_date), biz_id, page, page_size)

    def iter_send_details(
        self, phone: str, send_date: date | str, *, biz_id: str | None = None
    ) -> Iterator[SendDetail]:
        """Iterate over all messages sent to a number on a day, with the arguments of `query_send_details`.

        It asks for pages until one is short, and for at most 100 of 50 rows.

        Raises what `query_send_details` raises.
        """
        return self._details(_read_number(phone), _read_day(send_date), biz_id)

    def _details(self, number: str, day: date, biz_id: str | None) -> Iterator[SendDetail]:
        for page in range(1, MAX_PAGES + 1):
            details = self._ask_page(number, day, biz_id, page, MAX_PAGE_SIZE).details
            yield from details
            if len(details) < MAX_PAGE_SIZE:
                return
        raise SMS.rejection("request", f"there is no end after {MAX_PAGES} pages", "the developer must ask by biz_id")

    def _ask_page(self, number: str, day: date, biz_id: str | None, page: int, size: int) -> SendDetailPage:
        found = drive(self._query(number, day, biz_id, page, size))
        if found is None:
            raise SMS.rejection("connection", "the query got no answer that can be read", "it may be repeated")
        return found

    def _look(self, message: Message) -> Flow[bool]:
        sent_at = message.sent_at or datetime.now(UTC)
        (connect, answer), (most_connect, most_answer) = self.timeout, LOOK_TIMEOUT
        timeout = (min(connect, most_connect), min(answer, most_answer))
        try:
            found = yield from self._find(message.phone, message.send_id, sent_at, 1, timeout)
        except Exception:  # noqa: BLE001 - the message may be on its way, whatever becomes of the look
            return False
        return found is not None

    def _find(
        self, phone: str, send_id: str, sent_at: datetime, pages: int, timeout: tuple[float, float]
    ) -> Flow[SendDetail | None]:
        today, *neighbour = days_around(sent_at)
        found = yield from self._find_on(today, phone, send_id, pages, timeout)
        for day in neighbour:
            try:
                found = found or (yield from self._find_on(day, phone, send_id, pages, timeout))
            except GatewayRejectedError as refusal:
                # A day that the gateway's clock has not reached yet holds no records.
                if refusal.category not in {"request", "configuration"}:
                    raise
        return found

    def _find_on(
        self, day: date, phone: str, send_id: str, pages: int, timeout: tuple[float, float]
    ) -> Flow[SendDetail | None]:
        number = _number(phone)
        for page in range(1, pages + 1):
            found = yield from self._query(number, day, None, page, MAX_PAGE_SIZE, timeout)
            if found is None:
                return None
            for detail in found.details:
                if detail.out_id == send_id:
                    return detail
            if len(found.details) < MAX_PAGE_SIZE:
                return None
        return None

    def _query(
        self,
        number: str,
        day: date,
        biz_id: str | None,
        page: int,
        size: int,
        timeout: tuple[float, float] | None = None,
    ) -> Flow[SendDetailPage | None]:
        params = {"PhoneNumber": number, "SendDate": day.strftime("%Y%m%d"), "PageSize": str(size)}
        params |= {"CurrentPage": str(page)} | ({} if biz_id is None else {"BizId": biz_id})
        credentials = yield from self._api.credentials()
        body = yield from self._api.query(self._api.request(credentials, QUERY, params, timeout=timeout))
        return None if body is None else read_page(body)


def _message_params(message: Message) -> dict[str, str]:
    return {
        "PhoneNumbers": _number(message.phone),
        "SignName": message.template.sign_name,
        "TemplateCode": message.template.code,
        "TemplateParam": json.dumps(dict(message.params), ensure_ascii=False, separators=(",", ":")),
        "OutId": message.send_id,
    }


def _number(phone: str) -> str:
    return local_number(SMS, SMS_REFUSALS[BAD_NUMBER], BAD_NUMBER, phone)


def _read_number(text: str) -> str:
    return _number(read_phone(text))


def _read_day(send_date: date | str) -> date:
    day = recent_day(send_date)
    if day is None:
        problem = "the date can't be asked for"
        raise SMS.rejection(
            "request", problem, "the developer must ask for one of the last 30 days in China", BAD_PARAMETERS
        )
    return day


def _require_paging(page: object, page_size: object) -> None:
    for number, most in ((page, None), (page_size, MAX_PAGE_SIZE)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1 or number > (most or number):
            remedy = "the developer must ask for page 1 or later, and for 1 to 50 rows a page"
            raise SMS.rejection("request", "the paging is not valid", remedy, BAD_PARAMETERS)
