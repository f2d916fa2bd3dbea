"""Aliyun's SMS service of today (阿里云短信服务, Dysmsapi 2017-05-25): SendSms, QuerySendDetails, SmsReport.

Sources: help.aliyun.com/document_detail/55284.html (SendSms), 419277.html (QuerySendDetails), 101867.html (SmsReport),
help.aliyun.com/zh/sms/smsreport-http-intl (SmsReport of other regions).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import ClassVar, Final

from otpkit.effects import Flow
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.aliyun.api import NEEDED_CREDENTIALS, Api
from otpkit.gateways.aliyun.errors import BAD_PARAMETERS, SMS, SMS_REFUSALS
from otpkit.gateways.aliyun.phones import local_number, read_phone
from otpkit.gateways.aliyun.responses import SendDetail, SendDetailPage, read_delivery, read_page, read_receipts
from otpkit.gateways.base import MAX_BATCH, Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.china_time import recent_day
from otpkit.gateways.credentials import CredentialsSource
from otpkit.gateways.records import MAX_PAGE_SIZE, Query, Records, answered, is_page

__all__ = ["Aliyun", "SendDetail", "SendDetailPage"]

SEND: Final = "SendSms"
QUERY: Final = "QuerySendDetails"


class Aliyun(Gateway):
    """The gateway of Aliyun's SMS service, which whoever signs up today gets.

    Numbers of other regions go as country code and number, as its documents say. Most of North America's (+1, and ten
    digits of which the first is 3 to 9) would then read like mainland ones: they are refused, category `configuration`.

    Args:
        access_key_id: the AccessKey of a RAM user who may make these two calls.
        access_key_secret: its secret; it never travels.
        security_token: the STS token of a temporary AccessKey.
        credentials: in place of these three, a function that returns `Credentials`, called for each request; an async
            one with AsyncOTP alone.
        base_url: where the API is; `http://` is for loopback alone.
        timeout: seconds to connect and seconds to answer; one number means both.
        proxy: the URL of a proxy to go through, such as `http://user:password@proxy.example:3128`. What the environment
            says of proxies counts for nothing, and `http://` of loopback goes directly.

    Raises ConfigurationError for anything that can't work, naming the field and the remedy.
    """

    name: ClassVar[str] = SMS.name
    adds_signature: ClassVar[bool] = True
    can_trace: ClassVar[bool] = True
    max_push: ClassVar[int] = MAX_BATCH
    needs: ClassVar[tuple[tuple[str, ...], ...]] = NEEDED_CREDENTIALS

    def __init__(
        self,
        access_key_id: str | None = None,
        access_key_secret: str | None = None,
        *,
        security_token: str | None = None,
        credentials: CredentialsSource | None = None,
        base_url: str = "https://dysmsapi.aliyuncs.com",
        timeout: tuple[float, float] | float = (3, 10),
        proxy: str | None = None,
    ) -> None:
        static = (access_key_id, access_key_secret, security_token)
        self._api = Api(SMS, SMS_REFUSALS, static, credentials, base_url, timeout, proxy)
        self.base_url, self.timeout = self._api.base_url, self._api.timeout
        self._records = Records(SMS, self._ask, lambda detail: detail.out_id, _is_early)

    def __repr__(self) -> str:
        return f"Aliyun(base_url={self.base_url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message by one `SendSms`; after an uncertain outcome look once into the records.

        `OutId` carries the send id: a record that has it turns an uncertain receipt into an accepted one. To find
        none proves nothing. The message is never sent again.

        Raises GatewayRejectedError where it was certainly not sent: a documented code, another 4xx, no connection, no
        credentials, or a number that it can't be told.
        """
        credentials = yield from self._api.credentials()
        request = self._api.request(credentials, SEND, _message_params(message), at=message.sent_at)
        receipt = yield from SMS.hand_over(request, lambda answer: self._api.read_receipt(answer, "BizId"))
        if receipt.outcome == "uncertain" and (
            yield from self._records.looked_for(message, _number(message.phone), self.timeout)
        ):
            return Receipt(self.name)
        return receipt

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Ask `QuerySendDetails` what became of the send `send_id`, made to `phone` (E.164) at about `sent_at`.

        The day is that of Shanghai; within ten minutes of midnight both are asked. No answer, or no such record, is
        state `unknown`.

        Raises GatewayRejectedError where the gateway refuses to say.
        """
        detail = yield from self._records.find(_number(phone), send_id, sent_at)
        return Delivery(state="unknown", gateway=self.name) if detail is None else read_delivery(detail)

    def keeps_message_id(self, phone: str) -> bool:
        """Return whether `phone` is outside the mainland: the receipts of such messages may name them by it alone."""
        return not phone.startswith("+86")

    def receipts(self, push: Push) -> Receipts:
        """Read an SmsReport, of the mainland or of other regions, and answer that it was taken.

        That is the answer even where it can't be read: so it is not repeated. Aliyun signs no push: the URL that it
        calls must hold a secret.
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
        return answered(SMS, self._ask(Query(_read_number(phone), _read_day(send_date), biz_id, page, page_size)))

    def iter_send_details(
        self, phone: str, send_date: date | str, *, biz_id: str | None = None
    ) -> Iterator[SendDetail]:
        """Iterate over all messages sent to a number on a day, with the arguments of `query_send_details`.

        It asks for pages until one is short, and for at most 100 of 50 rows.

        Raises what `query_send_details` raises.
        """
        return self._records.each(_read_number(phone), _read_day(send_date), biz_id)

    def _ask(self, query: Query) -> Flow[SendDetailPage | None]:
        params = {"PhoneNumber": query.number, "SendDate": query.day.strftime("%Y%m%d")}
        params |= {"PageSize": str(query.page_size), "CurrentPage": str(query.page)}
        params |= {} if query.biz_id is None else {"BizId": query.biz_id}
        credentials = yield from self._api.credentials()
        body = yield from self._api.query(self._api.request(credentials, QUERY, params, timeout=query.timeout))
        return None if body is None else read_page(body)


def _is_early(refusal: GatewayRejectedError) -> bool:
    return refusal.category in {"request", "configuration"}


def _message_params(message: Message) -> dict[str, str]:
    return {
        "PhoneNumbers": _number(message.phone),
        "SignName": message.template.sign_name,
        "TemplateCode": message.template.code,
        "TemplateParam": json.dumps(dict(message.params), ensure_ascii=False, separators=(",", ":")),
        "OutId": message.send_id,
    }


def _number(phone: str) -> str:
    return local_number(SMS, phone)


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
    if not is_page(page, page_size):
        remedy = "the developer must ask for page 1 or later, and for 1 to 50 rows a page"
        raise SMS.rejection("request", "the paging is not valid", remedy, BAD_PARAMETERS)
