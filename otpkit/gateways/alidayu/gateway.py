"""The gateway of Alidayu (阿里云大鱼): `sendSms` sends messages, `querySmsDetail` returns their records.

Source: 《阿里云大鱼服务 API 使用文档》.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import ClassVar

from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpRequest, TransportFailure
from otpkit.gateways import validation
from otpkit.gateways.alidayu.errors import ALIDAYU, BAD_DATE, BUSINESS_ERRORS, GATEWAY_ERRORS, UNCERTAIN
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
from otpkit.gateways.provider import ask, remedy_in
from otpkit.gateways.records import MAX_PAGE_SIZE, Query, Records, answered
from otpkit.transport.http import drive

__all__ = ["Alidayu", "SmsDetail", "SmsDetailPage"]


class Alidayu(Gateway):
    """The gateway of Aliyun's Alidayu service.

    Args:
        app_key: the application's AppKey.
        app_secret: the application's AppSecret.
        base_url: the API's URL; `http://` is allowed for loopback only, because the secret is sent unencrypted.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly. The
            environment's proxy variables are ignored, and `http://` to loopback is always direct.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
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
        """Send one message by one `sendSms`. After an uncertain outcome, query the records once.

        `extend` carries the send id. If a record has it, the uncertain receipt becomes an accepted one. A missing
        record proves nothing. The message is never resent.

        Args:
            message: the message to send.

        Returns:
            The receipt, accepted or uncertain.

        Raises:
            GatewayRejectedError: the message was certainly not sent: one of the document's codes with `success` false,
                a 4xx, no connection, or a number outside the mainland.
        """
        receipt = yield from ALIDAYU.hand_over(self._request(SEND, message_params(message)), read_receipt)
        if receipt.outcome == "uncertain" and (
            yield from self._records.looked_for(message, mainland_number(message.phone), self.timeout)
        ):
            return Receipt(self.name)
        return receipt

    def remedy_for(self, code: str) -> str:
        """Return what to do about one of the provider's error codes."""
        return remedy_in(code, BUSINESS_ERRORS, GATEWAY_ERRORS, UNCERTAIN)

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Query the delivery of a message by `querySmsDetail`.

        The day is that of Shanghai. Within ten minutes of midnight, both days are queried. Only the record's
        `sms_status` decides the state.

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
        """Send a message to 1 to 200 numbers by one HTTP request. The message need not contain a code.

        Source: 《阿里云大鱼服务 API 使用文档》, sendSms.

        Args:
            rec_num: mainland numbers in any usual format, as a list or a text with commas between them. A number that
                occurs twice gets one message.
            template_code: an approved template, like `SMS_585014`.
            sign_name: an approved signature, without 【】.
            params: the template's variables; None sends none.
            extend: a text that the records return; None sends none.

        Returns:
            A Receipt whose `outcome` is `accepted`, or `uncertain` if the message may have been sent.

        Raises:
            GatewayRejectedError: the message was certainly not sent. An empty list is category `request`, more than 200
                numbers is code 50010; neither is sent to the gateway.
            PhoneError: an entry is not a mainland mobile number.
            ConfigurationError: the template code, the signature or a value is malformed.
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
        """Query one page of the messages sent to a number on a day.

        Source: 《阿里云大鱼服务 API 使用文档》, querySmsDetail.

        Args:
            rec_num: a mainland number in any usual format.
            query_date: the day in Shanghai, one of the last 30: a date, an aware datetime, `20151215` or
                `2015-12-15`.
            biz_id: the message id of a send's receipt, to query only its records; None queries all.
            page: the page's number, from 1.
            page_size: rows on a page, 1 to 50.

        Returns:
            The page.

        Raises:
            GatewayRejectedError: the gateway refused the query. A date or paging out of range (codes 80001 and 80002)
                is refused before it is sent. Category `connection` means that no answer came: the query may be
                repeated.
            PhoneError: `rec_num` is not a mainland mobile number.
        """
        require_paging(page, page_size)
        query = Query(read_number(rec_num), read_day(query_date), biz_id, page, page_size)
        return answered(ALIDAYU, self._ask(query))

    def iter_sms_details(
        self, rec_num: str, query_date: date | str, *, biz_id: str | None = None
    ) -> Iterator[SmsDetail]:
        """Iterate over all messages sent to a number on a day.

        It queries pages of 50 rows until one has fewer rows, at most 100 pages. It ignores `total_page`.

        Args:
            rec_num: as for `query_sms_detail`.
            query_date: as for `query_sms_detail`.
            biz_id: as for `query_sms_detail`.

        Returns:
            An iterator over the messages. It makes each query when its rows are needed.

        Raises:
            GatewayRejectedError: as for `query_sms_detail`; also after 100 full pages.
            PhoneError: `rec_num` is not a mainland mobile number.
        """
        return self._records.each(read_number(rec_num), read_day(query_date), biz_id)

    def _ask(self, query: Query) -> Flow[SmsDetailPage | None]:
        params = query_params(query.number, query.day, query.page, query.page_size, query.biz_id)
        answer = yield from ask(self._request(QUERY, params, query.timeout))
        return None if isinstance(answer, TransportFailure) else read_page(answer)

    def _request(self, api: str, params: Mapping[str, str], timeout: tuple[float, float] | None = None) -> HttpRequest:
        # The request's repr hides the parameters, so tracebacks that show local variables do not reveal them.
        return HttpRequest(
            method="GET",
            url=f"{self.base_url}/{api}",
            params=params,
            headers=self._headers,
            timeout=timeout or self.timeout,
            proxy=self._proxy,
        )
