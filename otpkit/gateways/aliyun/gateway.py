"""The gateway of Aliyun's SMS service (阿里云短信服务, Dysmsapi 2017-05-25): SendSms, QuerySendDetails, SmsReport.

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
from otpkit.gateways.aliyun.errors import BAD_PARAMETERS, SMS, SMS_REFUSALS, UNCERTAIN
from otpkit.gateways.aliyun.phones import local_number, read_phone
from otpkit.gateways.aliyun.responses import SendDetail, SendDetailPage, read_delivery, read_page, read_receipts
from otpkit.gateways.base import MAX_BATCH, Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.china_time import recent_day
from otpkit.gateways.credentials import CredentialsSource
from otpkit.gateways.provider import remedy_in
from otpkit.gateways.records import MAX_PAGE_SIZE, Query, Records, answered, is_page

__all__ = ["Aliyun", "SendDetail", "SendDetailPage"]

SEND: Final = "SendSms"
QUERY: Final = "QuerySendDetails"


class Aliyun(Gateway):
    """The gateway of Aliyun's SMS service, the one that new Aliyun accounts use.

    Numbers of other regions are sent as country code and number, as its documents require. Most North American numbers
    (+1 and ten digits, the first of them 3 to 9) would then look like mainland numbers. They are refused, category
    `configuration`.

    Args:
        access_key_id: the AccessKey of a RAM user with permission for these two calls.
        access_key_secret: the AccessKey's secret; it is never sent.
        security_token: the STS token of a temporary AccessKey; None for a permanent one.
        credentials: a function that returns `Credentials`, in place of these three; it is called for each request, and
            may be async with AsyncOTP only.
        base_url: the API's URL; `http://` is allowed for loopback only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly. The
            environment's proxy variables are ignored, and `http://` to loopback is always direct.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
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
        """Send one message by one `SendSms`. After an uncertain outcome, query the records once.

        `OutId` carries the send id. If a record has it, the uncertain receipt becomes an accepted one. A missing record
        proves nothing. The message is never resent.

        Args:
            message: the message to send.

        Returns:
            The receipt, accepted or uncertain.

        Raises:
            GatewayRejectedError: the message was certainly not sent: a documented code, another 4xx, no connection, no
                credentials, or a number for which the API has no format.
        """
        credentials = yield from self._api.credentials()
        request = self._api.request(credentials, SEND, _message_params(message), at=message.sent_at)
        receipt = yield from SMS.hand_over(request, lambda answer: self._api.read_receipt(answer, "BizId"))
        if receipt.outcome == "uncertain" and (
            yield from self._records.looked_for(message, _number(message.phone), self.timeout)
        ):
            return Receipt(self.name)
        return receipt

    def remedy_for(self, code: str) -> str:
        """Return what to do about one of the provider's error codes."""
        return remedy_in(code, SMS_REFUSALS, UNCERTAIN)

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Query the delivery of a message by `QuerySendDetails`.

        The day is that of Shanghai. Within ten minutes of midnight, both days are queried.

        Args:
            phone: the recipient's number, E.164.
            send_id: the message's send id.
            sent_at: the approximate time of the send, an aware datetime.
            message_id: not used.

        Returns:
            The delivery. Its state is `unknown` if there is no answer or no such record.

        Raises:
            GatewayRejectedError: the gateway refused the query.
        """
        detail = yield from self._records.find(_number(phone), send_id, sent_at)
        return Delivery(state="unknown", gateway=self.name) if detail is None else read_delivery(detail)

    def keeps_message_id(self, phone: str) -> bool:
        """Return whether the message id is stored with the send.

        Receipts of messages to other regions may identify a message by this id only.

        Args:
            phone: the recipient's number, E.164.

        Returns:
            True if the number is outside the mainland.
        """
        return not phone.startswith("+86")

    def receipts(self, push: Push) -> Receipts:
        """Parse an SmsReport of the mainland or of other regions.

        Aliyun does not sign its pushes, so the URL that it calls must contain a secret.

        Args:
            push: the HTTP request that Aliyun made.

        Returns:
            The deliveries. The response always reports success, even if the push can't be parsed, so that Aliyun does
            not repeat it.
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
        """Query one page of the messages sent to a number on a day.

        Source: help.aliyun.com/document_detail/419277.html.

        Args:
            phone: a mainland number in any usual format, or a number of another region in E.164.
            send_date: the day in Shanghai, one of the last 30: a date, an aware datetime, `20170525` or `2017-05-25`.
            biz_id: the message id of a send's receipt, to query only its records; None queries all.
            page: the page's number, from 1.
            page_size: rows on a page, 1 to 50.

        Returns:
            The page.

        Raises:
            GatewayRejectedError: the gateway refused the query. A date or paging out of range is refused before it is
                sent. Category `connection` means that no answer came: the query may be repeated.
            PhoneError: `phone` is not a number.
        """
        _require_paging(page, page_size)
        return answered(SMS, self._ask(Query(_read_number(phone), _read_day(send_date), biz_id, page, page_size)))

    def iter_send_details(
        self, phone: str, send_date: date | str, *, biz_id: str | None = None
    ) -> Iterator[SendDetail]:
        """Iterate over all messages sent to a number on a day.

        It queries pages of 50 rows until one has fewer rows, at most 100 pages.

        Args:
            phone: as for `query_send_details`.
            send_date: as for `query_send_details`.
            biz_id: as for `query_send_details`.

        Returns:
            An iterator over the messages. It makes each query when its rows are needed.

        Raises:
            GatewayRejectedError: as for `query_send_details`; also after 100 full pages.
            PhoneError: `phone` is not a number.
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
        problem = "the date is out of range"
        raise SMS.rejection(
            "request", problem, "the developer must pass one of the last 30 days in China", BAD_PARAMETERS
        )
    return day


def _require_paging(page: object, page_size: object) -> None:
    if not is_page(page, page_size):
        remedy = "the developer must pass a page from 1, and 1 to 50 rows a page"
        raise SMS.rejection("request", "the paging is not valid", remedy, BAD_PARAMETERS)
