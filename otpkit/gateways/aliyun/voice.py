"""Aliyun's voice service (阿里云语音服务, Dyvmsapi 2017-05-25): calls that read a code, or play a file, to a person.

It is the living successor of the voice calls that the Alidayu document only announces.

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
from otpkit.gateways.aliyun.errors import BAD_PARAMETERS, VOICE, VOICE_REFUSALS
from otpkit.gateways.aliyun.phones import local_number, read_phone
from otpkit.gateways.base import MAX_BATCH, Channel, Delivery, Gateway, Message, Push, Receipt, Receipts
from otpkit.gateways.china_time import days_around, recent_day
from otpkit.gateways.credentials import CredentialsSource
from otpkit.transport.http import drive

__all__ = ["AliyunVoice", "CallDetail"]

TTS: Final = "SingleCallByTts"
FILE: Final = "SingleCallByVoice"
DIAL: Final = "ClickToDial"
QUERY: Final = "QueryCallDetailByCallId"


class AliyunVoice(Gateway):
    """The gateway of Aliyun's voice service: it calls the phone and reads the template's text with the code.

    Of a template its `code` (like `TTS_10001`) and `params` are used, its `sign_name` is not. Outside the mainland
    Aliyun has called for some of its customers alone since March 2022: such numbers are passed on for it to judge.

    Args:
        access_key_id: the AccessKey of a RAM user who may make these calls.
        access_key_secret: its secret; it never travels.
        security_token: the STS token of a temporary AccessKey.
        credentials: in place of these three, a function that returns `Credentials`, called for each request; an async
            one with AsyncOTP alone.
        called_show_number: the number that the person sees, one that the account bought; None for a template of the
            public numbers.
        play_times: how often the text is read, 1 to 3.
        volume: 0 to 100.
        speed: -500 to 500.
        base_url: where the API is; `http://` is for loopback alone.
        timeout: seconds to connect and seconds to answer; one number means both.
        proxy: the URL of a proxy to go through, such as `http://user:password@proxy.example:3128`. What the environment
            says of proxies counts for nothing, and `http://` of loopback goes directly.

    What is None is left to Aliyun. Raises ConfigurationError for anything that can't work.
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
        """Make one call by one `SingleCallByTts`, which is never made again.

        `OutId` has room for the first 15 characters of the send id. After an uncertain outcome there is no look: calls
        are found by the call id alone, which did not arrive.

        Raises GatewayRejectedError where there was certainly no call.
        """
        credentials = yield from self._api.credentials()
        request = self._api.request(credentials, TTS, self._message_params(message), at=message.sent_at)
        return (yield from VOICE.hand_over(request, self._read_receipt))

    def trace(self, phone: str, send_id: str, sent_at: datetime, message_id: str = "") -> Flow[Delivery]:
        """Ask `QueryCallDetailByCallId` what became of the call `message_id`, made at about `sent_at`.

        The day is that of Shanghai; within ten minutes of midnight both are asked. Heard to its end is `delivered`, an
        ended call otherwise `failed`, one without an end `pending`. No answer, no record, or no call id is `unknown`.

        Raises GatewayRejectedError where the gateway refuses to say.
        """
        days = days_around(sent_at) if message_id else ()
        for place, day in enumerate(days):
            try:
                call = yield from self._query(message_id, TTS_CALLS, day)
            except GatewayRejectedError as refusal:
                # A day that the gateway's clock has not reached yet holds no records.
                if place == 0 or refusal.category not in {"request", "configuration"}:
                    raise
                call = None
            if call is not None:
                return read_call_delivery(call)
        return Delivery(state="unknown", gateway=self.name)

    def receipts(self, push: Push) -> Receipts:
        """Read a VoiceReport, and answer that it was taken, even where it can't be read: so it is not repeated.

        `send_id` is the beginning of one, 15 characters. Aliyun signs no push: the URL that it calls must hold a
        secret.
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
        """Call a number and read it a template's text, which need not hold a code.

        Args:
            called_number: a mainland number in any usual spelling, or an E.164 one of another region.
            tts_code: an approved template, like `TTS_10001`.
            params: the template's variables; None sends none.
            out_id: a text of 1 to 15 bytes that comes back in the receipts.

        Returns a Receipt, whose message id is the call id and whose `outcome` is `accepted` or `uncertain`: then there
        may have been a call.

        Raises GatewayRejectedError where there certainly was none, PhoneError for what is no number, and
        ConfigurationError for a malformed id or value.
        """
        fields = tts_params(_read_number(called_number), tts_code, params, out_id) | self._playing
        return drive(self._call(TTS, fields))

    def single_call_by_voice(self, called_number: str, *, voice_code: str, out_id: str | None = None) -> Receipt:
        """Call a number and play it a voice file, whose `voice_code` the console shows.

        Else as `single_call_by_tts`.
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

        It is as the older official SDK has it (aliyun-python-sdk-dyvmsapi 3.2.0), signed like all others; today's SDK
        lacks it.

        Args:
            caller_number: who is called first.
            called_number: who is called then.
            caller_show_number: the number that the first one sees; the account must have bought it.
            called_show_number: the number that the second one sees; likewise.
            session_timeout: seconds, after which Aliyun ends the call.
            record: whether the call is recorded.
            out_id: a text of 1 to 15 bytes that comes back in the receipts.

        Returns and raises what `single_call_by_tts` does.
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
        """Ask for the record of a call; None where there is none.

        Args:
            call_id: the message id of the call's receipt.
            prod_id: 11010000138001 for calls that read a template, 11000000300006 for those that play a file.
            query_date: the day of the call in Shanghai, one of the last 30: a date, an aware datetime, `20170525` or
                `2017-05-25`.

        Raises GatewayRejectedError where the gateway refuses; a date out of bounds does not reach it. Category
        `connection` says that no answer came: the query may be repeated. ConfigurationError for a malformed call id.
        """
        day = recent_day(query_date)
        if day is None:
            remedy = "the developer must ask for one of the last 30 days in China"
            raise VOICE.rejection("request", "the date can't be asked for", remedy, BAD_PARAMETERS)
        body = drive(self._ask(word("call_id", call_id), prod_id, day))
        if body is None:
            raise VOICE.rejection("connection", "the query got no answer that can be read", "it may be repeated")
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
