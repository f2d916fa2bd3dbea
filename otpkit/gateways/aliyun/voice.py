"""The gateway of Aliyun's voice service (阿里云语音服务, Dyvmsapi 2017-05-25). Its calls read a code or play a file.

It is the successor of the voice calls that the Alidayu document only announces.

Sources: help.aliyun.com/document_detail/393519.html (SingleCallByTts), 114036.htm (SingleCallByVoice), 63017.html
(QueryCallDetailByCallId), 114040.html (ClickToDial), 55085.htm (status codes of calls).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, ClassVar, Final

from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpResponse
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.aliyun.api import NEEDED_CREDENTIALS, Api
from otpkit.gateways.aliyun.calls import (
    MAX_OUT_ID,
    TTS_CALLS,
    CallDetail,
    Playing,
    day_begins,
    out_id_param,
    read_call,
    read_call_delivery,
    read_call_receipts,
    show_number,
    tts_params,
    word,
)
from otpkit.gateways.aliyun.errors import BAD_PARAMETERS, UNCERTAIN, VOICE, VOICE_REFUSALS
from otpkit.gateways.aliyun.phones import local_number, read_phone
from otpkit.gateways.base import MAX_BATCH, Channel, Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.china_time import days_around, recent_day
from otpkit.gateways.credentials import CredentialsSource
from otpkit.gateways.provider import remedy_in
from otpkit.transport.http import drive

__all__ = ["AliyunVoice", "CallDetail"]

TTS: Final = "SingleCallByTts"
FILE: Final = "SingleCallByVoice"
DIAL: Final = "ClickToDial"
QUERY: Final = "QueryCallDetailByCallId"


class AliyunVoice(Gateway):
    """The gateway of Aliyun's voice service. It calls the phone and reads the template's text with the code.

    It uses the template's `code` (like `TTS_10001`) and `params`, and ignores its `sign_name`. Since March 2022 Aliyun
    calls numbers outside the mainland for some customers only. Such numbers are sent to Aliyun, which accepts or
    refuses them.

    Args:
        access_key_id: the AccessKey of a RAM user with permission for these calls.
        access_key_secret: the AccessKey's secret; it is never sent.
        security_token: the STS token of a temporary AccessKey; None for a permanent one.
        credentials: a function that returns `Credentials`, in place of these three; it is called for each request, and
            may be async with AsyncOTP only.
        called_show_number: the number that the user sees, bought by the account; None for a template that uses Aliyun's
            public numbers.
        play_times: times that the text is read, 1 to 3; None uses Aliyun's default.
        volume: the volume, 0 to 100; None uses Aliyun's default.
        speed: the speed of the voice, -500 to 500; None uses Aliyun's default.
        base_url: the API's URL; `http://` is allowed for loopback only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly. The
            environment's proxy variables are ignored, and `http://` to loopback is always direct.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = VOICE.name
    channels: frozenset[Channel] = frozenset({"voice"})
    can_trace: ClassVar[bool] = True
    knows_message_id: ClassVar[bool] = True
    max_push: ClassVar[int] = MAX_BATCH
    needs: ClassVar[tuple[tuple[str, ...], ...]] = NEEDED_CREDENTIALS

    def __init__(
        self,
        access_key_id: str | None = None,
        access_key_secret: str | None = None,
        *,
        security_token: str | None = None,
        credentials: CredentialsSource | None = None,
        called_show_number: str | None = None,
        play_times: int | None = None,
        volume: int | None = None,
        speed: int | None = None,
        base_url: str = "https://dyvmsapi.aliyuncs.com",
        timeout: tuple[float, float] | float = (3, 10),
        proxy: str | None = None,
    ) -> None:
        static = (access_key_id, access_key_secret, security_token)
        with Checks() as checks:
            api = checks.of("", Api, VOICE, VOICE_REFUSALS, static, credentials, base_url, timeout, proxy)
            playing = checks.of(
                "",
                Playing,
                called_show_number=called_show_number,
                play_times=play_times,
                volume=volume,
                speed=speed,
            )
        self._api = api
        self.base_url, self.timeout = api.base_url, api.timeout
        self._playing = playing.params()

    def __repr__(self) -> str:
        return f"AliyunVoice(base_url={self.base_url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Make one call by one `SingleCallByTts`. The call is never repeated.

        `OutId` carries the first 15 characters of the send id. An uncertain outcome is not resolved by a query: Aliyun
        finds calls by the call id only, and the call id did not arrive.

        Args:
            message: the message to read.

        Returns:
            The receipt, accepted or uncertain. Its message id is the call id.

        Raises:
            GatewayRejectedError: there was certainly no call.
        """
        credentials = yield from self._api.credentials()
        request = self._api.request(credentials, TTS, self._message_params(message), at=message.sent_at)
        return (yield from VOICE.hand_over(request, self._read_receipt))

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Query the delivery of a call by `QueryCallDetailByCallId`.

        The day is that of Shanghai. Within ten minutes of midnight, both days are queried.

        Args:
            phone: not used.
            send_id: not used.
            sent_at: the approximate time of the call, an aware datetime.
            message_id: the call id, from the receipt.

        Returns:
            The delivery: `delivered` if the text was played to its end, `failed` if the call ended otherwise, `pending`
            before its end. It is `unknown` if there is no answer, no record or no call id.

        Raises:
            GatewayRejectedError: the gateway refused the query.
        """
        days = days_around(sent_at) if message_id else ()
        for place, day in enumerate(days):
            try:
                call = yield from self._query(message_id, TTS_CALLS, day)
            except GatewayRejectedError as refusal:
                # The second day may not have begun by the gateway's clock. Such a day has no records.
                if place == 0 or refusal.category not in {"request", "configuration"}:
                    raise
                call = None
            if call is not None:
                return read_call_delivery(call)
        return Delivery(state="unknown", gateway=self.name)

    def remedy_for(self, code: str) -> str:
        """Return what to do about one of the provider's error codes."""
        return remedy_in(code, VOICE_REFUSALS, UNCERTAIN)

    def receipts(self, push: Push) -> Receipts:
        """Parse a VoiceReport.

        Aliyun does not sign its pushes, so the URL that it calls must contain a secret.

        Args:
            push: the HTTP request that Aliyun made.

        Returns:
            The deliveries; each `send_id` is the first 15 characters of a send id. The response always reports success,
            even if the push can't be parsed, so that Aliyun does not repeat it.
        """
        return read_call_receipts(push)

    def single_call_by_tts(
        self,
        called_number: str,
        *,
        tts_code: str,
        params: Mapping[str, str] | None = None,
        out_id: str | None = None,
    ) -> Receipt:
        """Call a number and read a template's text. The text need not contain a code.

        Source: help.aliyun.com/document_detail/393519.html.

        Args:
            called_number: a mainland number in any usual format, or a number of another region in E.164.
            tts_code: an approved template, like `TTS_10001`.
            params: the template's variables; None sends none.
            out_id: a text of 1 to 15 bytes that receipts return; None sends none.

        Returns:
            A Receipt whose message id is the call id. Its `outcome` is `accepted`, or `uncertain` if there may have
            been a call.

        Raises:
            GatewayRejectedError: there was certainly no call.
            PhoneError: `called_number` is not a number.
            ConfigurationError: an id or a value is malformed.
        """
        fields = tts_params(_read_number(called_number), tts_code, params, out_id) | self._playing
        return drive(self._call(TTS, fields))

    def single_call_by_voice(self, called_number: str, *, voice_code: str, out_id: str | None = None) -> Receipt:
        """Call a number and play a voice file.

        Source: help.aliyun.com/document_detail/114036.htm.

        Args:
            called_number: as for `single_call_by_tts`.
            voice_code: the voice file's id, from the console.
            out_id: as for `single_call_by_tts`.

        Returns:
            A Receipt, as from `single_call_by_tts`.

        Raises:
            GatewayRejectedError: there was certainly no call.
            PhoneError: `called_number` is not a number.
            ConfigurationError: an id is malformed.
        """
        fields = {"CalledNumber": _read_number(called_number), "VoiceCode": word("voice_code", voice_code)}
        return drive(self._call(FILE, fields | out_id_param(out_id) | self._playing))

    def click_to_dial(
        self,
        *,
        caller_number: str,
        called_number: str,
        caller_show_number: str,
        called_show_number: str,
        session_timeout: int | None = None,
        record: bool | None = None,
        out_id: str | None = None,
    ) -> Receipt:
        """Call two mainland numbers and connect them (双呼). Aliyun no longer opens this call to new users.

        The parameters are those of the older official SDK (aliyun-python-sdk-dyvmsapi 3.2.0), because the current SDK
        lacks this call. The request is signed like all others. Source: help.aliyun.com/document_detail/114040.html.

        Args:
            caller_number: the number to call first.
            called_number: the number to call second.
            caller_show_number: the number that the first person sees; the account must have bought it.
            called_show_number: the number that the second person sees; the account must have bought it.
            session_timeout: seconds after which Aliyun ends the call; None uses Aliyun's default.
            record: True to record the call; None uses Aliyun's default.
            out_id: a text of 1 to 15 bytes that receipts return; None sends none.

        Returns:
            A Receipt, as from `single_call_by_tts`.

        Raises:
            GatewayRejectedError: there was certainly no call.
            PhoneError: one of the numbers to call is not a number.
            ConfigurationError: a number to show or `out_id` is malformed.
        """
        fields = {
            "CallerNumber": _read_number(caller_number),
            "CalledNumber": _read_number(called_number),
            "CallerShowNumber": show_number("caller_show_number", caller_show_number),
            "CalledShowNumber": show_number("called_show_number", called_show_number),
        }
        if session_timeout is not None:
            fields["SessionTimeout"] = str(session_timeout)
        if record is not None:
            fields["RecordFlag"] = "true" if record else "false"
        return drive(self._call(DIAL, fields | out_id_param(out_id)))

    def query_call_detail_by_call_id(
        self, call_id: str, *, prod_id: int = TTS_CALLS, query_date: date | str
    ) -> CallDetail | None:
        """Query the record of a call.

        Source: help.aliyun.com/document_detail/63017.html.

        Args:
            call_id: the message id of the call's receipt.
            prod_id: 11010000138001 for calls that read a template, 11000000300006 for calls that play a file.
            query_date: the day of the call in Shanghai, one of the last 30: a date, an aware datetime, `20170525` or
                `2017-05-25`.

        Returns:
            The record, or None if there is none.

        Raises:
            GatewayRejectedError: the gateway refused the query. A date out of range is refused before it is sent.
                Category `connection` means that no answer came: the query may be repeated.
            ConfigurationError: the call id is malformed.
        """
        day = recent_day(query_date)
        if day is None:
            remedy = "the developer must pass one of the last 30 days in China"
            raise VOICE.rejection("request", "the date is out of range", remedy, BAD_PARAMETERS)
        body = drive(self._ask(word("call_id", call_id), prod_id, day))
        if body is None:
            raise VOICE.rejection("connection", "the query got no readable answer", "the query may be repeated")
        return read_call(body)

    def _call(self, action: str, fields: Mapping[str, str]) -> Flow[Receipt]:
        credentials = yield from self._api.credentials()
        return (yield from VOICE.hand_over(self._api.request(credentials, action, fields), self._read_receipt))

    def _query(self, call_id: str, prod_id: int, day: date) -> Flow[CallDetail | None]:
        body = yield from self._ask(call_id, prod_id, day)
        return None if body is None else read_call(body)

    def _ask(self, call_id: str, prod_id: int, day: date) -> Flow[dict[str, Any] | None]:
        params = {"CallId": call_id, "ProdId": str(prod_id), "QueryDate": str(day_begins(day))}
        credentials = yield from self._api.credentials()
        return (yield from self._api.query(self._api.request(credentials, QUERY, params)))

    def _read_receipt(self, answer: HttpResponse) -> Receipt | GatewayRejectedError:
        return self._api.read_receipt(answer, "CallId")

    def _message_params(self, message: Message) -> dict[str, str]:
        out_id = message.send_id[:MAX_OUT_ID]
        return tts_params(_number(message.phone), message.template.code, message.params, out_id) | self._playing


def _number(phone: str) -> str:
    return local_number(VOICE, phone)


def _read_number(text: str) -> str:
    return _number(read_phone(text))
