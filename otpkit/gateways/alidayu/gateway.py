"""Alidayu (阿里云大鱼): messages by `sendSms`, their records by `querySmsDetail`.

Source: 《阿里云大鱼服务 API 使用文档》.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import ClassVar

from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpRequest, TransportFailure
from otpkit.gateways import validation
from otpkit.gateways.alidayu.errors import ALIDAYU, BAD_DATE
from otpkit.gateways.alidayu.requests import (
    QUERY,
    SEND,
    mainland_number,
    message_params,
    query_params,
    read_day,
    read_number,
    read_numbers,
    require_paging,
    send_params,
)
from otpkit.gateways.alidayu.responses import SmsDetail, SmsDetailPage, read_delivery, read_page, read_receipt
from otpkit.gateways.base import Delivery, Gateway, Message, Receipt
from otpkit.gateways.provider import ask
from otpkit.gateways.records import MAX_PAGE_SIZE, Query, Records, answered
from otpkit.transport.http import drive

__all__ = ["Alidayu", "SmsDetail", "SmsDetailPage"]


class Alidayu(Gateway):
    """The gateway of Aliyun's Alidayu service.

    Args:
        app_key: the application's AppKey.
        app_secret: its AppSecret.
        base_url: where the API is; `http://` is for loopback alone, for the secret travels in clear.
        timeout: seconds to connect and seconds to answer; one number means both.
        proxy: the URL of a proxy to go through, such as `http://user:password@proxy.example:3128`. What the environment
            says of proxies counts for nothing, and `http://` of loopback goes directly.

    Raises ConfigurationError for anything that can't work, naming the field and the remedy.
    """

    name: ClassVar[str] = ALIDAYU.name
    adds_signature: ClassVar[bool] = True
    can_trace: ClassVar[bool] = True

    def __init__(
        self,
        app_key: str,
        app_secret: str,
        *,
        base_url: str = "https://ca.aliyuncs.com/gw/alidayu",
        timeout: tuple[float, float] | float = (3, 10),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            self._headers = {
                "X-Ca-Key": checks.value("app_key", validation.header_value, app_key),
                "X-Ca-Secret": checks.value("app_secret", validation.header_value, app_secret),
            }
            self.base_url = checks.value("base_url", validation.base_url, base_url)
            self.timeout = checks.value("timeout", validation.timeouts, timeout)
            self._proxy = checks.value("proxy", validation.proxy_url, proxy)
        self._records = Records(
            ALIDAYU, self._ask, lambda detail: detail.extend, lambda refusal: refusal.gateway_code == BAD_DATE
        )

    def __repr__(self) -> str:
        return f"Alidayu(base_url={self.base_url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message by one `sendSms`; after an uncertain outcome look once into the records.

        `extend` carries the send id: a record that has it turns an uncertain receipt into an accepted one. To
        find none proves nothing. The message is never sent again.

        Raises GatewayRejectedError where it was certainly not sent: the document's codes with `success`
        false, a 4xx, no connection, or a number outside the mainland.
        """
        receipt = yield from ALIDAYU.hand_over(self._request(SEND, message_params(message)), read_receipt)
        if receipt.outcome == "uncertain" and (
            yield from self._records.looked_for(message, mainland_number(message.phone), self.timeout)
        ):
            return Receipt(self.name)
        return receipt

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Ask `querySmsDetail` what became of the send `send_id`, made to `phone` (E.164) at about `sent_at`.

        The day is that of Shanghai; within ten minutes of midnight both are asked. The record's `sms_status`
        alone decides. No answer, or no such record, is state `unknown`.

        Raises GatewayRejectedError where the gateway refuses to say.
        """
        detail = yield from self._records.find(mainland_number(phone), send_id, sent_at)
        return Delivery(state="unknown", gateway=self.name) if detail is None else read_delivery(detail)

    def send_sms(
        self,
        rec_num: str | Sequence[str],
        *,
        template_code: str,
        sign_name: str,
        params: Mapping[str, str] | None = None,
        extend: str | None = None,
    ) -> Receipt:
        """Send a message, which need not hold a code, to one number or up to 200, by one HTTP request.

        Args:
            rec_num: mainland numbers in any usual spelling: a list, or a text with commas between them. Each gets one
                message, however often it is named.
            template_code: an approved template, like `SMS_585014`.
            sign_name: an approved signature, without 【】.
            params: the template's variables; None sends none.
            extend: a text that comes back in the records.

        Returns a Receipt whose `outcome` is `accepted` or `uncertain`: then it may have been sent.

        Raises GatewayRejectedError where it was certainly not sent (no number is category `request`, more
        than 200 is code 50010, neither reaches the gateway), PhoneError for what is no mainland mobile
        number, and ConfigurationError for a malformed template code, signature or value.
        """
        fields = send_params(read_numbers(rec_num), template_code, sign_name, params, extend)
        return drive(ALIDAYU.hand_over(self._request(SEND, fields), read_receipt))

    def query_sms_detail(
        self,
        rec_num: str,
        query_date: date | str,
        *,
        biz_id: str | None = None,
        page: int = 1,
        page_size: int = MAX_PAGE_SIZE,
    ) -> SmsDetailPage:
        """Ask for one page of the messages sent to a number on a day.

        Args:
            rec_num: a mainland number in any usual spelling.
            query_date: the day in Shanghai, one of the last 30: a date, an aware datetime, `20151215` or
                `2015-12-15`.
            biz_id: the message id of the send's receipt, to see its records alone.
            page: from 1.
            page_size: rows, 1 to 50.

        Raises GatewayRejectedError where the gateway refuses; a date or paging out of bounds (codes 80001 and
        80002) does not reach it. Category `connection` says that no answer came: the query may be repeated.
        PhoneError for what is no mainland mobile number.
        """
        require_paging(page, page_size)
        query = Query(read_number(rec_num), read_day(query_date), biz_id, page, page_size)
        return answered(ALIDAYU, self._ask(query))

    def iter_sms_details(
        self, rec_num: str, query_date: date | str, *, biz_id: str | None = None
    ) -> Iterator[SmsDetail]:
        """Iterate over all messages sent to a number on a day, with the arguments of `query_sms_detail`.

        It asks for pages until one is short, whatever `total_page` says, and for at most 100 of 50 rows.

        Raises what `query_sms_detail` raises.
        """
        return self._records.each(read_number(rec_num), read_day(query_date), biz_id)

    def _ask(self, query: Query) -> Flow[SmsDetailPage | None]:
        params = query_params(query.number, query.day, query.page, query.page_size, query.biz_id)
        answer = yield from ask(self._request(QUERY, params, query.timeout))
        return None if isinstance(answer, TransportFailure) else read_page(answer)

    def _request(self, api: str, params: Mapping[str, str], timeout: tuple[float, float] | None = None) -> HttpRequest:
        # Its repr hides the parameters: no frame that errors are raised in holds them in clear.
        return HttpRequest(
            method="GET",
            url=f"{self.base_url}/{api}",
            params=params,
            headers=self._headers,
            timeout=timeout or self.timeout,
            proxy=self._proxy,
        )
